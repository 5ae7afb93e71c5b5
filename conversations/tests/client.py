"""A chat client for tests: it holds to the protocol and fails at the first thing that does not.

It keeps what it was told (``accepted``) and what it has seen of each reply (``replies``), so that a test can compare
both with the database.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import websockets
from django.test import Client

from accounts.models import User

from .frames import checked_event

ENDINGS = {"reply.completed", "reply.stopped", "reply.interrupted", "reply.failed"}


@dataclass
class SeenReply:
    """A reply as this client has it; ``status`` is the name of its ending, or empty while it is live.

    ``streamed`` is the text that stood there when its ending came.
    """

    epoch: int = 0
    text: str = ""
    streamed: str = ""
    status: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    html: str = ""
    source: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list)


def session_key(user: User) -> str:
    """A fresh session of ``user``, as if signed in."""
    browser = Client()
    browser.force_login(user)
    return browser.session.session_key or ""


class ChatClient:
    """One tab. ``async with ChatClient(url, key)`` connects and waits for ``ready``."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self.accepted: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, dict[str, Any]] = {}
        self.replies: dict[str, SeenReply] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.conversations: dict[str, dict[str, Any]] = {}
        self.heard: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._socket: Any = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    def address(self) -> str:
        """Where the socket is."""
        return self.url.replace("http", "ws") + "/ws/chat/"

    def opening(self) -> dict[str, Any]:
        """What the handshake says beside its address."""
        return {"origin": self.url, "additional_headers": {"Cookie": f"sessionid={self.key}"}}

    async def connect(self, url: str | None = None) -> None:
        """Open the socket, anew after a break, and wait for ``ready``."""
        self.url = url or self.url
        self.close_code = None
        self._socket = await websockets.connect(self.address(), compression=None, max_size=None, **self.opening())
        ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read(ready))
        await asyncio.wait_for(ready.wait(), 10)

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=error_is_expected(self))

    def drop(self) -> None:
        """Break the connection without a word."""
        self._socket.transport.abort()

    async def _read(self, ready: asyncio.Event) -> None:
        try:
            async for frame in self._socket:
                event = checked_event(frame)
                if event["type"] == "ready":
                    ready.set()
                self.take(event)
                self._changed.set()
        except websockets.ConnectionClosed:
            pass
        finally:
            self.close_code = self._socket.close_code
            self._changed.set()
            ready.set()

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
        """The first true answer of ``condition()``, asked after each event."""
        try:
            async with asyncio.timeout(seconds):
                while not (value := condition()):
                    self._changed.clear()
                    if self._reader is not None and self._reader.done() and self._reader.exception():
                        raise self._reader.exception()  # type: ignore[misc]
                    await self._changed.wait()
                return value
        except TimeoutError:
            tail = [json.dumps(e)[:200] for e in self.heard[-8:]]
            raise AssertionError(f"not within {seconds} s: {what}; closed {self.close_code}; heard {tail}") from None

    # --- what it says

    async def send(self, **command: Any) -> None:
        await self._socket.send(json.dumps(command))

    async def send_raw(self, frame: str | bytes) -> None:
        await self._socket.send(frame)

    async def ask(self, text: str, **fields: Any) -> dict[str, Any]:
        """Send a question and wait for its acknowledgement."""
        client_id = fields.pop("client_id", None) or uuid4().hex
        await self.send(type="message.send", client_id=client_id, text=text, **fields)
        return await self.answer_to(client_id)

    async def command(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send another command with a ``client_id`` of its own and wait for its acknowledgement."""
        client_id = uuid4().hex
        await self.send(type=kind, client_id=client_id, **fields)
        return await self.answer_to(client_id)

    async def answer_to(self, client_id: str) -> dict[str, Any]:
        found = await self.until(
            lambda: self.accepted.get(client_id) or self.errors.get(client_id), f"an answer to {client_id}"
        )
        assert found["type"] == "message.accepted", found
        return dict(found)

    async def follow(self, conversation: str) -> dict[str, Any]:
        """Follow a conversation from where this client stands and wait for its snapshot."""
        self.snapshots.pop(conversation, None)
        cursors = {pk: [seen.epoch, len(seen.text)] for pk, seen in self.replies.items() if not seen.status}
        await self.send(type="conversation.follow", conversation=conversation, cursors=cursors)
        return dict(await self.until(lambda: self.snapshots.get(conversation), "the conversation's snapshot"))

    async def started(self, reply: str) -> SeenReply:
        """Wait until the reply streams to this client: what its model says from now on is heard as it comes."""
        await self.until(lambda: reply in self.replies and self.replies[reply].epoch, f"the start of {reply}")
        return self.replies[reply]

    async def ended(self, reply: str, seconds: float = 20.0) -> SeenReply:
        """Wait until the reply has ended."""
        await self.until(lambda: reply in self.replies and self.replies[reply].status, f"the end of {reply}", seconds)
        return self.replies[reply]

    # --- what it hears

    def take(self, event: dict[str, Any]) -> None:
        """Apply one event as the protocol says."""
        self.heard.append(event)
        kind = event["type"]
        if kind == "message.accepted":
            self.accepted[event["client_id"]] = event
            self._learn(event["reply"])
        elif kind == "error" and event["client_id"]:
            self.errors[event["client_id"]] = event
        elif kind == "conversation.snapshot":
            for message in event["messages"]:
                if message["role"] == "assistant":
                    self._learn(message)
            self.snapshots[event["conversation"]["id"]] = event
        elif kind == "conversation.updated":
            self.conversations[event["conversation"]["id"]] = event["conversation"]
        elif kind.startswith("reply."):
            self._take_reply(kind, event)

    def _learn(self, message: dict[str, Any]) -> None:
        seen = self.replies.setdefault(message["id"], SeenReply())
        if message["status"] in ("queued", "streaming"):
            seen.status = ""
            if message["epoch"] > seen.epoch:
                seen.epoch, seen.blocks = message["epoch"], []
                seen.text = "" if message["status"] == "streaming" else message["text"]  # a stream comes from its start
        else:
            seen.epoch, seen.text, seen.status = message["epoch"], message["text"], f"reply.{message['status']}"
            seen.html, seen.source, seen.citations = message["html"], message["source"], message["citations"]

    def _take_reply(self, kind: str, event: dict[str, Any]) -> None:
        seen = self.replies.setdefault(event["reply"], SeenReply())
        seen.events.append(kind)
        if kind == "reply.queued":
            return
        assert event["epoch"] >= seen.epoch, ("an older epoch", event, seen)
        if kind == "reply.delta":
            if event["epoch"] == seen.epoch and event["seq"] <= len(seen.text):
                return  # known already
            assert event["epoch"] == seen.epoch, ("a delta of an epoch that was not started", event, seen.epoch)
            assert event["seq"] - len(event["text"]) == len(seen.text), ("a gap", event, len(seen.text))
            seen.text += event["text"]
            seen.blocks += event["blocks"]
        elif kind == "reply.started":
            seen.text, seen.blocks = "", []
        elif kind == "reply.snapshot":
            seen.text, seen.blocks = event["text"], list(event["blocks"])
        elif kind in ENDINGS:
            seen.streamed, seen.text, seen.status, seen.html = seen.text, event["text"], kind, event["html"]
            seen.source, seen.citations = event["source"], event["citations"]
        assert event["seq"] == len(seen.text), ("seq does not count the text", event, len(seen.text))
        seen.epoch = event["epoch"]


def error_is_expected(client: ChatClient) -> bool:
    """A client that was closed from the other side has said so in ``close_code``; a broken rule must still fail."""
    reader = client._reader
    return not (reader and reader.done() and not reader.cancelled() and isinstance(reader.exception(), AssertionError))
