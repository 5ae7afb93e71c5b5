"""A worker's signs of life in Redis: that it is there, which providers it gives a rest, its answers to the doctor."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

HEARTBEAT_KEY = "nono:worker-alive"
HEARTBEAT_SECONDS = 15  # for which a sign of life counts
TELL_SECONDS = HEARTBEAT_SECONDS / 5
RESTING_KEY = "nono:resting:"
ANSWER_SECONDS = 60


def resting_key(provider: str) -> str:
    """The Redis key that is there while a worker's breaker keeps requests from ``provider``."""
    return f"{RESTING_KEY}{provider}"


async def tell(client: Any, resting: Iterable[str]) -> None:
    """Say through the Redis ``client`` that a worker lives, and which providers are ``resting``. Raises RedisError."""
    pipe = client.pipeline(transaction=False)
    pipe.set(HEARTBEAT_KEY, timezone.now().isoformat(), ex=HEARTBEAT_SECONDS)
    for provider in resting:
        pipe.set(resting_key(provider), b"1", ex=HEARTBEAT_SECONDS)
    await pipe.execute()


async def answer(client: Any, keys: Iterable[str]) -> None:
    """Answer the doctor, in the list of each of ``keys``. Raises RedisError."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.rpush(key, b"here")
        pipe.expire(key, ANSWER_SECONDS)
    await pipe.execute()
