import json
from typing import Any

import pytest

from chatbot_project.lib.bodies import BoundedBodies


class Connection:
    """One request by hand: what the application behind the bound heard, and what came back."""

    def __init__(self, *chunks: bytes, length: bytes | None = None, path: str = "/") -> None:
        headers = [] if length is None else [(b"content-length", length)]
        self.scope = {"type": "http", "path": path, "headers": headers}
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

    async def run(self) -> list[int]:
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
