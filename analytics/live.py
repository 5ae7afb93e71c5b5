"""What is going on at this moment, in all processes: read, not counted up."""

from typing import NamedTuple

import structlog

from chatbot_project.lib.redis import RedisError
from conversations.presence import who_is_connected
from conversations.replies import queue

log = structlog.get_logger(__name__)


class Now(NamedTuple):
    """``people`` have a socket or a request open, None where Redis cannot be asked; replies are ``streaming`` or
    ``waiting`` for a worker."""

    people: int | None
    streaming: int
    waiting: int


def read_now() -> Now:
    """One query and two commands to Redis. Raises Django's database errors."""
    depth = queue.depth()
    return Now(_people(), depth.streaming, depth.queued)


def _people() -> int | None:
    try:
        return len({each.entry.user for each in who_is_connected()})
    except RedisError as error:
        log.warning("live.redis_away", error=type(error).__name__)
        return None
