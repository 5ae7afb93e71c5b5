"""What people asked and did not get a good answer to: kept without personal data, grouped, and settled by editors.

A gap is a group of questions that ask much the same. A question joins the nearest gap of its language whose mean
vector is at a cosine of at least FAQ_GAP_SIMILARITY, else it begins one. The default, 0.70, was chosen on the training
questions of BANKING77 with the embedded model (`manage.py measure_gaps`, 77 closely related intents of one bank, five
folds of 2,000 questions, seed 0):

    threshold  pairs of one intent   of two  groups  purity  in a group of three or more
         0.60                0.276   0.0035     439   0.735                        0.826
         0.65                0.200   0.0016     620   0.820                        0.733
         0.70                0.136   0.0007     853   0.893                        0.605
         0.75                0.085   0.0003    1102   0.942                        0.468
         0.80                0.048   0.0001    1372   0.974                        0.311

At 0.70 nine questions in ten stand with their own intent, and still three in five in a group that shows that it is
asked again and again. A stray question does no lasting harm: the replay of its gap shows it as not answered. Other
embedding models put unrelated texts nearer to each other: measure before changing the model.

Texts of gaps are what strangers wrote. They are shown as text, and given to a model only as something to read.
"""

import contextlib
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from pgvector.django import CosineDistance

from accounts.audience import visibilities_for
from accounts.models import Purpose, User
from accounts.privacy.consents import allows
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.pii import PLACEHOLDER, redact
from chatbot_project.lib.text import clean_text, shorten
from faqs.embedding import EmbeddingError, embedder, unit_rows
from faqs.gap_grouping import moved_mean
from faqs.indexing import model_of
from faqs.models import FAQ, EmbeddingModel, Gap, GapQuestion
from faqs.models.catalog import MAX_QUESTION, validate_language
from faqs.retrieval import FAQMatch, Found, find_answer
from faqs.state import knowledge_state
from faqs.texts import has_words

if TYPE_CHECKING:
    import numpy as np

log = structlog.get_logger(__name__)

Source = GapQuestion.Source
Status = Gap.Status

#: Gaps that editors still have to do with; new questions join them first.
LIVE = (Status.OPEN, Status.DRAFTED)
MIN_REASON = 3
MAX_REASON = 300
REMEMBERED = 200  # newest questions whose vectors make up a gap's when the embedding model was changed
_LOCK = 0x67617073  # "gaps": the first of two keys, a space of its own among advisory locks


# --- Recording --------------------------------------------------------------------------------------------------------
def record_gap_question(
    *,
    text: str,
    language: str,
    source: str,
    source_id: UUID | None,
    person: User | None,
    faq: FAQ | None = None,
    vector: "np.ndarray | None" = None,
) -> GapQuestion | None:
    """Keep a question that was not answered well, once for each (``source``, ``source_id``), in the gap it belongs to.

    ``None`` where ``person`` has not agreed to that (Purpose.IMPROVEMENT). Personal data is taken out first; ``None``
    where nothing is left to answer. ``faq`` was shown and did not help: for
    a thumbs-down without one it is what the knowledge answers with now, where it is sure. ``vector`` is the question's
    by the model in force, where the caller has it. Where no vector can be had, the question joins a gap that holds the
    very same words. Blocking. Raises ApplicationError ``source_unknown`` (400) and Django's database errors.
    """
    if source not in Source.values:
        raise ApplicationError("source_unknown", f"{source} is no source of gaps.")
    known = _recorded(source, source_id)
    if known is not None:
        return known
    kept = as_kept(text)
    if not has_words(without_placeholders(kept)):
        return None
    language = _language(language)
    if faq is None and source == Source.THUMBS_DOWN:
        faq = _answered_by(kept, language, person)
    # The vector of what was taken out must not be kept either.
    model, unit = _vector_of(kept, vector if kept == shorten(clean_text(text), MAX_QUESTION) else None)
    with transaction.atomic():
        if person is not None and not _may_keep(person):
            return None
        _lock_language(language)
        known = _recorded(source, source_id)
        if known is not None:
            return known
        gap = _gap_for(kept, language, model, unit)
        return GapQuestion.objects.create(
            gap=gap, text=kept, source=source, source_id=source_id, person=person, faq=faq
        )


def _may_keep(person: User) -> bool:
    """Whether they agree. Their row is held until the transaction ends, so that a withdrawal waits for what is kept
    here, and then takes it out again."""
    User.objects.select_for_update(no_key=True).filter(pk=person.pk).first()
    return allows(person, Purpose.IMPROVEMENT)


def as_kept(text: str) -> str:
    """``text`` as gaps keep it: without personal data, on one line, at most 500 characters. Pure."""
    return shorten(redact(clean_text(text)), MAX_QUESTION)


def without_placeholders(text: str) -> str:
    """What is asked, as far as it is known: what a placeholder stands for says nothing of that. Pure."""
    return " ".join(PLACEHOLDER.sub(" ", text).split())


def _recorded(source: str, source_id: UUID | None) -> GapQuestion | None:
    if source_id is None:
        return None
    return GapQuestion.objects.select_related("gap").filter(source=source, source_id=source_id).first()


def _language(code: str) -> str:
    code = code.strip().lower()
    with contextlib.suppress(ValidationError):
        validate_language(code)
        return code
    return settings.LANGUAGE_CODE


def _answered_by(text: str, language: str, person: User | None) -> FAQ | None:
    asked = without_placeholders(text)
    match = sure_match(find_answer(asked, visibilities=_may_see(person), language=language, limit=1))
    return FAQ.objects.filter(pk=match.faq).first() if match else None


def _may_see(person: User | None) -> list[str]:
    return visibilities_for(person or AnonymousUser())


def sure_match(found: Found) -> FAQMatch | None:
    """The FAQ that answers, where it is likelier than not that it does and the assistant would say so."""
    best = found.best
    return best if best and not found.is_below_floor and best.confidence >= settings.FAQ_FLOOR else None


def _vector_of(text: str, given: "np.ndarray | None") -> "tuple[EmbeddingModel | None, np.ndarray | None]":
    """The vector of ``text`` and the model in force that made it; ``given`` where it fits. Two ``None`` where there is
    none to be had: a question is not lost because a model is away."""
    try:
        model = knowledge_state().model or model_of(embedder())
        if given is not None and given.shape == (model.dimensions,):
            with contextlib.suppress(EmbeddingError):
                return model, unit_rows([given], name=model.name, dimensions=model.dimensions)[0]
        made = embedder(model.name).embed([without_placeholders(text)])
        return model, unit_rows(made, name=model.name, dimensions=model.dimensions)[0]
    except EmbeddingError as error:
        log.warning("gap.without_vector", code=error.code)
        return None, None


# --- Grouping ---------------------------------------------------------------------------------------------------------
def _lock_language(language: str) -> None:
    """Of two equal questions at once, the second waits here and then finds the first one's gap."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, language])


def _gap_for(text: str, language: str, model: EmbeddingModel | None, vector: "np.ndarray | None") -> Gap:
    """The gap that a question belongs to, locked and with the question counted in; a new one where there is none.

    What was dismissed stays so, and counts on: an editor who said that weather is not the matter is not asked again.
    """
    now = timezone.now()
    for status in (LIVE, (Status.DISMISSED,)):
        gap = _nearest(Gap.objects.filter(language=language, status__in=status), text, model, vector)
        if gap is None:
            continue
        if vector is not None:
            gap.vector = vector if gap.vector is None else moved_mean(_as_array(gap.vector), gap.count, vector)
            gap.model = model
        gap.count += 1
        gap.last_seen_at = now
        gap.save(update_fields=["vector", "model", "count", "last_seen_at"])
        return gap
    return Gap.objects.create(
        question=text, language=language, count=1, vector=vector, model=model, first_seen_at=now, last_seen_at=now
    )


def _nearest(gaps: QuerySet[Gap], text: str, model: EmbeddingModel | None, vector: "np.ndarray | None") -> Gap | None:
    """The gap whose mean is near enough to ``vector``; failing that, one without a vector that holds the same words.
    Locked."""
    found = None
    if vector is not None:
        # The threshold is not asked of PostgreSQL: it could compare vectors of another model's length first.
        with_distance = gaps.filter(model=model, vector__isnull=False).annotate(
            distance=CosineDistance("vector", vector)
        )
        nearest = with_distance.order_by("distance", "first_seen_at", "pk").values_list("pk", "distance").first()
        if nearest is not None and 1 - nearest[1] >= settings.FAQ_GAP_SIMILARITY:
            found = nearest[0]
    if found is None:
        same = gaps.filter(questions__text__iexact=text)
        same = same.filter(vector__isnull=True) if vector is not None else same
        found = same.order_by("first_seen_at", "pk").values_list("pk", flat=True).first()
    # An editor may have settled it since it was found: then it is not looked for any more.
    return gaps.select_for_update(of=("self",)).filter(pk=found).first() if found else None


def _as_array(vector: "np.ndarray | list[float]") -> "np.ndarray":
    import numpy as np

    return np.asarray(vector, dtype=np.float32)


def refresh_gap_vectors(*, limit: int = 500, seconds: float = float("inf")) -> int:
    """Give gaps that the model in force has made no vector for one of that model, by their newest questions. Returns
    how many got one, ``limit`` at most and as many as begin within ``seconds``; the next call goes on. Raises
    EmbeddingError.

    Questions of one language wait while one gap of it is changed, and not while the model is asked.
    """
    model = knowledge_state().model
    if model is None:
        return 0
    stale = Gap.objects.exclude(status=Status.ANSWERED).exclude(model=model, vector__isnull=False)
    refreshed, until = 0, monotonic() + seconds
    for gap in list(stale.order_by("-count", "pk")[:limit]):
        if monotonic() > until:
            break
        texts = list(gap.questions.values_list("text", flat=True)[:REMEMBERED]) or [gap.question]
        vectors = embedder(model.name).embed([without_placeholders(text) for text in texts])
        mean = unit_rows([vectors.sum(axis=0)], name=model.name)[0]
        refreshed += Gap.objects.filter(pk=gap.pk, count=gap.count).update(vector=mean, model=model)
    return refreshed


# --- Settling ---------------------------------------------------------------------------------------------------------
@transaction.atomic
def dismiss_gap(*, gap: Gap, actor: User | None, reason: str) -> Gap:
    """Say why nothing is to be written. Raises ValidationError ``reason``, NotFound, and ApplicationError
    ``already_dismissed`` (409)."""
    reason = shorten(clean_text(reason), MAX_REASON)
    if len(reason) < MIN_REASON:
        raise ValidationError({"reason": ValidationError(_("Say why."), "required")})
    gap = lock_gap(gap)
    if gap.status == Status.DISMISSED:
        raise ApplicationError("already_dismissed", _("This gap is dismissed already."), status=409)
    gap.status, gap.reason = Status.DISMISSED, reason
    gap.save(update_fields=["status", "reason"])
    record_audit(actor=actor, action="gap.dismissed", obj=gap, reason=reason)
    return gap


@transaction.atomic
def reopen_gap(*, gap: Gap, actor: User | None) -> Gap:
    """Put a gap back among the open ones, apart from the FAQ that was begun for it. An open one stays as it is."""
    gap = lock_gap(gap)
    if gap.status != Status.OPEN:
        gap.status, gap.reason, gap.faq = Status.OPEN, "", None
        gap.save(update_fields=["status", "reason", "faq"])
        record_audit(actor=actor, action="gap.reopened", obj=gap)
    return gap


def lock_gap(gap: Gap) -> Gap:
    """The gap as stored now, locked until the transaction ends. Raises NotFound where it is gone."""
    found = Gap.objects.select_for_update(of=("self",)).select_related("faq").filter(pk=gap.pk).first()
    if found is None:
        raise NotFound
    return found
