"""What a reply sets going when it has ended, in Celery: nothing that anybody waits for."""

import structlog
from django.conf import settings
from kombu.exceptions import OperationalError

from conversations import tasks
from conversations.replies.queue import Ending
from conversations.replies.work import Work

log = structlog.get_logger(__name__)

SUMMARISE_FROM = 4  # turns that no longer fit and that the summary lacks, before it is worth another one


def after_reply(work: Work, ending: Ending, first_kept: int) -> None:
    """Queue a title after the first exchange, and a new summary where turns fall out of the prompt.

    A broker that is away loses nothing but these: the title stays the first question, and the next reply asks again
    for the summary.
    """
    try:
        if settings.TITLE_MODEL and ending.status == "completed" and len(work.turns) == 1:
            tasks.make_title.apply_async((str(work.conversation),), retry=False)
        if first_kept - work.summarised >= SUMMARISE_FROM:
            tasks.summarise_conversation.apply_async((str(work.reply),), retry=False)
    except OperationalError as error:
        log.warning("background.not_queued", conversation=str(work.conversation), error=type(error).__name__)
