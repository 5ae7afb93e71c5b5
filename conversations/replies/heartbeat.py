"""A worker's signs of life in Redis: that it is there, which providers it gives a rest, which replies it holds though
the database does not take its word for it, its answers to the doctor."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

HEARTBEAT_KEY = "nono:worker-alive"
HEARTBEAT_SECONDS = 15  # for which a sign of life counts
TELL_SECONDS = HEARTBEAT_SECONDS / 5
RESTING_KEY = "nono:resting:"
HELD_KEY = "nono:held:"
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


async def hold(client: Any, epochs: Mapping[UUID, int], seconds: float) -> None:
    """Say for ``seconds`` that the replies of ``epochs`` are streamed under these. Raises RedisError."""
    pipe = client.pipeline(transaction=False)
    for reply, epoch in epochs.items():
        pipe.set(f"{HELD_KEY}{reply}", epoch, px=int(seconds * 1000))
    await pipe.execute()


async def held(client: Any, epochs: Mapping[UUID, int]) -> set[UUID]:
    """Those of ``epochs`` that somebody says to hold under the very epoch. Raises RedisError."""
    if not epochs:
        return set()
    said = await client.mget([f"{HELD_KEY}{reply}" for reply in epochs])
    return {reply for (reply, epoch), value in zip(epochs.items(), said, strict=True) if value == b"%d" % epoch}


async def answer(client: Any, keys: Iterable[str]) -> None:
    """Answer the doctor, in the list of each of ``keys``. Raises RedisError."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.rpush(key, b"here")
        pipe.expire(key, ANSWER_SECONDS)
    await pipe.execute()
