"""Beat's sign of life: when it last had a task to send, kept in Redis for ``manage.py doctor``."""

import time
from typing import Any

import structlog
from celery.signals import after_task_publish, beat_init
from django.utils import timezone

from chatbot_project.lib.redis import RedisError, blocking_redis

log = structlog.get_logger(__name__)

BEAT_KEY = "nono:beat-alive"
KEPT_SECONDS = 24 * 3600  # so that a beat that ended can be told from one that never was
EVERY_SECONDS = 2.0

_told_at = 0.0


@beat_init.connect(weak=False)  # type: ignore[untyped-decorator]
def keep_telling(**kwargs: Any) -> None:
    """In beat's own process, and in no other."""
    after_task_publish.connect(tell, weak=False)


def tell(**kwargs: Any) -> None:
    """A task was sent, or would have been were the queue not full. Told at most every EVERY_SECONDS: many may be due
    at once."""
    global _told_at
    if time.monotonic() - _told_at < EVERY_SECONDS:
        return
    _told_at = time.monotonic()
    try:
        blocking_redis().set(BEAT_KEY, timezone.now().isoformat(), ex=KEPT_SECONDS)
    except RedisError as error:
        log.warning("beat.not_told", error=type(error).__name__)
