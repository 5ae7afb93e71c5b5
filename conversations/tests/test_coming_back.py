"""What happens once a part is back: it is used at once, and what was missed meanwhile is made up for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from redis import Redis

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.loops import cancel_until_done
from chatbot_project.lib.metrics.registry import REGISTRY
from chatbot_project.lib.redis import make_redis
from conversations import hub as hubs
from conversations.busy import Lines, known_lines, note_lines, refuse_if_busy
from conversations.doorbell import PING
from conversations.hub import Hub
from conversations.models import Message
from conversations.replies import sending
from conversations.replies import worker as workers
from conversations.replies.log import END, START, Entry, unpack_entries, web_channel
from conversations.replies.sending import Sender
from conversations.replies.worker import ReplyWorker
from personas.models import Persona
from stress_tests.chaos.proxy import Proxy, to_socket

from .factories import ask, end
from .test_hub import Reader

REDIS_SOCKET = django_settings.REDIS_URL.removeprefix("unix://").partition("?")[0]


@pytest.fixture
async def link(settings: Any) -> AsyncIterator[Proxy]:
    """What lies between this process and Redis."""
    async with Proxy(to_socket(REDIS_SOCKET)) as proxy:
        settings.REDIS_URL = f"redis://127.0.0.1:{proxy.port}/0"
        yield proxy


@pytest.fixture
async def sender(link: Proxy) -> AsyncIterator[Sender]:
    """A worker's sender, with Redis away; all endings go to the web process ``web``."""
    client = make_redis()
    link.refuses = True
    yield Sender(client, {}, on_lost=AsyncMock())
    await client.aclose()


async def ended_once_back(link: Proxy, sender: Sender) -> list[UUID]:
    """The replies whose endings ``web`` hears of when Redis is back."""
    link.heal()
    reader = make_redis(timeout=None)
    pubsub = reader.pubsub()
    try:
        await pubsub.subscribe(web_channel("web"))
        async with asyncio.timeout(5):
            while (heard := await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.05)) is None:
                await sender.send()
        return [entry.reply for entry in unpack_entries(heard["data"]) if entry.kind == END]
    finally:
        await pubsub.aclose()
        await reader.aclose()


async def test_endings_that_redis_did_not_take_are_sent_once_it_is_back(link: Proxy, sender: Sender) -> None:
    reply = uuid7()
    sender.end([Entry(reply, 1, 0, 3, END, b"{}")], {"web"})
    await sender.send()
    assert sender.is_away
    assert await ended_once_back(link, sender) == [reply]
    assert not sender.is_away


async def test_of_endings_that_redis_does_not_take_only_the_last_are_kept(
    link: Proxy, sender: Sender, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sending, "KEPT_ENDINGS", 3)
    replies = [uuid7() for _reply in range(5)]
    for reply in replies:
        sender.end([Entry(reply, 1, 0, 3, END, b"{}")], {"web"})
    await sender.send()
    await sender.send()
    assert await ended_once_back(link, sender) == replies[2:]


async def test_only_what_redis_took_counts_as_relayed(link: Proxy, sender: Sender) -> None:
    def counted() -> tuple[float, float]:
        names = ("nono_relay_entries_total", "nono_relay_seconds_count")
        entries, ticks = (REGISTRY.get_sample_value(name) or 0.0 for name in names)
        return entries, ticks

    async def tick() -> None:
        sender.say(reply)
        await sender.next_tick()

    before, pk = counted(), uuid7()
    reply = Mock(reply=pk, ending=False, followers=set())
    reply.take_entry.side_effect = cycle([Entry(pk, 1, 0, 0, START, b"{}"), None])
    running = asyncio.create_task(sender.run())
    try:
        async with asyncio.timeout(10):
            for _tick in range(3):
                await tick()
            assert sender.is_away
            assert counted() == before
            link.heal()
            while counted()[0] == before[0]:
                await tick()
            await tick()
        assert counted()[1] > before[1]
    finally:
        await cancel_until_done([running])


async def test_a_worker_looks_for_work_as_soon_as_the_database_is_back(monkeypatch: Any) -> None:
    monkeypatch.setattr(workers, "POLL_SECONDS", 3600)
    worker = ReplyWorker(Mock())
    looks = asyncio.Queue[int]()

    async def claim() -> None:
        looks.put_nowait(0)
        if looks.qsize() < 3:
            raise OperationalError

    monkeypatch.setattr(worker, "_claim", claim)
    claiming = asyncio.create_task(worker._claim_loop())
    async with asyncio.timeout(5):
        while looks.qsize() < 3:
            await asyncio.sleep(0.01)
    await cancel_until_done([claiming])
    await worker._redis.aclose()


async def test_the_doctor_is_answered_once_the_database_has_answered(monkeypatch: Any) -> None:
    worker, key, tries = ReplyWorker(Mock()), f"nono:doctor:{uuid7().hex}", list[str]()

    async def in_database(_work: Any, sql: str, _parameters: Any) -> None:
        tries.append(sql)
        if len(tries) < 3:
            raise OperationalError
        assert not await worker._redis.exists(key)

    monkeypatch.setattr(workers, "POLL_SECONDS", 3600)
    monkeypatch.setattr(workers, "run_db", in_database)
    monkeypatch.setattr(worker, "_claim", AsyncMock())
    claiming = asyncio.create_task(worker._claim_loop())
    worker._heard(PING + key.encode())
    assert await worker._redis.blpop([key], timeout=1.5)
    assert tries == ["SELECT 1"] * 3
    await cancel_until_done([claiming])
    await worker._redis.aclose()


@asynccontextmanager
async def reading_lines(look: Callable[[Any], Awaitable[Any]], monkeypatch: Any) -> AsyncIterator[None]:
    """Within the block a hub reads the lines again and again, by ``look``; it has five seconds."""
    for name in ("LOOK_SECONDS", "COMMIT_SECONDS"):
        monkeypatch.setattr(hubs, name, 0.01)
    monkeypatch.setattr(hubs, "run_db", look)
    monkeypatch.setattr(Hub, "_read_paces", AsyncMock(return_value={}))
    hub = Hub()
    reading = asyncio.create_task(hub._read_lines_loop())
    try:
        async with asyncio.timeout(5):
            yield
    finally:
        await cancel_until_done([reading])
        await hub._redis.aclose()
        note_lines(Lines({}, {}))


async def test_lines_are_read_on_whatever_broke_one_look(monkeypatch: Any) -> None:
    """Else what was accepted since the last would count for ever, until everybody is turned away."""
    looks = [KeyError("paces"), {("fake", 1): 7}]

    async def look(_work: Any) -> Any:
        found = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(found, Exception):
            raise found
        return found

    async with reading_lines(look, monkeypatch):
        while known_lines().length("fake") != 7:
            await asyncio.sleep(0.01)


async def test_what_is_accepted_just_before_the_lines_are_read_goes_on_being_counted(monkeypatch: Any) -> None:
    """It is counted in before it is stored."""
    read = asyncio.Event()

    async def look(_work: Any) -> Any:
        if read.is_set():
            await asyncio.Event().wait()
        refuse_if_busy(Mock(is_guest=False, is_staff=False), 0, "fake")
        read.set()
        return {("fake", 1): 7}

    async with reading_lines(look, monkeypatch):
        while known_lines().length("fake") < 7:
            await asyncio.sleep(0.01)
        assert known_lines().length("fake") == 8


@pytest.mark.django_db(transaction=True)
async def test_a_reply_that_ended_unheard_is_told_as_soon_as_the_hub_hears_again(
    owner: User, persona: Persona, monkeypatch: Any
) -> None:
    for name in ("SILENT_SECONDS", "UNCLAIMED_SECONDS"):
        monkeypatch.setattr(hubs, name, 3600)  # nothing is looked up just because it is silent
    hub = Hub()
    hub.start()
    try:
        row = (await run_db(ask, owner)).reply
        await run_db(Message.objects.filter(pk=row.pk).update, status="streaming", epoch=1)
        reader = Reader(hub)
        hub.follow(reader, row.conversation_id, row.pk)
        await run_db(end, row, "Whole.")
        with Redis.from_url(django_settings.REDIS_URL) as redis:
            redis.client_kill_filter(_type="pubsub")
        await reader.until(lambda: reader.heard == ["reply.completed"])
    finally:
        await hub.stop()
