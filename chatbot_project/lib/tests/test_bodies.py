import asyncio
import json
from typing import Any

import pytest

from chatbot_project.lib import bodies
from chatbot_project.lib.bodies import BoundedBodies


class Connection:
    """One request by hand: what the application behind the bound heard, and what came back."""

    def __init__(self, *chunks: bytes, length: bytes | None = None, path: str = "/") -> None:
        headers = [] if length is None else [(b"content-length", length)]
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        self.waiting = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
            for number, chunk in enumerate(chunks)
        ]
        self.heard: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return self.waiting.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            self.heard.append(message := await receive())
            if message["type"] == "http.disconnect" or not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def run(self, door: BoundedBodies | None = None) -> list[int]:
        if door is not None:
            await door(self.scope, self.receive, self.send)
        else:
            await BoundedBodies(self.app, 10)(self.scope, self.receive, self.send)
        return [message["status"] for message in self.sent if "status" in message]


@pytest.mark.parametrize("chunks", [(b"",), (b"x" * 10,), (b"x" * 4, b"x" * 6), (b"x" * 10, b"")])
async def test_a_body_up_to_the_bound_passes_whole(chunks: tuple[bytes, ...]) -> None:
    connection = Connection(*chunks)
    assert await connection.run() == [200]
    assert b"".join(message["body"] for message in connection.heard) == b"".join(chunks)


@pytest.mark.parametrize("length", [b"11", b"9" * 19, b"9" * 5000])
async def test_an_announced_length_beyond_it_is_refused_before_anything_is_received(length: bytes) -> None:
    connection = Connection(b"x", length=length)
    assert await connection.run() == [413]
    assert (connection.heard, len(connection.waiting)) == ([], 1)
    assert b'"too_large"' in connection.sent[-1]["body"]


async def test_a_length_that_was_not_announced_is_refused_where_it_passes_the_bound() -> None:
    connection = Connection(b"x" * 6, b"x" * 6, b"x" * 6)
    assert await connection.run() == [413]
    assert [message["type"] for message in connection.heard] == ["http.request", "http.disconnect"]
    assert len(connection.waiting) == 1  # the rest is not received


async def test_a_length_that_lies_within_it_is_counted_all_the_same() -> None:
    connection = Connection(b"x" * 20, length=b"5")
    assert await connection.run() == [413]


@pytest.mark.parametrize(
    ("path", "content_type", "names"),
    [
        ("/api/v1/me", b"application/problem+json", {"code", "detail", "status", "title"}),
        ("/v1/chat/completions", b"application/json", {"error"}),
    ],
)
async def test_the_refusal_has_the_shape_of_its_address(path: str, content_type: bytes, names: set[str]) -> None:
    connection = Connection(b"x", length=b"11", path=path)
    assert await connection.run() == [413]
    start, body = connection.sent
    assert (b"content-type", content_type) in start["headers"]
    assert set(json.loads(body["body"])) == names


class Stalled(Connection):
    """Some of its body arrives, and the rest once it is told to."""

    def __init__(self, *chunks: bytes) -> None:
        super().__init__(*chunks, length=str(sum(map(len, chunks))).encode())
        self.arrived = 0
        self.goes_on = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self.arrived:
            await self.goes_on.wait()
        self.arrived += 1
        return await super().receive()


async def answered(scope: Any, receive: Any, send: Any) -> None:
    """An application that receives a body and answers."""
    connection = Connection()
    await connection.app(scope, receive, send)


async def all_stalled(door: BoundedBodies, *connections: Stalled) -> list[asyncio.Task[list[int]]]:
    tasks = [asyncio.create_task(each.run(door)) for each in connections]
    async with asyncio.timeout(5):
        while not all(each.arrived for each in connections):
            await asyncio.sleep(0)
    return tasks


async def test_a_body_that_does_not_arrive_in_time_is_refused_and_waited_for_no_longer(monkeypatch: Any) -> None:
    monkeypatch.setattr(bodies, "RECEIVE_SECONDS", 0.05)
    connection = Stalled(b"x", b"x")
    async with asyncio.timeout(5):
        assert await connection.run(BoundedBodies(connection.app, 10)) == [408]
    assert [message["type"] for message in connection.heard] == ["http.request", "http.disconnect"]
    assert b'"request_timeout"' in connection.sent[-1]["body"]


async def test_an_answer_may_take_longer_than_a_body(monkeypatch: Any) -> None:
    monkeypatch.setattr(bodies, "RECEIVE_SECONDS", 0.05)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        leaving = asyncio.create_task(receive())  # as whoever answers late listens for
        await asyncio.sleep(0.2)
        leaving.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    connection = Stalled(b"x")
    assert await connection.run(BoundedBodies(slow, 10)) == [200]


async def test_of_bodies_that_are_being_received_there_are_so_many_and_who_has_none_passes(monkeypatch: Any) -> None:
    monkeypatch.setattr(bodies, "RECEIVED", 2)
    door = BoundedBodies(answered, 10)
    stalled = Stalled(b"x", b"x"), Stalled(b"x", b"x")
    tasks = await all_stalled(door, *stalled)
    assert await Connection(b"x", length=b"1").run(door) == [503]
    page = Connection(b"")
    page.scope["method"] = "GET"
    assert await page.run(door) == [200]
    for each in stalled:
        each.goes_on.set()
    assert await asyncio.gather(*tasks) == [[200], [200]]
    assert await Connection(b"x", length=b"1").run(door) == [200]


async def test_large_bodies_share_what_there_is_for_them_and_small_ones_need_none_of_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(bodies, "SMALL_BYTES", 10)
    monkeypatch.setattr(bodies, "LARGE_BYTES", 50)
    door = BoundedBodies(answered, 100)
    first = Stalled(b"x" * 50, b"x" * 10)
    (task,) = await all_stalled(door, first)
    assert await Connection(b"x" * 21, length=b"21").run(door) == [503]
    assert await Connection(b"x" * 20, length=b"20").run(door) == [200]
    assert await Connection(b"x" * 10, length=b"10").run(door) == [200]
    first.goes_on.set()
    assert await task == [200]
    assert await Connection(b"x" * 60, length=b"60").run(door) == [200], "all of it is given back"


async def test_one_source_takes_its_share_and_others_theirs(monkeypatch: Any) -> None:
    for name, value in (("RECEIVED_OF_ONE", 1), ("SMALL_BYTES", 10), ("LARGE_BYTES_OF_ONE", 20)):
        monkeypatch.setattr(bodies, name, value)
    door = BoundedBodies(answered, 100, source_of=lambda scope: scope["source"])

    def of(source: str, connection: Connection) -> Connection:
        connection.scope["source"] = source
        return connection

    stalled = Stalled(b"x" * 30, b"x")
    of("one", stalled)
    (task,) = await all_stalled(door, stalled)
    assert await of("one", Connection(b"x", length=b"1")).run(door) == [503], "one at a time"
    assert await of("two", Connection(b"x" * 31, length=b"31")).run(door) == [503], "it is too large for one's share"
    assert await of("two", Connection(b"x" * 30, length=b"30")).run(door) == [200]
    stalled.goes_on.set()
    assert await task == [503], "its last byte is one too many of its share"
    assert await of("one", Connection(b"x" * 30, length=b"30")).run(door) == [200]
    assert not door._receiving
    assert not door._large


async def test_who_is_answered_late_holds_no_share_meanwhile(monkeypatch: Any) -> None:
    monkeypatch.setattr(bodies, "SMALL_BYTES", 10)
    is_let_go, goes_on = asyncio.Event(), asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert door._large
        scope[bodies.LET_GO]()
        is_let_go.set()
        await goes_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    door = BoundedBodies(late, 100)
    task = asyncio.create_task(Connection(b"x" * 50, length=b"50").run(door))
    async with asyncio.timeout(5):
        await is_let_go.wait()
    assert not door._large
    goes_on.set()
    assert await task == [200]
    assert not door._large
