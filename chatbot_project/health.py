"""``/healthz``: this process is alive. ``/readyz``: all that a reply needs is there, and what is not by name."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse
from psycopg.errors import DiskFull

from accounts.privacy.erasure_log import lines, unreplayed
from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.postgres.base import is_disk_full
from chatbot_project.lib.redis import make_redis
from conversations.hub import is_draining
from conversations.replies.heartbeat import HEARTBEAT_KEY

CHECK_SECONDS = 3.0
KEPT_SECONDS = 1.0  # whoever asks as often as they like shall not spend a provider's quota
PARTS = ("database", "redis", "model", "worker", "erasures", "web")


def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """200 where every part answers, else 503; ``parts`` says which does not. A draining process is not ready."""
    health = await check_health()
    status = "ok" if health.is_ready else "unavailable"
    return JsonResponse({"status": status, "parts": health.parts}, status=200 if health.is_ready else 503)


@dataclass(frozen=True, slots=True)
class Health:
    """What is there of all that a reply needs. A part's state is ``ok``, ``draining``, or begins with ``unavailable``
    and names the kind of its error."""

    parts: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        return all(state == "ok" for state in self.parts.values())


async def check_health() -> Health:
    """Every part's state, of KEPT_SECONDS ago at most. However many ask, each part is asked once at a time."""
    loop = asyncio.get_running_loop()
    look = _looks.get(loop)
    if look is None or (look.done() and (look.cancelled() or loop.time() - look.result()[0] > KEPT_SECONDS)):
        look = _looks[loop] = loop.create_task(_look())
    _ended_at, states = await asyncio.shield(look)
    return Health({**states, "web": "draining" if is_draining() else "ok"})


_looks: WeakKeyDictionary[asyncio.AbstractEventLoop, "asyncio.Task[tuple[float, Mapping[str, str]]]"] = (
    WeakKeyDictionary()
)


async def _look() -> tuple[float, Mapping[str, str]]:
    """When it ended, by the loop's clock, and what the parts said within CHECK_SECONDS. Raises nothing of theirs."""
    checks = {"database": _database, "redis": _redis, "model": _model, "worker": _worker, "erasures": _erasures}
    answers = await asyncio.gather(*(_state(check()) for check in checks.values()))
    return asyncio.get_running_loop().time(), dict(zip(checks, answers, strict=True))


async def _state(check: Awaitable[Any]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check
    except Exception as error:  # any failure of a part means the same here, and its kind is all that is told
        return f"unavailable ({type(error).__name__})"
    return "ok"


async def _database() -> None:
    """It answers, and takes what is written: one that stands by for another reads alone, and so does one whose disk is
    full, as far as a write has told."""

    def is_read_only() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only')::bool")
            return bool(cursor.fetchone()[0])

    if await run_db(is_read_only):
        raise PermissionError("it is read-only")
    if is_disk_full():
        raise DiskFull("it took no write a moment ago")


async def _redis() -> None:
    client = make_redis(timeout=CHECK_SECONDS)
    try:
        await client.ping()
    finally:
        await client.aclose()


async def _model() -> None:
    async with LLMClient(settings.LLM_PROVIDERS) as llm:
        await llm.check(settings.DEFAULT_MODEL.partition("/")[0])


async def _erasures() -> None:
    """What was erased before a backup was restored is erased again."""
    if lines() and await run_db(unreplayed):
        raise LookupError("erasures are to be replayed: run manage.py replay_erasures")


async def _worker() -> None:
    client = make_redis(timeout=CHECK_SECONDS)
    try:
        if not await client.exists(HEARTBEAT_KEY):
            raise LookupError("no reply worker has been heard of")
    finally:
        await client.aclose()
