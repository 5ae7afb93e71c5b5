"""Vectors of what is published: filled in batches, indexed per model, and switched from one model to the next."""

import math
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Exists, OuterRef, QuerySet

from chatbot_project.lib.db import named_lock
from chatbot_project.lib.errors import ApplicationError
from faqs.embedding import Embedder, EmbeddingError, embedder
from faqs.first_stage import as_literal
from faqs.models import FAQ, Embedding, EmbeddingModel, KnowledgeState, Phrasing
from faqs.state import knowledge_state

log = structlog.get_logger(__name__)

BATCH = 500
BUILD_MEMORY = "256MB"  # an index of 100,000 vectors of 256 dimensions is built within it

# A phrasing that was deleted or reworded since it was read is left out.
_STORE = """
    INSERT INTO faqs_embedding AS stored (phrasing_id, model_id, text_hash, vector)
    SELECT p.id, %(model)s, given.text_hash, given.vector::vector
    FROM unnest(%(ids)s::uuid[], %(hashes)s::text[], %(vectors)s::text[]) AS given (id, text_hash, vector)
    JOIN faqs_phrasing p ON p.id = given.id AND p.text_hash = given.text_hash
    ORDER BY p.id
    FOR KEY SHARE OF p
    ON CONFLICT (phrasing_id, model_id) DO UPDATE SET text_hash = excluded.text_hash, vector = excluded.vector
"""
# In pieces: rows of another model are none that a search waits for.
_DELETE_SOME = """
    DELETE FROM faqs_embedding WHERE id IN (SELECT id FROM faqs_embedding WHERE model_id = %s LIMIT 5000)
"""


class Busy(ApplicationError):
    """Another process fills the same model's vectors."""

    def __init__(self, name: str) -> None:
        super().__init__("embedding_busy", f"Another process is embedding with {name} right now.", 409)


def model_of(maker: Embedder) -> EmbeddingModel:
    """The stored row of an embedder, made where it is new. Raises EmbeddingError where the vectors stored for this
    name have another dimension than those it makes now."""
    model, _ = EmbeddingModel.objects.get_or_create(name=maker.name, defaults={"dimensions": maker.dimensions})
    if model.dimensions != maker.dimensions:
        raise EmbeddingError(
            f"{maker.name} makes vectors of {maker.dimensions} dimensions, those stored have {model.dimensions}."
        )
    return model


def published_phrasings() -> QuerySet[Phrasing]:
    """What is embedded: every way to ask an FAQ that is published, whether or not it is valid at this moment."""
    return Phrasing.objects.filter(faq__status=FAQ.Status.PUBLISHED)


def waiting_phrasings(model: EmbeddingModel) -> QuerySet[Phrasing]:
    """Those of the published phrasings whose vector by ``model`` is missing or belongs to another text."""
    valid = Embedding.objects.filter(model=model, phrasing=OuterRef("pk"), text_hash=OuterRef("text_hash"))
    return published_phrasings().filter(~Exists(valid))


def fill(
    model: EmbeddingModel,
    maker: Embedder,
    *,
    faqs: Collection[UUID] | None = None,
    batch: int = BATCH,
    progress: Callable[[int], None] | None = None,
    seconds: float = math.inf,
) -> bool:
    """Make every vector that is missing, in batches that are stored as they come; only those of ``faqs`` where given.
    Whether all were made in ``seconds``.

    Stopped half-way, the next call goes on where it ended. ``progress`` is told the size of each batch. Raises
    EmbeddingError.
    """
    after, until = UUID(int=0), time.monotonic() + seconds
    of_these: dict[str, Any] = {} if faqs is None else {"faq__in": faqs}
    while True:
        waiting = waiting_phrasings(model).filter(pk__gt=after, **of_these).order_by("pk")
        rows = list(waiting.values_list("pk", "text", "text_hash")[:batch])
        if not rows and after.int:
            after = UUID(int=0)  # once more from the start, for what was added behind
            continue
        if not rows or time.monotonic() > until:
            return not rows
        vectors = _vectors(model, maker, {text_hash: text for _, text, text_hash in rows})
        _store(model, [(pk, text_hash, vectors[text_hash]) for pk, _, text_hash in rows])
        after = rows[-1][0]
        if progress is not None:
            progress(len(rows))


def _vectors(model: EmbeddingModel, maker: Embedder, texts: dict[str, str]) -> dict[str, str]:
    """The vectors of ``texts`` by their hash, as pgvector reads them; those that are stored are not made again."""
    known = Embedding.objects.filter(model=model, text_hash__in=texts).distinct("text_hash").order_by("text_hash")
    found: dict[str, str] = {hash_: as_literal(vector) for hash_, vector in known.values_list("text_hash", "vector")}
    missing = [hash_ for hash_ in texts if hash_ not in found]
    if missing:
        rows = maker.embed([texts[hash_] for hash_ in missing])
        if rows.shape != (len(missing), model.dimensions):
            raise EmbeddingError(f"{model.name} sent {rows.shape} where {len(missing)} vectors were asked for.")
        found |= {hash_: as_literal(row) for hash_, row in zip(missing, rows, strict=True)}
    return found


def _store(model: EmbeddingModel, rows: list[tuple[UUID, str, str]]) -> None:
    ids, hashes, vectors = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, {"model": model.pk, "ids": list(ids), "hashes": list(hashes), "vectors": list(vectors)})


def index_name(model: EmbeddingModel) -> str:
    return f"faqs_embedding_hnsw_{model.pk}"


def ensure_index(model: EmbeddingModel) -> None:
    """Make the model's partial HNSW index where it is missing, without stopping writers where that is possible (not
    within a transaction)."""
    name = index_name(model)
    in_transaction = connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        found = cursor.fetchone()
        if found == (True,):
            return
        if found is not None:  # a build that was cut short
            cursor.execute(f"DROP INDEX {name}")
        if in_transaction:  # no index is made while checks of new rows are outstanding
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with _build_memory(cursor, in_transaction):
            cursor.execute(
                f"CREATE INDEX {'' if in_transaction else 'CONCURRENTLY'} {name} ON faqs_embedding "
                f"USING hnsw ((vector::halfvec({model.dimensions})) halfvec_cosine_ops) WHERE model_id = {model.pk}"
            )
        if in_transaction:
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@contextmanager
def _build_memory(cursor: CursorWrapper, in_transaction: bool) -> Iterator[None]:
    """BUILD_MEMORY for the index that is made within the block. Behind a pooler, outside of a transaction, the server's
    own: the setting would be that of others."""
    if in_transaction:
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, true)", [BUILD_MEMORY])
        yield
    elif settings.DATABASE_TRANSACTION_POOLER:
        yield
    else:
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [BUILD_MEMORY])
        try:
            yield
        finally:
            cursor.execute("RESET maintenance_work_mem")


@contextmanager
def filling(model: EmbeddingModel) -> Iterator[None]:
    """The right to fill ``model``. Raises Busy where another process has it."""
    with named_lock(f"faqs.filling.{model.pk}") as is_mine:
        if not is_mine:
            raise Busy(model.name)
        yield


def fill_index(*, seconds: float = math.inf) -> bool:
    """Bring the vectors of the model in force up to date and make its index; whether all was done in ``seconds``.

    Where no model is in force yet, the one of EMBEDDING_MODEL comes into force. Raises EmbeddingError and Busy.
    """
    current = knowledge_state().model
    maker = embedder(current.name if current is not None else "")
    model = model_of(maker)
    with filling(model):
        if not fill(model, maker, seconds=seconds):
            return False
        ensure_index(model)
    return current is not None or switch_model(model)


def switch_model(model: EmbeddingModel) -> bool:
    """Bring ``model`` into force if every published phrasing has its vector; whether it did.

    Every change of what is published ends with the state's row: while it is held here, nothing is added.
    """
    with transaction.atomic():
        knowledge_state()
        state = KnowledgeState.objects.select_for_update().get(pk=1)
        if waiting_phrasings(model).exists():
            return False
        state.model = model
        state.save(update_fields=["model"])
    return True


def prune_models() -> list[str]:
    """Remove the vectors and indexes of every model that is not in force. Returns their names. Raises Busy."""
    state = knowledge_state()
    pruned = []
    for model in EmbeddingModel.objects.exclude(pk=state.model_id or 0).order_by("pk"):
        with filling(model):
            with connection.cursor() as cursor:
                cursor.execute(f"DROP INDEX IF EXISTS {index_name(model)}")
                while cursor.rowcount:
                    cursor.execute(_DELETE_SOME, [model.pk])
            model.delete()
        pruned.append(model.name)
    return pruned
