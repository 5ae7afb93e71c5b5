"""What a reply sets going when it has ended, in Celery: nothing that anybody waits for."""

from uuid import UUID

import structlog
from django.conf import settings
from kombu.exceptions import OperationalError

from conversations import tasks
from conversations.models import Message
from conversations.replies.queue import Ending
from conversations.replies.work import Work
from faqs.models import GapQuestion

log = structlog.get_logger(__name__)

SUMMARISE_FROM = 4  # turns that no longer fit and that the summary lacks, before it is worth another one


def is_due(work: Work, ending: Ending, first_kept: int) -> bool:
    """Whether ``after_reply`` would queue anything: most replies need not wake a thread for it."""
    return _wants_title(work, ending) or _wants_summary(work, first_kept) or _is_gap(ending)


def _wants_title(work: Work, ending: Ending) -> bool:
    if work.in_passing:
        return False  # it is in no list
    if ending.finish_reason == "content_filter":
        return False  # help in a crisis: no model is asked about it
    if ending.cached_at is not None:
        return False  # no model was needed for the reply, and the short question names it well
    return bool(settings.TITLE_MODEL) and ending.status == "completed" and len(work.turns) == 1


def _wants_summary(work: Work, first_kept: int) -> bool:
    if work.in_passing:
        return False  # nobody goes on with it
    return first_kept - work.summarised >= SUMMARISE_FROM


def _is_gap(ending: Ending) -> bool:
    return ending.source == Message.Source.UNKNOWN


def after_reply(work: Work, ending: Ending, first_kept: int) -> None:
    """Queue a title after the first exchange, a new summary where turns fall out of the prompt, and a line in the
    editors' list of what the FAQ lacks.

    A broker that is away loses nothing but these: the title stays the first question, and the next reply asks again
    for the summary.
    """
    try:
        if _wants_title(work, ending):
            tasks.make_title.apply_async((str(work.conversation),), retry=False)
        if _wants_summary(work, first_kept):
            tasks.summarise_conversation.apply_async((str(work.reply),), retry=False)
        if _is_gap(ending):
            tasks.record_gap.apply_async((str(work.reply), GapQuestion.Source.BELOW_FLOOR.value), retry=False)
    except OperationalError as error:
        log.warning("background.not_queued", conversation=str(work.conversation), error=type(error).__name__)


def after_dislike(reply: UUID) -> None:
    """Queue a line in the editors' list for a reply that was found not helpful. A broker that is away costs the line;
    the feedback itself is stored."""
    try:
        tasks.record_gap.apply_async((str(reply), GapQuestion.Source.THUMBS_DOWN.value), retry=False)
    except OperationalError as error:
        log.warning("background.not_queued", reply=str(reply), error=type(error).__name__)
