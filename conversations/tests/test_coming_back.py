"""What happens once a part is back: it is used at once, and what was missed meanwhile is made up for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import cycle
from time import monotonic
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.utils import timezone
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.loops import cancel_until_done
from chatbot_project.lib.metrics.registry import REGISTRY
from chatbot_project.lib.redis import make_redis
from conversations import hub as hubs
from conversations.busy import Lines, known_lines, note_lines
from conversations.doorbell import PING
from conversations.hub import Hub
from conversations.models import Message
from conversations.replies import heartbeat, queue, sending
from conversations.replies import worker as workers
from conversations.replies.live import LiveReply
from conversations.replies.log import END, START, Entry, unpack_entries, web_channel
from conversations.replies.queue import Ending
from conversations.replies.sending import Sender
from conversations.replies.work import take_up
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


@pytest.fixture
async def worker(settings: Any) -> AsyncIterator[ReplyWorker]:
    """One for two providers, which is driven by hand."""
    settings.LLM_PROVIDERS, settings.PROVIDER_SLOTS = {"a": Mock(), "b": Mock()}, {"a": 1, "b": 1}
    made = ReplyWorker(Mock(resting=list))
    yield made
    await made._redis.aclose()


async def test_a_worker_whose_slots_were_taken_looks_once_more_where_another_was_sooner(
    worker: ReplyWorker, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "run_db", AsyncMock(return_value=[]))
    worker._saturated = True
    await worker._claim()
    assert worker._bell.is_set()
    worker._bell.clear()
    await worker._claim()
    assert not worker._bell.is_set()


async def test_a_worker_whose_slots_of_one_provider_are_taken_looks_as_soon_as_one_is_free(
    worker: ReplyWorker, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "run_db", AsyncMock(return_value=[]))
    worker._used["a"] = 1
    await worker._claim()
    assert worker._saturated


async def test_a_worker_looks_for_what_waits_for_somebody_who_is_paused(worker: ReplyWorker, monkeypatch: Any) -> None:
    looks: list[object] = []

    async def look(work: Any, *_arguments: Any) -> Any:
        looks.append(work)
        return []

    monkeypatch.setattr(workers, "REAP_SECONDS", 0.01)
    monkeypatch.setattr(workers, "run_db", look)
    reaping = asyncio.create_task(worker._reap_loop())
    async with asyncio.timeout(5):
        while queue.stop_paused not in looks:
            await asyncio.sleep(0.01)
    await cancel_until_done([reaping])


async def test_after_the_database_failed_it_a_worker_ends_nobodys_replies_for_as_long_as_a_lease(
    worker: ReplyWorker, monkeypatch: Any, settings: Any
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

    settings.REPLY_LEASE_SECONDS = 0.3
    monkeypatch.setattr(workers, "REAP_SECONDS", 0.01)
    monkeypatch.setattr(workers, "run_db", look)
    began = monotonic()
    reaping = asyncio.create_task(worker._reap_loop())
    async with asyncio.timeout(5):
        while looks.count(queue.orphans) < 2:
            await asyncio.sleep(0.01)
    await cancel_until_done([reaping])
    assert monotonic() - began >= 0.3
    assert looks.index(queue.depth) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("epoch", "expired_for", "stop_requested", "redis_is_away", "status"),
    [
        (1, 1.0, False, False, "streaming"),
        (2, 1.0, False, False, "interrupted"),  # of another try
        (None, 1.0, False, False, "interrupted"),
        (1, workers.HELD_SECONDS + 1, False, False, "interrupted"),
        (1, 1.0, True, False, "interrupted"),
        (1, 1.0, False, True, "interrupted"),
    ],
)
async def test_a_reply_whose_worker_only_redis_hears_is_left_to_it_for_a_while(
    worker: ReplyWorker,
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
        await heartbeat.hold(worker._redis, {row.pk: epoch}, 5)
    if redis_is_away:
        monkeypatch.setattr(worker._redis, "mget", AsyncMock(side_effect=RedisConnectionError))
    async with asyncio.timeout(5):
        await worker._reap()
    assert (await run_db(Message.objects.get, pk=row.pk)).status == status


async def test_a_worker_says_what_it_holds_only_while_the_database_takes_no_checkpoints(
    worker: ReplyWorker, monkeypatch: Any, settings: Any
) -> None:
    reply, silent, keeps, answers = uuid7(), uuid7(), [False], asyncio.Queue[bool]()
    settings.REPLY_LEASE_SECONDS = 1
    monkeypatch.setattr(workers, "CHECKPOINT_SECONDS", 0.01)
    worker.live[reply] = Mock(reply=reply, epoch=3, renewing=None, text="Hi", ending=True)
    worker.live[silent] = Mock(reply=silent, epoch=3, renewing=None, text="", ending=True)

    async def checkpoint(*_arguments: Any) -> dict[UUID, bool]:
        if not keeps[0]:
            raise OperationalError
        answers.put_nowait(True)
        return {}

    async def said() -> set[UUID]:
        return await heartbeat.held(worker._redis, {reply: 3, silent: 3})

    monkeypatch.setattr(workers, "run_db", checkpoint)
    loops = [asyncio.create_task(loop) for loop in (worker._beat_loop(), worker._checkpoint_loop())]
    async with asyncio.timeout(10):
        while not (held := await said()):
            await asyncio.sleep(0.05)
        assert held == {reply}
        assert await heartbeat.held(worker._redis, {reply: 2}) == set()
        keeps[0] = True
        await answers.get()
        while await said():
            await asyncio.sleep(0.05)
    await cancel_until_done(loops)


async def test_lines_are_read_on_whatever_broke_one_look(monkeypatch: Any) -> None:
    """Else what was accepted since the last would count for ever, until everybody is turned away."""
    looks = [KeyError("paces"), {("fake", 1): 7}]

    async def look(work: Any) -> Any:
        found = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(hubs, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(hubs, "run_db", look)
    monkeypatch.setattr(Hub, "_read_paces", AsyncMock(return_value={}))
    hub = Hub()
    reading = asyncio.create_task(hub._read_lines_loop())
    try:
        async with asyncio.timeout(5):
            while known_lines().length("fake") != 7:
                await asyncio.sleep(0.01)
    finally:
        await cancel_until_done([reading])
        await hub._redis.aclose()
        note_lines(Lines({}, {}))


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


@pytest.mark.django_db(transaction=True)
async def test_what_was_claimed_by_a_statement_whose_answer_was_lost_is_claimed_again(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    row, done, claims = (await run_db(ask, owner)).reply, asyncio.Event(), list[Any]()

    async def in_database(work: Any, *arguments: Any) -> Any:
        found = await run_db(work, *arguments)
        if work is take_up:
            claims.append(found)
            if len(claims) == 1:
                raise OperationalError
        return found

    monkeypatch.setattr(workers, "run_db", in_database)
    monkeypatch.setattr(workers, "POLL_SECONDS", 3600)
    monkeypatch.setattr(worker, "_run_reply", AsyncMock(side_effect=lambda _reply: done.set()))
    claiming = asyncio.create_task(worker._claim_loop())
    async with asyncio.timeout(10):
        await done.wait()
    assert [[claim.epoch for claim, _work in found] for found in claims] == [[1], [2]]
    assert list(worker.live) == [row.pk]
    await worker._claim()
    assert (await run_db(Message.objects.get, pk=row.pk)).status == "streaming"
    await cancel_until_done([claiming])


async def never(*_arguments: Any) -> Any:
    await asyncio.Event().wait()


@pytest.mark.django_db(transaction=True)
async def test_a_reply_that_is_taken_up_again_while_its_first_try_does_not_know_is_held_once(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "answer", never)
    pk = (await run_db(ask, owner)).reply.pk
    await worker._claim()
    first = worker.live[pk]
    await run_db(Message.objects.filter(pk=pk).update, status="queued", epoch=2)
    await worker._claim()
    again = worker.live[pk]
    assert first.task is not None
    assert again.task is not None
    async with asyncio.timeout(5):
        await first.task
    assert (again.epoch, worker.live[pk] is again, worker._used["fake"]) == (3, True, 1)
    worker._cancel(again, "overtaken")
    await again.task
    assert (worker.live, worker._used["fake"]) == ({}, 0)


@pytest.mark.django_db(transaction=True)
async def test_what_is_being_claimed_while_a_worker_is_told_to_end_is_answered(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    claimed = asyncio.Event()

    async def in_database(work: Any, *arguments: Any) -> Any:
        found = await run_db(work, *arguments)
        if work is take_up:
            claimed.set()
            await asyncio.sleep(0.3)
        return found

    async def answered(*_arguments: Any) -> Ending:
        return Ending("completed", "Hi")

    monkeypatch.setattr(workers, "run_db", in_database)
    monkeypatch.setattr(workers, "answer", answered)
    pk = (await run_db(ask, owner)).reply.pk
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        await claimed.wait()
        await worker.drain(5)
    assert (await run_db(Message.objects.get, pk=pk)).status == "completed"
    await cancel_until_done([running])


@pytest.mark.django_db(transaction=True)
async def test_an_ending_that_the_database_does_not_take_ends_as_broken_and_is_not_tried_for_ever(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    async def answered(reply: LiveReply, *_arguments: Any) -> Ending:
        reply.text = "Hi"
        return Ending("completed", "Hi", completion_tokens=2**40)

    monkeypatch.setattr(workers, "answer", answered)
    pk = (await run_db(ask, owner)).reply.pk
    await worker._claim()
    task = worker.live[pk].task
    assert task is not None
    async with asyncio.timeout(10):
        await task
    row = await run_db(Message.objects.get, pk=pk)
    assert (row.status, row.text, row.error_code) == ("interrupted", "Hi", "internal_error")
    assert (worker.live, worker._used["fake"]) == ({}, 0)


@pytest.mark.django_db(transaction=True)
async def test_a_stopped_reply_is_let_go_of_whatever_becomes_of_judging_it(
    worker: ReplyWorker, owner: User, persona: Persona, monkeypatch: Any
) -> None:
    monkeypatch.setattr(workers, "answer", never)
    monkeypatch.setattr(workers, "judged_shown", AsyncMock(side_effect=RuntimeError))
    pk = (await run_db(ask, owner)).reply.pk
    await worker._claim()
    reply = worker.live[pk]
    assert reply.task is not None
    await asyncio.sleep(0)
    worker._cancel(reply, "stop")
    with pytest.raises(RuntimeError):
        await reply.task
    assert (worker.live, worker._used["fake"]) == ({}, 0)
