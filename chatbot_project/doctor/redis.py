"""Redis: does it answer, does it keep what it is given, and does the channel layer carry messages through it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from channels.layers import get_channel_layer

from chatbot_project.doctor.registry import Findings, Request, check, failed, ok, warning
from chatbot_project.doctor.running import one_line
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.redis import RedisError, make_redis

FULL = 0.9


@asynccontextmanager
async def redis_client(seconds: float) -> AsyncIterator[Any]:
    """A client of its own, closed at the end."""
    client = make_redis(timeout=seconds)
    try:
        yield client
    finally:
        await client.aclose()


@check("redis", "Redis answers")
async def examine_redis(request: Request) -> Findings:
    key, value, began = f"nono:doctor:{uuid7().hex}", uuid7().hex.encode(), perf_counter()
    try:
        async with redis_client(request.seconds) as client:
            await client.set(key, value, ex=60)
            kept = await client.getdel(key)
    except (RedisError, OSError, ValueError) as error:
        return failed(
            f"Redis cannot be used: {one_line(error)}",
            "See that it runs, and that REDIS_URL names its host, password and database: redis://:password@host:6379/0",
        )
    if kept != value:
        return failed("Redis did not give back what it was given.", "See who else writes there, and its memory.")
    return ok(f"A value went there and back in {(perf_counter() - began) * 1000:.0f} ms.")


@check("redis-memory", "Redis throws no queue away", needs=("redis",))
async def examine_memory(request: Request) -> Findings:
    async with redis_client(request.seconds) as client:
        info = await client.info("memory")
    policy, used, most = str(info.get("maxmemory_policy", "")), int(info["used_memory"]), int(info.get("maxmemory", 0))
    said = f"{policy}, {used / 1e6:.0f} MB of {f'{most / 1e6:.0f} MB' if most else 'no limit'}"
    mend = "In redis.conf: maxmemory-policy noeviction (now: redis-cli CONFIG SET maxmemory-policy noeviction)"
    if policy != "noeviction" and most:
        return failed(f"{said}: once it is full, Celery's tasks and live replies are thrown away.", mend)
    if policy != "noeviction":
        return warning(f"{said}: with a limit, Celery's tasks would be thrown away.", mend)
    if most and used > FULL * most:
        return warning(f"{said}: once it is full it refuses to write.", "Raise maxmemory in redis.conf.")
    return ok(said)


@check("channels", "The channel layer carries a message", needs=("redis",))
async def examine_channels(request: Request) -> Findings:
    layer, word, began = get_channel_layer(), uuid7().hex, perf_counter()
    try:
        channel = await layer.new_channel()
        await layer.send(channel, {"type": "doctor.word", "word": word})
        heard = await layer.receive(channel)
    finally:
        await layer.flush()
    if heard.get("word") != word:
        return failed("Another message came than was sent.", "See that nothing else uses this Redis database.")
    return ok(f"Sent and received in {(perf_counter() - began) * 1000:.0f} ms.")
