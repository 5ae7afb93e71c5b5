"""A bound on Celery's queue. It lies in the Redis that everything else needs: while no worker is there it would grow
until that is full, and nothing could be asked any more."""

from time import monotonic
from typing import Any

import structlog
from celery import Task
from kombu.exceptions import OperationalError

from chatbot_project import beat_heartbeat
from chatbot_project.lib.redis import RedisError, blocking_redis

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000  # tasks, some 15 MB
LOOK_SECONDS = 1.0

_length = 0
_looked_at = -LOOK_SECONDS


class QueueFull(OperationalError):
    """So many tasks wait that one more is not put behind them: to whoever sends it, as if the broker were away."""


class BoundedTask(Task):  # type: ignore[misc]  # Celery ships no types
    """Every task of ours. What expires while it waits stays in Redis until a worker comes to it, so that ``expires``
    alone bounds nothing."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Put the task into the queue. Raises kombu's OperationalError where the broker is away or, as QueueFull, where
        too many wait. Beat gets nothing back then: the next is due soon."""
        if not self._is_refused(tries_again=options.get("retry", self.app.conf.task_publish_retry)):
            return super().apply_async(args, kwargs, **options)
        log.warning("task.not_queued", task=self.name)
        if "celery_beat_task" in (options.get("headers") or ()):
            beat_heartbeat.tell()
            return None
        raise QueueFull(f"{MOST_WAITING} tasks wait.")

    def _is_refused(self, *, tries_again: bool) -> bool:
        try:
            return is_full(self.app.conf.task_default_queue)
        except OperationalError:
            if not tries_again:
                raise
            return False  # a moment's stall: sending tries for longer


def is_full(queue: str) -> bool:
    """Whether MOST_WAITING tasks wait, or did within the last LOOK_SECONDS. Raises kombu's OperationalError while Redis
    is away: who does not try again finds it out sooner here than by sending."""
    global _length, _looked_at
    if monotonic() - _looked_at >= LOOK_SECONDS:
        _looked_at = monotonic()
        try:
            _length = blocking_redis().llen(queue)
        except RedisError as error:
            _looked_at = -LOOK_SECONDS
            raise OperationalError(f"Redis does not answer: {type(error).__name__}.") from error
    return _length >= MOST_WAITING
