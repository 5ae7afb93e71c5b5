"""Redis clients. Losing Redis loses nothing that was acknowledged, so every caller must get along without it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import redis
import structlog
from django.conf import settings
from redis import asyncio as aioredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from chatbot_project.lib.backoff import Backoff

__all__ = ["RedisError", "blocking_redis", "make_redis", "open_all", "subscribe"]

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 1.0
#: Between attempts to subscribe; one that lasted for SETTLED_SECONDS is followed by another at once.
FIRST_RETRY_SECONDS, RETRY_SECONDS, SETTLED_SECONDS = 0.05, 0.4, 1.0
#: A client's connections at most, and how long a command waits for one of them: a thousand people who ask at once are
#: no reason to say that Redis is away. Each one carries thousands of commands a second.
CONNECTIONS, CONNECTION_SECONDS = 8, 20.0


def make_redis(*, timeout: float | None = 2.0) -> Any:
    """A new asyncio client that answers in bytes. What comes at once beyond its CONNECTIONS waits its turn.

    ``timeout`` bounds connecting and each answer, in seconds; ``None`` is for subscriptions, which wait.
    Belongs to the event loop in which it is first used; the caller closes it with ``aclose()``.
    """
    pool = aioredis.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        max_connections=CONNECTIONS,
        timeout=CONNECTION_SECONDS,
        socket_timeout=timeout,
        socket_connect_timeout=2.0,
        protocol=2,
    )
    pool.connection_class = _losing_as_told(pool.connection_class)
    return aioredis.Redis.from_pool(pool)


async def open_all(client: Any) -> None:
    """Open all connections that a client of ``make_redis`` may have, where it lasts as long as its process: none is
    opened in the midst of a burst, and what a process takes up is seen when it starts. Where Redis is away, each is
    opened as needed."""
    pool = client.connection_pool
    async with contextlib.AsyncExitStack() as opened:
        try:
            for _connection in range(CONNECTIONS):
                opened.push_async_callback(pool.release, await pool.get_connection())
        except RedisError as error:
            log.warning("redis.away_at_start", error=type(error).__name__)


def _losing_as_told(kind: Any) -> Any:
    """A ``kind`` of connection for which one that broke while it was written to is lost like any other.

    uvloop raises RuntimeError then, which neither redis-py nor its callers take for a lost connection.
    """

    class Connection(kind):  # type: ignore[misc]  # a class by the address: of TCP, TLS or a unix socket
        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                raise RedisConnectionError("The connection was lost while it was written to.") from error

    return Connection


def blocking_redis() -> redis.Redis:
    """This process's client for code that is not asyncio's; any thread may use it, none closes it.

    Connecting and each answer are bounded by ANSWER_SECONDS: a request waits for it.
    """
    return _blocking_redis(settings.REDIS_URL)


@lru_cache(maxsize=4)
def _blocking_redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, protocol=2)


async def subscribe(
    channel: str, on_message: Callable[[bytes], None], on_connect: Callable[[], Awaitable[None]]
) -> None:
    """Call ``on_message`` with every message of ``channel``, for ever; run it as a task and cancel it.

    What is published while the connection is away is lost: ``on_connect`` runs after each (re)connection and must
    make up for it. ``on_message`` must not raise and not block.
    """
    waits = Backoff(FIRST_RETRY_SECONDS, RETRY_SECONDS)
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        client = make_redis(timeout=None)
        pubsub = client.pubsub()
        try:
            await pubsub.subscribe(channel)
            await on_connect()
            async for message in pubsub.listen():
                if message["type"] == "message":
                    on_message(message["data"])
        except (RedisError, OSError) as error:
            log.warning("redis.subscription_lost", channel=channel, error=type(error).__name__)
            if clock() - began > SETTLED_SECONDS:
                waits.reset()
            await waits.wait()
        finally:
            await pubsub.aclose()
            await client.aclose()
