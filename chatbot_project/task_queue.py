"""A bound on Celery's queue. It lies in the Redis that everything else needs: while no worker is there it would grow
until that is full, and nothing could be asked any more. What is less urgent has a bound of its own, and so takes no
place from mail (``lib/task_order.py``)."""

from time import monotonic
from typing import Any

import structlog
from celery import Task
from kombu.exceptions import OperationalError

from chatbot_project import beat_heartbeat
from chatbot_project.lib.redis import RedisError, blocking_redis
from chatbot_project.lib.task_order import key_of

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000  # tasks of a priority, some 15 MB
LOOK_SECONDS = 1.0

_looked: dict[str, tuple[float, int]] = {}  # when at each list, and its length then


class QueueFull(OperationalError):
    """So many tasks wait that one more is not put behind them: to whoever sends it, as if the broker were away."""


class BoundedTask(Task):  # type: ignore[misc]  # Celery ships no types
    """Every task of ours. What expires while it waits stays in Redis until a worker comes to it, so that ``expires``
    alone bounds nothing."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Put the task into the queue. Raises kombu's OperationalError where the broker is away or, as QueueFull, where
        too many wait. Beat gets nothing back then: the next is due soon."""
        key = key_of(self.app.conf.task_routes.get(self.name, {}).get("priority"))
        if not _is_refused(key, tries_again=options.get("retry", self.app.conf.task_publish_retry)):
            return super().apply_async(args, kwargs, **options)
        log.warning("task.not_queued", task=self.name)
        if "celery_beat_task" in (options.get("headers") or ()):
            beat_heartbeat.tell()
            return None
        raise QueueFull(f"{MOST_WAITING} tasks wait.")


def _is_refused(key: str, *, tries_again: bool) -> bool:
    try:
        return is_full(key)
    except OperationalError:
        if not tries_again:
            raise
        return False  # a moment's stall: sending tries for longer


def is_full(key: str) -> bool:
    """Whether MOST_WAITING tasks wait in the list ``key``, or did within the last LOOK_SECONDS. Raises kombu's
    OperationalError while Redis is away: who does not try again finds it out sooner here than by sending."""
    looked_at, length = _looked.get(key, (-LOOK_SECONDS, 0))
    if (now := monotonic()) - looked_at >= LOOK_SECONDS:
        _looked.pop(key, None)
        try:
            length = blocking_redis().llen(key)
        except RedisError as error:
            raise OperationalError(f"Redis does not answer: {type(error).__name__}.") from error
        _looked[key] = now, length
    return length >= MOST_WAITING
