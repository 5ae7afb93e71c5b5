"""The product's ASGI application for servers that ``manage.py runweb`` does not start: begun as it begins it.

Where a server tells of its end (ASGI's lifespan), that is answered as runweb answers SIGTERM: every tab is sent
elsewhere. What comes of it is what stress_tests/bench_servers.py looks for.
"""

import asyncio
from typing import Any

from django.urls import get_resolver

from chatbot_project.asgi import application as product  # before what needs its settings
from chatbot_project.lib import maintenance, threads
from chatbot_project.lib.collecting import keep_loaded
from chatbot_project.management.commands.runweb import DRAIN_SECONDS
from conversations.hub import running_hub

threads.share_arenas()  # before any thread starts
_looking: asyncio.Task[None] | None = None


async def application(scope: Any, receive: Any, send: Any) -> None:
    """ASGI. The first call begins what runweb begins before it serves."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    _begin()
    await product(scope, receive, send)


def _begin() -> None:
    global _looking
    if _looking is not None:
        return
    threads.start_default()
    running_hub()
    _looking = asyncio.create_task(maintenance.keep_looking())
    get_resolver().url_patterns  # noqa: B018 - imports every view now, as runweb does
    keep_loaded()


async def _live(receive: Any, send: Any) -> None:
    while True:
        told = (await receive())["type"]
        if told == "lifespan.startup":
            _begin()
        else:
            await running_hub().drain(DRAIN_SECONDS, answers_seconds=DRAIN_SECONDS)
        await send({"type": f"{told}.complete"})
        if told == "lifespan.shutdown":
            return
