"""Replies heard over HTTP while what they come through is told to go, killed or emptied: nothing cut, nothing lost."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from uuid import UUID

import aiohttp
import pytest
from redis import Redis

from accounts.models import User
from accounts.tests.factories import make_user
from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.types import Bounds
from conversations.models import Message
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script, split_words

from .fault_stack import FaultStack, wait_exit
from .http_client import HttpClient, SeenEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

CROWD = 12
ENDINGS = ("reply.completed", "reply.stopped", "reply.interrupted", "reply.failed")


class Reader:
    """One person who asks and reads the stream, going on at the next of ``urls`` behind the last event."""

    def __init__(self, urls: list[str], user: User, text: str) -> None:
        self.urls, self.user, self.question = urls, user, text
        self.answer = f"echo: {text}"
        self.text = ""
        self.reply = ""
        self.last = ""
        self.ending: SeenEvent | None = None
        self.streams = self.again = 0
        self.task = asyncio.create_task(self.read())

    async def read(self) -> None:
        """Read to the reply's ending, however often the stream breaks off."""
        while self.ending is None:
            url = self.urls[min(self.streams, len(self.urls) - 1)]
            self.streams += 1
            client = await run_db(HttpClient.of, url, self.user)
            async with client:
                try:
                    await self._read_once(client)
                except aiohttp.ClientError:
                    continue

    async def _read_once(self, client: HttpClient) -> None:
        body = {"text": self.question, "client_id": f"asks-{self.user.pk.hex}"}
        async with client.stream("post", "chat/send", body, **{"Last-Event-ID": self.last}) as stream:
            while (event := await stream.next()) is not None:
                self.take(event)

    def take(self, event: SeenEvent) -> None:
        if event.id:
            self.last = event.id
        if event.name == "message.accepted":
            assert self.reply in ("", event.data["reply"]["id"]), "asked twice"
            self.reply = event.data["reply"]["id"]
        elif event.name == "reply.delta":
            assert event.data["seq"] - len(event.data["text"]) == len(self.text), "a gap or a repetition"
            self.text += event.data["text"]
        elif event.name == "reply.snapshot":
            self.again += self.streams > 1
            self.text = event.data["text"]
        elif event.name in ENDINGS:
            assert event.data["text"].startswith(self.text)
            self.text = event.data["text"]
            self.ending = event


@pytest.fixture
async def readers(stack: FaultStack, fake_model: FakeModelServer) -> AsyncIterator[list[Reader]]:
    """A crowd in mid-stream at the first web process, each ready to go on at the second."""
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    crowd = []
    for number in range(CROWD):
        text = " ".join(f"word-{number}-{count}" for count in range(20))
        crowd.append(Reader(stack.urls, await run_db(make_user), text))
    gate.release(6)
    await shown(crowd, 6)
    yield crowd
    gate.release()
    async with asyncio.timeout(30):
        await asyncio.gather(*(reader.task for reader in crowd))
    for reader in crowd:
        assert reader.ending is not None
        row = await run_db(Message.objects.get, pk=UUID(reader.reply))
        assert (reader.ending.name, row.status) == ("reply.completed", "completed")
        assert reader.text == reader.ending.data["text"] == row.text == reader.answer
        assert await run_db(Message.objects.filter(owner=reader.user).count) == 2


async def shown(crowd: list[Reader], tokens: int) -> None:
    """Wait until every reader has exactly so many tokens."""

    def first(reader: Reader) -> str:
        return "".join(split_words(reader.answer)[:tokens])

    async with asyncio.timeout(30):
        while any(reader.text != first(reader) for reader in crowd):
            for reader in crowd:
                if reader.task.done():
                    reader.task.result()
            await asyncio.sleep(0.02)


async def test_told_to_go_the_streams_end_with_a_word_and_go_on_elsewhere(
    stack: FaultStack, readers: list[Reader]
) -> None:
    stack.web[0].signal(signal.SIGTERM)
    assert await wait_exit(stack.web[0], 30) == 0
    assert all(reader.streams >= 2 for reader in readers)
    assert [reader.again for reader in readers] == [0] * CROWD, "gone on from the last event"


async def test_killed_the_streams_go_on_elsewhere(stack: FaultStack, readers: list[Reader]) -> None:
    stack.web[0].kill()
    async with asyncio.timeout(20):
        while any(reader.streams < 2 for reader in readers):
            await asyncio.sleep(0.02)
    await shown(readers, 6)


async def test_redis_emptied_the_streams_get_a_snapshot(stack: FaultStack, readers: list[Reader]) -> None:
    with Redis.from_url(stack.environment["REDIS_URL"]) as redis:
        redis.flushall()


async def test_told_to_go_whoever_waits_for_the_whole_is_told_where_it_will_be(
    stack: FaultStack, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(tokens=3, gate=gate)
    user = await run_db(make_user)
    client = await run_db(HttpClient.of, stack.urls[0], user)
    async with client:
        waiting = asyncio.create_task(client.call("post", "chat/send", {"text": "Whole, please", "client_id": "w"}))
        await asyncio.to_thread(fake_model.wait_requests, 1)
        stack.web[0].signal(signal.SIGTERM)
        status, body = await waiting
    assert await wait_exit(stack.web[0], 30) == 0
    assert status == 202
    assert body["reply"]["status"] in Message.LIVE
    gate.release()
    elsewhere = await run_db(HttpClient.of, stack.urls[1], user)
    async with elsewhere:
        status, again = await elsewhere.call("post", "chat/send", {"text": "Whole, please", "client_id": "w"})
    assert (status, again["reply"]["id"], again["reply"]["text"]) == (200, body["reply"]["id"], "tok0 tok1 tok2 ")


async def test_a_reader_that_stops_reading_is_dropped_and_resumes_whole(
    stack: FaultStack, fake_model: FakeModelServer
) -> None:
    # Longer than a reply may be, and some 8 MiB as it is sent, text and blocks: no kernel holds so much of it.
    fake_model.default = Script(tokens=["🌍" * 1022 + "\n\n"] * 1100)
    client = await run_db(HttpClient.of, stack.urls[0], await run_db(make_user))
    async with client:
        _, accepted = await client.call("post", "chat/send", {"text": "Much", "wait": 0})
        reply = accepted["reply"]["id"]
        seen = await stalled(client, f"messages/{reply}/events")
        async with client.stream("get", f"messages/{reply}/events") as stream:
            ending = (await stream.rest())[-1]
    row = await run_db(Message.objects.get, pk=UUID(reply))
    assert ending.data["text"] == row.text
    assert len(row.text) == Bounds().reply
    assert b'"code":"too_slow"' in seen
    assert b"reply.interrupted" not in seen


async def stalled(client: HttpClient, path: str) -> bytes:
    """Ask for a stream, read nothing until the server has given up, and return what had been sent till then."""
    host, port = client.url.removeprefix("http://").split(":")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, (host, int(port)))
        lines = [f"GET /api/v1/{path} HTTP/1.1", f"Host: {host}:{port}", f"Authorization: Bearer {client.token}"]
        await loop.sock_sendall(raw, "\r\n".join([*lines, "Accept: text/event-stream", "", ""]).encode())
        seen = bytearray()
        async with client.stream("get", path) as other:  # by then all was said, and this one left behind
            await other.rest()
        while piece := await asyncio.wait_for(loop.sock_recv(raw, 65536), 20):
            seen += piece
            if seen.endswith(b"\r\n0\r\n\r\n"):
                break
        return bytes(seen)
