"""A program that asks over HTTP: JSON, or Server-Sent Events read line by line."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from accounts import families
from accounts.models import User


@dataclass
class SeenEvent:
    """One Server-Sent Event."""

    id: str
    name: str
    data: dict[str, Any]


@dataclass
class EventStream:
    """An open stream: ``events`` is what was read so far."""

    response: aiohttp.ClientResponse
    events: list[SeenEvent] = field(default_factory=list)

    async def next(self) -> SeenEvent | None:
        """The next event; None at the stream's end. Comments are passed over."""
        fields: dict[str, str] = {}
        while line := await self.response.content.readline():
            text = line.decode().rstrip("\n")
            if not text and "data" in fields:
                event = SeenEvent(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))
                self.events.append(event)
                return event
            name, _, value = text.partition(": ")
            fields[name] = value
        return None

    async def until(self, name: str) -> SeenEvent:
        """Read on to the first event of that name."""
        while (event := await self.next()) is not None:
            if event.name == name:
                return event
        raise AssertionError(f"the stream ended without {name}: {[e.name for e in self.events]}")

    async def until_text(self) -> None:
        """Read on until the reply has text: by a delta, or by a snapshot where it was there before."""
        while not self.text:
            assert await self.next() is not None, f"the stream ended without text: {[e.name for e in self.events]}"

    async def rest(self) -> list[SeenEvent]:
        """Read to the end; all events of the stream."""
        while await self.next() is not None:
            pass
        return self.events

    @property
    def text(self) -> str:
        """The reply's text, as a reader puts it together."""
        text = ""
        for event in self.events:
            if event.name == "reply.delta":
                assert event.data["seq"] - len(event.data["text"]) == len(text), "a gap"
                text += event.data["text"]
            elif "text" in event.data and event.name.startswith("reply."):
                text = event.data["text"]
        return text


class HttpClient:
    """``async with HttpClient(url, token)``: calls the JSON API of a running server."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    @classmethod
    def of(cls, url: str, user: User) -> "HttpClient":
        """A program that ``user`` signed in to."""
        return cls(url, families.open_family(user=user, device="test").access)

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.token}"}
        timeout = aiohttp.ClientTimeout(total=60)
        self.session = aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=2**24)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.session.close()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and body (None where there is none) of the answer."""
        address = f"{self.url}/api/v1/{path}"
        async with self.session.request(method, address, json=body, headers=headers) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None

    @asynccontextmanager
    async def stream(self, method: str, path: str, body: Any = None, **headers: str) -> AsyncIterator[EventStream]:
        """The answer as Server-Sent Events; leaving the block closes the connection."""
        headers = {"Accept": "text/event-stream", **headers}
        async with self.session.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers) as answer:
            yield EventStream(answer)
