"""The matcher in force: trained from what is published, stored as arrays, loaded once per process."""

import threading
import time
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count, F, QuerySet

from chatbot_project.lib.metrics.caches import Lookups
from faqs.models import Embedding, KnowledgeState, TrainedMatcher
from faqs.ranking import Opinion
from faqs.state import knowledge_state

if TYPE_CHECKING:
    import numpy as np

    from faqs.matcher import Matcher

log = structlog.get_logger(__name__)

MOST = 20  # FAQs of an opinion
KEPT = 2  # the one in force, and the one before it, which a process may be loading

_lock = threading.Lock()
_lookups = Lookups("matcher")
_loaded: "dict[UUID, Matcher | None]" = {}


def load_matcher(matcher_id: UUID) -> "Matcher | None":
    """The stored matcher ``matcher_id``, read from the database once per process; None where it is gone or cannot be
    used. A process keeps the last one that it used."""
    known = _loaded.get(matcher_id)
    _lookups.note(hit=known is not None)
    if known is not None:
        return known
    with _lock:  # one thread loads, the others wait for it: the arrays are large
        if matcher_id not in _loaded:
            arrays = TrainedMatcher.objects.filter(pk=matcher_id).values_list("arrays", flat=True).first()
            matcher = None if arrays is None else _from_bytes(matcher_id, bytes(arrays))
            _loaded.clear()
            _loaded[matcher_id] = matcher
        return _loaded[matcher_id]


def _from_bytes(matcher_id: UUID, arrays: bytes) -> "Matcher | None":
    from faqs.matcher import Matcher

    try:
        return Matcher.from_bytes(arrays)
    except ValueError as error:
        log.error("matcher.unreadable", matcher=str(matcher_id), error=str(error))
        return None


def ask_matcher(matcher: "Matcher", query: str, vector: "np.ndarray", labels: frozenset[str]) -> Opinion | None:
    """The matcher's opinion among the FAQs ``labels``; None where it knows none of them."""
    # A reader who may see everything that was learned is the usual one.
    candidates = None if labels.issuperset(matcher.labels) else labels
    ranking = matcher.rank(query, vector, candidates=candidates)
    faqs = [(UUID(label), probability) for label, probability in ranking.labels[:MOST]]
    return Opinion(faqs, ranking.outside, ranking.confidence) if faqs else None


def is_stale(state: KnowledgeState) -> bool:
    """Whether what is published, or the vectors, have changed since the matcher in force was trained."""
    matcher = state.matcher
    return matcher is None or matcher.revision != state.revision or matcher.model_id != state.model_id


def train_and_store() -> TrainedMatcher | None:
    """Train a matcher on what is published and bring it into force, unless what is published changed meanwhile: then
    it is thrown away. None in that case, where there are fewer than two FAQs with vectors, and where there are so many
    FAQs and phrasings that a matcher would rank by the nearest phrasing only, which retrieval alone does better (of
    1,000 FAQs with ten phrasings 89 % right first, against 74 %).

    The revision is read before the phrasings: a change in between makes the matcher stale, never wrongly fresh.
    """
    state = knowledge_state()
    if state.model_id is None:
        return None
    from faqs.matcher import train_matcher
    from faqs.matcher.training import MAX_COEFFICIENTS, MAX_ROWS

    started = time.perf_counter()
    size = _with_vectors(state.model_id).aggregate(phrasings=Count("pk"), faqs=Count("phrasing__faq", distinct=True))
    if size["faqs"] < 2 or size["faqs"] * min(size["phrasings"], MAX_ROWS) > MAX_COEFFICIENTS:
        return None
    texts, labels, vectors = _published(state.model_id)
    if len(set(labels)) < 2:
        return None
    arrays = train_matcher(texts, labels, vectors).to_bytes()
    stored = _store(
        TrainedMatcher(
            model_id=state.model_id,
            revision=state.revision,
            arrays=arrays,
            faq_count=len(set(labels)),
            phrasing_count=len(texts),
            seconds=time.perf_counter() - started,
        )
    )
    log.info(
        "matcher.trained",
        revision=state.revision,
        phrasings=len(texts),
        seconds=round(time.perf_counter() - started, 2),
        in_force=stored is not None,
    )
    return stored


def _with_vectors(model_id: int) -> QuerySet[Embedding]:
    return Embedding.objects.filter(
        model=model_id, phrasing__faq__status="published", text_hash=F("phrasing__text_hash")
    )


def _published(model_id: int) -> "tuple[list[str], list[str], np.ndarray]":
    """Texts, FAQs and vectors of the published phrasings that have one, in a fixed order."""
    import numpy as np

    rows = (
        Embedding.objects.filter(model=model_id, phrasing__faq__status="published", text_hash=F("phrasing__text_hash"))
        .order_by("phrasing__faq_id", "phrasing_id")
        .values_list("phrasing__text", "phrasing__faq_id", "vector")
    )
    texts, labels, vectors = [], [], []
    for text, faq, vector in rows.iterator(chunk_size=2000):
        texts.append(text)
        labels.append(str(faq))
        vectors.append(np.asarray(vector, dtype=np.float32))
    return texts, labels, np.array(vectors, dtype=np.float32)


@transaction.atomic
def _store(trained: TrainedMatcher) -> TrainedMatcher | None:
    state = KnowledgeState.objects.select_for_update().get(pk=1)
    if state.revision != trained.revision or state.model_id != trained.model_id:
        return None
    trained.save()
    state.matcher = trained
    state.save(update_fields=["matcher"])
    kept = TrainedMatcher.objects.order_by("-created_at", "-pk").values_list("pk", flat=True)[:KEPT]
    TrainedMatcher.objects.exclude(pk__in=list(kept)).delete()
    return trained
