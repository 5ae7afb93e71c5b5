"""``/healthz``: this process is alive. ``/readyz``: all that a reply needs is there, and what is not by name."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse

from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.redis import make_redis
from conversations.hub import running_hub
from conversations.replies.worker import HEARTBEAT_KEY

CHECK_SECONDS = 3.0


def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """200 where every part answers, else 503; ``parts`` says which does not. A draining process is not ready."""
    names = ("database", "redis", "model", "worker")
    answers = await asyncio.gather(*(_state(check()) for check in (_database, _redis, _model, _worker)))
    parts: dict[str, str] = dict(zip(names, answers, strict=True))
    parts["web"] = "draining" if running_hub().draining else "ok"
    ready = all(state == "ok" for state in parts.values())
    return JsonResponse({"status": "ok" if ready else "unavailable", "parts": parts}, status=200 if ready else 503)


async def _state(check: Awaitable[Any]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check
    except Exception as error:  # any failure of a part means the same here, and its kind is all that is told
        return f"unavailable ({type(error).__name__})"
    return "ok"


async def _database() -> None:
    await run_db(lambda: connection.cursor().execute("SELECT 1"))


async def _redis() -> None:
    client = make_redis(timeout=CHECK_SECONDS)
    try:
        await client.ping()
    finally:
        await client.aclose()


async def _model() -> None:
    async with LLMClient(settings.LLM_PROVIDERS) as llm:
        await llm.check(settings.DEFAULT_MODEL.partition("/")[0])


async def _worker() -> None:
    client = make_redis(timeout=CHECK_SECONDS)
    try:
        if not await client.exists(HEARTBEAT_KEY):
            raise LookupError("no reply worker has been heard of")
    finally:
        await client.aclose()
