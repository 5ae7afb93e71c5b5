"""Has each of the product's Redis clients ask something, by REDIS_URL, in a process of its own (test_redis_tls.py)."""

import asyncio
import json
from collections.abc import Callable

from channels.layers import get_channel_layer
from django.core.cache import cache

from chatbot_project.celery import app
from chatbot_project.lib.redis import blocking_redis, make_redis


async def streaming() -> bool:
    client = make_redis()
    try:
        return bool(await client.ping())
    finally:
        await client.aclose()


async def channels() -> bool:
    layer = get_channel_layer()
    name = await layer.new_channel()
    await layer.send(name, {"type": "asked"})
    async with asyncio.timeout(5):
        return (await layer.receive(name)) == {"type": "asked"}


def celery() -> bool:
    with app.connection_for_write() as connection:
        connection.connect()  # once: what comes after would try again and again
        return bool(connection.default_channel.client.ping())


def cached() -> bool:
    cache.set("nono:asked", 1, 60)
    return cache.get("nono:asked") == 1


CLIENTS: dict[str, Callable[[], object]] = {
    "blocking": lambda: blocking_redis().ping(),
    "cache": cached,
    "celery": celery,
    "streaming": lambda: asyncio.run(streaming()),
    "channels": lambda: asyncio.run(channels()),
}


def told(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except Exception as error:  # whatever it is, it is what is asked for here
        return type(error).__name__


def main() -> None:
    """Print what each got, as JSON: ``true``, or the class of its error."""
    print(json.dumps({name: told(ask) for name, ask in CLIENTS.items()}))
