"""Whether the questions of a gap would be answered now."""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from accounts.audience import visibilities_for
from accounts.models import User
from accounts.services import record_audit
from faqs.embedding import EmbeddingError, embedder
from faqs.gaps import LIVE, lock_gap, sure_match, without_placeholders
from faqs.indexing import Busy, fill, fill_index
from faqs.models import FAQ, Gap, GapQuestion
from faqs.retrieval import FAQMatch, find_answer
from faqs.state import knowledge_state

log = structlog.get_logger(__name__)

MOST_REPLAYED = 200  # questions, the newest: about a second
#: A gap counts as answered from this share of its questions on: a stray one does not keep it open.
MOST = 0.8


@dataclass(frozen=True, slots=True)
class ReplayedQuestion:
    """A question asked again: the FAQ that is nearest now and the probability that it answers. ``times`` is how often
    it was asked in these words by those who may see the same."""

    text: str
    times: int
    faq: UUID | None
    faq_question: str
    confidence: float
    is_answered: bool


@dataclass(frozen=True, slots=True)
class GapReplay:
    """What became of a gap's newest questions, at most 200; the ones without an answer stand first."""

    total: int
    answered: int
    questions: tuple[ReplayedQuestion, ...]

    @property
    def is_answered(self) -> bool:
        return self.total > 0 and self.answered >= MOST * self.total


def replay_gap(gap: Gap, *, actor: User | None = None) -> GapReplay:
    """Ask the questions of ``gap`` again as the people who asked them, and settle it as answered where most are.

    A question is answered where the assistant would not say that it does not know. The FAQ that did not help answers it
    only once its content is another. A dismissed gap stays dismissed. Blocking: a few ms for each different question.
    """
    _embed_faq_of(gap)
    replay = _replay(gap)
    if replay.is_answered:
        _settle(gap, actor, replay)
    return replay


def _embed_faq_of(gap: Gap) -> None:
    """The vectors of an FAQ that was published just now: background work makes them too, but maybe only later."""
    faq = FAQ.objects.filter(pk=gap.faq_id, status=FAQ.Status.PUBLISHED).first() if gap.faq_id else None
    if faq is None:
        return
    try:
        model = knowledge_state().model
        if model is None:
            fill_index()
        else:
            fill(model, embedder(model.name), faqs=[faq.pk])
    except (EmbeddingError, Busy) as error:
        log.warning("gap.replayed_without_vectors", gap=str(gap.pk), code=error.code)


def _replay(gap: Gap) -> GapReplay:
    asked: Counter[tuple[str, tuple[str, ...], UUID | None]] = Counter()
    newest: dict[tuple[str, tuple[str, ...], UUID | None], GapQuestion] = {}
    for question in gap.questions.select_related("person")[:MOST_REPLAYED]:
        audience = tuple(visibilities_for(question.person or AnonymousUser()))
        key = (question.text, audience, question.faq_id)
        asked[key] += 1
        newest.setdefault(key, question)
    replayed = []
    for key, question in newest.items():
        asked_now = without_placeholders(question.text)
        found = find_answer(asked_now, visibilities=key[1], language=gap.language, limit=1)
        match = sure_match(found)
        replayed.append(
            ReplayedQuestion(
                text=question.text,
                times=asked[key],
                faq=found.best.faq if found.best else None,
                faq_question=found.best.question if found.best else "",
                confidence=found.best.confidence if found.best else 0.0,
                is_answered=match is not None and not _failed_before(match, question),
            )
        )
    replayed.sort(key=lambda one: (one.is_answered, -one.times, one.text))
    answered = sum(one.times for one in replayed if one.is_answered)
    return GapReplay(asked.total(), answered, tuple(replayed))


def _failed_before(match: FAQMatch, question: GapQuestion) -> bool:
    """Whether this FAQ, as it stands, was what did not help."""
    if question.faq_id != match.faq:
        return False
    return not FAQ.objects.filter(pk=match.faq, versions__created_at__gt=question.created_at).exists()


@transaction.atomic
def _settle(gap: Gap, actor: User | None, replay: GapReplay) -> None:
    gap = lock_gap(gap)
    if gap.status not in LIVE:
        return
    gap.status = Gap.Status.ANSWERED
    if gap.faq_id is None:
        found = Counter({one.faq: one.times for one in replay.questions if one.is_answered})
        faq, _times = found.most_common(1)[0]
        gap.faq = FAQ.objects.filter(pk=faq).first() if faq else None
    gap.save(update_fields=["status", "faq"])
    details = {"total": replay.total, "answered": replay.answered}
    record_audit(actor=actor, action="gap.answered", obj=gap, details=details)
