"""Redis clients. Losing Redis loses nothing that was acknowledged, so every caller must get along without it."""

from django.conf import settings
from redis import asyncio as aioredis
from redis.exceptions import RedisError

__all__ = ["RedisError", "make_redis"]


def make_redis(*, timeout: float | None = 2.0) -> "aioredis.Redis[bytes]":
    """A new asyncio client that answers in bytes.

    ``timeout`` bounds connecting and each answer, in seconds; ``None`` is for subscriptions, which wait.
    Belongs to the event loop in which it is first used; the caller closes it with ``aclose()``.
    """
    return aioredis.from_url(
        settings.REDIS_URL, socket_timeout=timeout, socket_connect_timeout=2.0, health_check_interval=0, protocol=2
    )
