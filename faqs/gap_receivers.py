"""What sets work on gaps going: an FAQ that did not help, and a knowledge that has changed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from django.dispatch import receiver
from kombu.exceptions import OperationalError

from accounts.models import Purpose, User
from accounts.signals import consent_withdrawn, people_leaving
from faqs import gap_tasks
from faqs.gap_forgetting import drop_questions_of, forget_questions
from faqs.models import FAQFeedback
from faqs.signals import faq_did_not_help, knowledge_changed

log = structlog.get_logger(__name__)


@receiver(faq_did_not_help)
def keep_what_did_not_help(*, feedback: FAQFeedback, **kwargs: Any) -> None:
    """A broker that is away costs this one line of the editors' list; the feedback itself is stored."""
    _queue(gap_tasks.record_faq_feedback, str(feedback.pk))


@receiver(knowledge_changed)
def settle_what_is_answered_now(**kwargs: Any) -> None:
    if gap_tasks.waiting_gaps().exists():
        _queue(gap_tasks.settle_gaps)


@receiver(consent_withdrawn)
def forget_what_was_asked(*, user: User, purpose: str, **kwargs: Any) -> None:
    """At once, in the transaction that notes the withdrawal."""
    if purpose == Purpose.IMPROVEMENT:
        while forget_questions(user):
            pass


@receiver(people_leaving)
def drop_what_they_asked(*, people: Sequence[UUID], **kwargs: Any) -> None:
    """Before their rows go: by cascade, a gap would keep the wording of a question that is gone."""
    drop_questions_of(people)


def _queue(task: Any, *arguments: str) -> None:
    try:
        task.apply_async(arguments, retry=False)
    except OperationalError as error:
        log.warning("gap.not_queued", task=task.name, error=type(error).__name__)
