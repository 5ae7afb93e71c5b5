"""Background work on gaps, in Celery. All of it may run twice."""

from datetime import timedelta
from time import monotonic
from typing import Any

import structlog
from celery import Task, shared_task
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import User
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.pii import redact
from faqs import gap_drafts, gaps
from faqs.embedding import EmbeddingError, embedder
from faqs.gap_drafts import Writing
from faqs.gap_replay import replay_gap
from faqs.models import FAQ, FAQFeedback, Gap, GapQuestion
from faqs.state import knowledge_state

log = structlog.get_logger(__name__)

RETRIES = 5
WAIT_SECONDS = 20
WITHIN_SECONDS = 24 * 3600  # waiting for a worker and tried again, in all
GAPS_SECONDS = 240
SETTLED_AT_ONCE = 50  # gaps; the next change of the knowledge goes on
WORTH_A_REPLAY = timedelta(hours=6)


@shared_task(expires=WITHIN_SECONDS, name="faqs.tasks.record_faq_feedback")  # type: ignore[untyped-decorator]
def record_faq_feedback(feedback_id: str) -> None:
    """Keep that an FAQ did not help somebody: its question, with what they said of it."""
    feedback = FAQFeedback.objects.select_related("faq", "user").filter(pk=feedback_id, helpful=False).first()
    if feedback is None:
        return
    comment = redact(feedback.comment)
    gaps.record_gap_question(
        text=f"{feedback.faq.question} – {comment}" if comment else feedback.faq.question,
        language=feedback.faq.language,
        source=GapQuestion.Source.DID_NOT_HELP,
        source_id=feedback.pk,
        person=feedback.user,
        faq=feedback.faq,
        vector=_vector_of(feedback.faq.question),  # so that all that is said of one FAQ comes together
    )


def _vector_of(text: str) -> Any:
    model = knowledge_state().model
    try:
        return embedder(model.name if model else "").embed([text])[0]
    except EmbeddingError:
        return None


@shared_task(bind=True, max_retries=RETRIES, expires=WITHIN_SECONDS, name="faqs.tasks.write_answer")  # type: ignore[untyped-decorator]
def write_answer(self: "Task[Any, Any]", faq_id: str, actor_id: str | None = None) -> None:
    """Draft the answer of an FAQ that was begun from a gap, and try again later where the model is away or busy."""
    faq = FAQ.objects.filter(pk=faq_id).first()
    writer = gap_drafts.make_writer()
    if faq is None or writer is None:
        return
    actor = User.objects.filter(pk=actor_id).first() if actor_id else None
    try:
        written = gap_drafts.write_answer(faq=faq, actor=actor, llm=writer)
    except ApplicationError as error:
        log.warning("gap.answer_not_drafted", faq=faq_id, code=error.code)
        if isinstance(error, LLMError) and error.retryable and self.request.retries < RETRIES:
            wait = max(error.retry_after or 0, WAIT_SECONDS * 2**self.request.retries)
            # It waits in its worker, and one that waited for longer would be taken for cut off.
            raise self.retry(exc=error, countdown=min(wait, settings.CELERY_TASK_TIME_LIMIT)) from None
        Writing.note(faq, Writing.FAILED)
        return
    log.info("gap.answer_drafted", faq=faq_id, by=writer.name, written=written)


def queue_answer(faq: FAQ, actor: User | None) -> bool:
    """Have a draft's answer written where FAQ_DRAFT_MODEL names a model; whether that is under way."""
    if gap_drafts.make_writer() is None:
        return False
    Writing.note(faq, Writing.WAITING)
    try:
        write_answer.apply_async((str(faq.pk), str(actor.pk) if actor else None), retry=False)
    except OperationalError as error:
        log.warning("gap.not_queued", task=write_answer.name, error=type(error).__name__)
        Writing.note(faq, Writing.FAILED)
        return False
    return True


@shared_task(expires=WITHIN_SECONDS, name="faqs.tasks.settle_gaps")  # type: ignore[untyped-decorator]
def settle_gaps() -> None:
    """Replay the gaps whose FAQ has been published since, whichever page it was published on. Takes four
    minutes and one gap at most."""
    until = monotonic() + GAPS_SECONDS
    for gap in waiting_gaps().order_by("-count", "pk")[:SETTLED_AT_ONCE]:
        if monotonic() > until:
            break
        replay = replay_gap(gap)
        log.info("gap.replayed", gap=str(gap.pk), total=replay.total, answered=replay.answered)


def waiting_gaps() -> QuerySet[Gap]:
    """Gaps that are not settled, although their FAQ was published or changed in the last hours. What it does not answer
    then, it will not answer by itself."""
    since = timezone.now() - WORTH_A_REPLAY
    return Gap.objects.filter(status=Gap.Status.DRAFTED, faq__status=FAQ.Status.PUBLISHED, faq__updated_at__gte=since)


@shared_task(name="faqs.tasks.refresh_gaps")  # type: ignore[untyped-decorator]
def refresh_gaps() -> None:
    """Keep gaps comparable with new questions after the embedding model was changed, or was away for a while. Takes
    four minutes and one gap at most; what is left is the next run's."""
    try:
        refreshed = gaps.refresh_gap_vectors(seconds=GAPS_SECONDS)
    except EmbeddingError as error:
        log.warning("gap.not_refreshed", code=error.code)
        return
    if refreshed:
        log.info("gap.refreshed", gaps=refreshed)
