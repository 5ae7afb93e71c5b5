"""The hub with a real Redis and readers by hand: what one of them does is nothing to the others."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.redis import make_redis
from chatbot_project.lib.tests.counting import refusals
from conversations import connections, doorbell, listening, services
from conversations import hub as hubs
from conversations.connections import READS_AT_ONCE
from conversations.events import TypingSeen
from conversations.hub import FollowedReply, Hub
from conversations.models import Message
from conversations.presence import Transport
from conversations.replies.live import LiveReply
from conversations.replies.log import (
    KEEP_ENDED_SECONDS,
    KEEP_FOLLOWERS_SECONDS,
    LiveLog,
    followers_key,
    log_key,
    web_channel,
)
from conversations.replies.queue import Ending
from personas.models import Persona

from .factories import ask

pytestmark = pytest.mark.django_db(transaction=True)


class Reader:
    """A socket that keeps its frames; ``leave_at`` one it leaves in the midst of being sent it."""

    credential, auth_epoch = "session:", 0

    def __init__(self, hub: Hub, leave_at: str = "", transport: Transport = "http") -> None:
        self.hub, self.leave_at = hub, leave_at
        self.user_id: UUID = uuid7()
        self.heard: list[str] = []
        self.epochs: set[int] = set()
        self.changed = asyncio.Event()
        hub.add(self, transport=transport)

    def offer(self, frame: bytes) -> None:
        event = json.loads(frame)
        self.heard.append(event["type"])
        self.epochs.add(event.get("epoch", 0))
        self.changed.set()
        if self.heard[-1] == self.leave_at:
            self.hub.remove(self)

    def close_soon(self, code: int) -> None:
        self.hub.remove(self)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def hub(transactional_db: None) -> AsyncIterator[Hub]:
    """A running hub whose subscription stands."""
    made = Hub()
    made.start()
    redis = make_redis()
    async with asyncio.timeout(5):
        while (await redis.pubsub_numsub(web_channel(made.web)))[0][1] == 0:
            pass
    await redis.aclose()
    yield made
    await made.stop()


@pytest.fixture
async def log() -> AsyncIterator[LiveLog]:
    redis = make_redis()
    yield LiveLog(redis)
    await redis.aclose()


@pytest.mark.parametrize("leave_at", ["reply.started", "reply.delta", "reply.completed"])
async def test_a_reader_that_leaves_in_the_midst_of_a_frame_takes_nobody_with_it(
    hub: Hub, log: LiveLog, owner: User, persona: Persona, leave_at: str
) -> None:
    row = (await run_db(ask, owner)).reply
    await run_db(Message.objects.filter(pk=row.pk).update, status="streaming", epoch=1)
    claim: Any = Mock(reply=row.pk, conversation=row.conversation_id, epoch=1, text="")
    reply = LiveReply.of(claim, Mock(models=["fake/echo"]))
    readers = [Reader(hub), Reader(hub, leave_at), Reader(hub), Reader(hub, leave_at), Reader(hub)]
    for reader in readers:
        hub.follow(reader, reply.conversation, reply.reply)
    entry = reply.take_entry()
    assert entry
    await log.append([(entry, {hub.web})])
    for reader in readers:
        await reader.until(lambda reader=reader: bool(reader.heard))
    for number in range(3):
        reply.text += f"{number} "
        entry = reply.take_entry()
        assert entry
        await log.append([(entry, {hub.web})])
        for reader in (readers[0], readers[2], readers[4]):
            await reader.until(lambda reader=reader, count=number + 2: len(reader.heard) == count)
    await log.append([(reply.ending_entry(Ending("completed", reply.text)), {hub.web})])
    for reader in (readers[0], readers[2], readers[4]):
        await reader.until(lambda reader=reader: reader.heard[-1] == "reply.completed")
        assert reader.heard == ["reply.started", "reply.delta", "reply.delta", "reply.delta", "reply.completed"]
    for reader in (readers[1], readers[3]):
        assert reader.heard.count(leave_at) == 1
        assert reader.heard[-1] == leave_at
    assert hub.sockets == {readers[0], readers[2], readers[4]}


async def test_nothing_of_an_epoch_that_the_database_is_past_is_sent(
    hub: Hub, log: LiveLog, owner: User, persona: Persona
) -> None:
    row = (await run_db(ask, owner)).reply
    await run_db(Message.objects.filter(pk=row.pk).update, status="streaming", epoch=2, text="Plain ")
    claim: Any = Mock(reply=row.pk, conversation=row.conversation_id, epoch=1, text="")
    reply = LiveReply.of(claim, Mock(models=["fake/echo"]))
    for text in ("", "Plain ", "Plain words "):  # what was said before it was stopped and continued
        reply.text = text
        entry = reply.take_entry()
        assert entry
        await log.append([(entry, set())])
    readers = {cursor: Reader(hub) for cursor in [(0, 0), (1, 0), (1, 6), (1, 12)]}
    for cursor, reader in readers.items():
        hub.follow(reader, row.conversation_id, row.pk, cursor, epoch=2)
    # All have read the old log before the new one begins.
    await asyncio.gather(*(task for task in hub._tasks if task.get_coro().__name__ == "_sync"))
    again = LiveReply.of(Mock(reply=row.pk, conversation=row.conversation_id, epoch=2, text="Plain "), reply.work)
    entry = again.take_entry()
    assert entry
    await log.append([(entry, {hub.web})])
    for reader in readers.values():
        await reader.until(lambda reader=reader: bool(reader.heard))
        assert reader.epochs == {2}
        assert reader.heard == ["reply.snapshot"]


async def said_and_ended(log: LiveLog, row: Message) -> LiveReply:
    """A reply under epoch 1 whose log holds its text and its ending, of which nobody was told."""
    reply = LiveReply.of(Mock(reply=row.pk, conversation=row.conversation_id, epoch=1, text=""), Mock(models=["f/e"]))
    for text in ("", "All of ", "All of it"):
        reply.text = text
        entry = reply.take_entry()
        assert entry
        await log.append([(entry, set())])
    await log.append([(reply.ending_entry(Ending("completed", reply.text)), set())])
    return reply


async def test_of_a_reply_that_has_ended_redis_keeps_nothing_for_long(
    hub: Hub, log: LiveLog, owner: User, persona: Persona
) -> None:
    row = (await run_db(ask, owner)).reply
    reader = Reader(hub)
    hub.follow(reader, row.conversation_id, row.pk)
    await asyncio.gather(*(task for task in hub._tasks if task.get_coro().__name__ == "_sync"))
    assert await hub._redis.ttl(followers_key(row.pk)) > KEEP_FOLLOWERS_SECONDS
    await said_and_ended(log, row)
    assert 0 < await hub._redis.ttl(log_key(row.pk)) <= KEEP_ENDED_SECONDS
    assert 0 < await hub._redis.ttl(followers_key(row.pk)) <= KEEP_FOLLOWERS_SECONDS


@pytest.mark.parametrize("cursor", [(0, 0), (1, 0), (1, 7), (1, 9), (1, 5)])
async def test_who_follows_a_reply_that_has_just_ended_gets_its_ending_from_the_log(
    hub: Hub, log: LiveLog, owner: User, persona: Persona, cursor: tuple[int, int]
) -> None:
    row = (await run_db(ask, owner)).reply
    await said_and_ended(log, row)
    await run_db(Message.objects.filter(pk=row.pk).delete)  # so that nothing but the log can say it
    reader = Reader(hub)
    hub.follow(reader, row.conversation_id, row.pk, cursor)
    await reader.until(lambda: "reply.completed" in reader.heard)
    assert reader.heard.count("reply.completed") == 1
    assert reader.heard[-1] == "reply.completed"


async def test_the_ending_of_a_reply_that_goes_on_again_is_not_taken_for_its_next_one(
    hub: Hub, log: LiveLog, owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "UNCLAIMED_SECONDS", 3600)  # nobody has to be told where it stands in line
    row = (await run_db(ask, owner)).reply
    await said_and_ended(log, row)
    reader = Reader(hub)
    hub.follow(reader, row.conversation_id, row.pk, (1, 9), epoch=2)
    await asyncio.gather(*(task for task in hub._tasks if task.get_coro().__name__ == "_sync"))
    again = LiveReply.of(Mock(reply=row.pk, conversation=row.conversation_id, epoch=2, text="All of it"), Mock())
    entry = again.take_entry()
    assert entry
    await log.append([(entry, {hub.web})])
    await reader.until(lambda: bool(reader.heard))
    assert reader.heard == ["reply.snapshot"]


class HeldLog(LiveLog):
    """The live log, whose answers to who follows wait until they are ``given``."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.asked: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def follow(self, *arguments: Any) -> Any:
        raw = await super().follow(*arguments)
        given = asyncio.Event()
        await self.asked.put(given)
        await given.wait()
        return raw


async def test_what_was_read_for_who_has_left_is_not_sent_to_who_follows_anew(
    hub: Hub, log: LiveLog, owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "UNCLAIMED_SECONDS", 3600)  # nobody has to be told where it stands in line
    row = (await run_db(ask, owner)).reply
    await said_and_ended(log, row)
    hub._log = held = HeldLog(hub._redis)
    other, reader = Reader(hub), Reader(hub)  # somebody else stays with the reply all the time
    hub.follow(other, row.conversation_id, row.pk, (1, 0))
    await held.asked.get()
    hub.follow(reader, row.conversation_id, row.pk, (1, 0))
    first = await held.asked.get()
    hub.unfollow(reader, row.conversation_id)
    hub.follow(reader, row.conversation_id, row.pk, (1, 7))
    await held.asked.get()
    first.set()
    for _turn in range(20):
        await asyncio.sleep(0)
    assert reader.heard == []
    assert other.heard == []


async def test_tabs_read_anew_what_was_told_while_nothing_could_be_heard(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_ANEW_SPREAD_SECONDS", 0.0)
    tab, stream = Reader(hub, transport="websocket"), Reader(hub)
    async with asyncio.timeout(5):
        while "typing.seen" not in tab.heard:
            doorbell.tell_user(tab.user_id, TypingSeen(conversation=uuid7()))
            await hub._redis.ping()
    tab.heard.clear()
    await hub._redis.client_kill_filter(_type="pubsub")
    await tab.until(lambda: "conversations.cleared" in tab.heard)
    assert stream.heard == []


async def test_a_reply_that_breaks_what_looks_after_it_keeps_no_other_from_its_ending(
    hub: Hub, owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(await run_db(ask, owner)).reply for _ in range(2)]
    reader = Reader(hub)
    for row in rows:
        hub.follow(reader, row.conversation_id, row.pk)
        await run_db(services.request_stop, user=owner, reply_id=row.pk)
    settle = hub._settle

    async def breaking(followed: FollowedReply, *arguments: Any) -> None:
        if followed.reply == rows[0].pk:
            raise KeyError("f")
        await settle(followed, *arguments)

    monkeypatch.setattr(hub, "_settle", breaking)
    hub._missed_something.set()
    await reader.until(lambda: "reply.stopped" in reader.heard)


async def test_a_look_at_the_sessions_that_breaks_is_followed_by_another(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: asyncio.Queue[int] = asyncio.Queue()

    async def breaking(sockets: set[Any]) -> None:
        looked.put_nowait(len(sockets))
        raise ValueError("nobody thought of this")

    monkeypatch.setattr(connections, "SESSIONS_SECONDS", 0.01)
    monkeypatch.setattr(hub, "check_sessions", breaking)
    hub.run(hub.keep_checking())
    async with asyncio.timeout(5):
        for _look in range(3):  # one loop runs already: without this one's others, there would be two
            await looked.get()


async def test_one_person_reads_so_many_streams_here_and_not_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    before, hub = refusals("streams"), Mock(count_of=Mock(return_value=listening.MAX_PER_PERSON))
    monkeypatch.setattr(listening, "running_hub", lambda: hub)
    with pytest.raises(ApplicationError, match="Too many streams"):
        await anext(listening.listen(Mock(is_live=True), user=Mock(), credential=Mock()))
    assert refusals("streams") == before + 1


async def test_one_person_has_few_conversations_read_at_once_and_nobody_waits_for_anothers(hub: Hub) -> None:
    one, another = uuid7(), uuid7()
    under_way, most, gate = 0, 0, asyncio.Event()

    async def read(person: UUID) -> None:
        nonlocal under_way, most
        async with hub.reading(person):
            if person == one:
                under_way += 1
                most = max(most, under_way)
                await gate.wait()
                under_way -= 1

    reads = [asyncio.create_task(read(one)) for _ in range(10)]
    async with asyncio.timeout(5):
        while under_way < READS_AT_ONCE:
            await asyncio.sleep(0)
        await read(another)
        gate.set()
        await asyncio.gather(*reads)
    assert most == READS_AT_ONCE
    assert not hub._reads
