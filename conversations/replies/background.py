"""What a reply sets going when it has ended, in Celery: nothing that anybody waits for."""

import structlog
from django.conf import settings
from kombu.exceptions import OperationalError

from conversations import tasks
from conversations.replies.queue import Ending
from conversations.replies.work import Work

log = structlog.get_logger(__name__)

SUMMARISE_FROM = 4  # turns that no longer fit and that the summary lacks, before it is worth another one


def is_due(work: Work, ending: Ending, first_kept: int) -> bool:
    """Whether ``after_reply`` would queue anything: most replies need not wake a thread for it."""
    return _wants_title(work, ending) or _wants_summary(work, first_kept)


def _wants_title(work: Work, ending: Ending) -> bool:
    return bool(settings.TITLE_MODEL) and ending.status == "completed" and len(work.turns) == 1


def _wants_summary(work: Work, first_kept: int) -> bool:
    return first_kept - work.summarised >= SUMMARISE_FROM


def after_reply(work: Work, ending: Ending, first_kept: int) -> None:
    """Queue a title after the first exchange, and a new summary where turns fall out of the prompt.

    A broker that is away loses nothing but these: the title stays the first question, and the next reply asks again
    for the summary.
    """
    try:
        if _wants_title(work, ending):
            tasks.make_title.apply_async((str(work.conversation),), retry=False)
        if _wants_summary(work, first_kept):
            tasks.summarise_conversation.apply_async((str(work.reply),), retry=False)
    except OperationalError as error:
        log.warning("background.not_queued", conversation=str(work.conversation), error=type(error).__name__)
