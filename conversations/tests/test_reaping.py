"""A worker looks for replies that nobody streams any more, and settles them."""

import asyncio
from asyncio import sleep
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from django.db import OperationalError
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.loops import cancel_until_done
from chatbot_project.lib.redis import make_redis
from conversations.models import Message
from conversations.replies import heartbeat, queue, reaping
from conversations.replies.reaping import Reaper
from conversations.replies.sending import Sender
from personas.models import Persona

from .factories import ask


@pytest.fixture
async def reaper() -> AsyncIterator[Reaper]:
    """That of a worker which streams nothing itself."""
    client = make_redis()
    yield Reaper(client, Sender(client, {}, on_lost=AsyncMock()), set(), on_queued=Mock())
    await client.aclose()


async def test_a_worker_looks_for_what_waits_for_somebody_who_is_paused(reaper: Reaper, monkeypatch: Any) -> None:
    looks: list[object] = []

    async def look(work: Any, *_arguments: Any) -> Any:
        looks.append(work)
        return []

    monkeypatch.setattr(reaping, "REAP_SECONDS", 0.01)
    monkeypatch.setattr(reaping, "run_db", look)
    running = asyncio.create_task(reaper.run())
    async with asyncio.timeout(5):
        while queue.stop_paused not in looks:
            await asyncio.sleep(0.01)
    await cancel_until_done([running])


async def test_after_the_database_failed_it_a_worker_ends_nobodys_replies_for_as_long_as_a_lease(
    reaper: Reaper, monkeypatch: Any, settings: Any
) -> None:
    """Others could not renew theirs either, and the database itself may never have been away: a standby took over."""
    looks: list[object] = []
    failing = [True]

    async def look(work: Any, *_arguments: Any) -> Any:
        looks.append(work)
        if failing:
            failing.clear()
            raise OperationalError("another server takes over")
        return []

    settings.REPLY_LEASE_SECONDS = 2
    monkeypatch.setattr(reaping, "REAP_SECONDS", 0.01)
    monkeypatch.setattr(reaping, "run_db", look)
    began = monotonic()
    running = asyncio.create_task(reaper.run())
    async with asyncio.timeout(5):
        while looks.count(queue.orphans) < 2:
            await asyncio.sleep(0.01)
    await cancel_until_done([running])
    assert monotonic() - began >= 2
    assert looks.index(queue.depth) == 1


@pytest.mark.parametrize("standstill", ["in its rest", "as it asked"])
async def test_nor_after_its_machine_stood_still(reaper: Reaper, monkeypatch: Any, standstill: str) -> None:
    """All leases are over then, as nobody could renew any."""
    clock, looks, settled = Mock(time=Mock(return_value=100.0), monotonic=monotonic), list[object](), AsyncMock()

    async def look(work: Any, *_arguments: Any) -> Any:
        looks.append(work)
        if work is queue.orphans:
            clock.time.return_value += 5
            return [queue.Orphan(uuid7(), uuid7(), 1, "Half")]
        return []

    async def rest(_seconds: float) -> None:
        await sleep(0.01)
        if standstill == "in its rest" and not looks:
            clock.time.return_value += 5

    monkeypatch.setattr(reaping, "time", clock)
    monkeypatch.setattr(reaping, "run_db", look)
    monkeypatch.setattr(reaping, "REAP_SECONDS", 0)
    monkeypatch.setattr(reaping, "asyncio", Mock(sleep=rest))
    monkeypatch.setattr(reaper, "_settle", settled)
    running = asyncio.create_task(reaper.run())
    async with asyncio.timeout(5):
        while looks.count(queue.depth) < 3:
            await asyncio.sleep(0.01)
    await cancel_until_done([running])
    assert looks.count(queue.orphans) == (standstill == "as it asked")
    settled.assert_not_awaited()


async def test_all_that_nobody_streams_is_settled_at_one_look(reaper: Reaper, monkeypatch: Any) -> None:
    orphans = [queue.Orphan(uuid7(), uuid7(), 1, "") for _reply in range(5)]
    settled = AsyncMock()

    async def look(_work: Any, looked_at: set[UUID]) -> list[queue.Orphan]:
        return [orphan for orphan in orphans if orphan.reply not in looked_at][:2]

    monkeypatch.setattr(reaping, "run_db", look)
    monkeypatch.setattr(reaper, "_settle", settled)
    await reaper.reap()
    assert [call.args[0] for call in settled.await_args_list] == orphans


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("epoch", "expired_for", "stop_requested", "redis_is_away", "status"),
    [
        (1, 1.0, False, False, "streaming"),
        (2, 1.0, False, False, "interrupted"),  # of another try
        (None, 1.0, False, False, "interrupted"),
        (1, reaping.HELD_SECONDS + 1, False, False, "interrupted"),
        (1, 1.0, True, False, "interrupted"),
        (1, 1.0, False, True, "interrupted"),
    ],
)
async def test_a_reply_whose_worker_only_redis_hears_is_left_to_it_for_a_while(
    reaper: Reaper,
    owner: User,
    persona: Persona,
    monkeypatch: Any,
    epoch: int | None,
    expired_for: float,
    stop_requested: bool,
    redis_is_away: bool,
    status: str,
) -> None:
    row = (await run_db(ask, owner)).reply
    past = timezone.now() - timedelta(seconds=expired_for)
    await run_db(Message.objects.filter(pk=row.pk).update, status="streaming", epoch=1, lease_expires_at=past)
    orphan = queue.Orphan(row.pk, row.conversation_id, 1, "Half", None, expired_for, stop_requested)
    monkeypatch.setattr(queue, "orphans", lambda but_for: [] if row.pk in but_for else [orphan])
    if epoch is not None:
        await heartbeat.hold(reaper._redis, {row.pk: epoch}, 5)
    if redis_is_away:
        monkeypatch.setattr(reaper._redis, "mget", AsyncMock(side_effect=RedisConnectionError))
    async with asyncio.timeout(5):
        await reaper.reap()
    assert (await run_db(Message.objects.get, pk=row.pk)).status == status
