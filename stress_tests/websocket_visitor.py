"""A client of ``/ws/chat/`` as a stress test needs it: it asks and notes what comes; it may be slow, rude, or gone."""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from .bench_socket import HandshakeRefused, WebSocket
from .bench_turns import ENDINGS

PATIENCE_SECONDS = 60.0


class Kind(msgspec.Struct):
    """What tells one event from another."""

    type: str


_kind = msgspec.json.Decoder(Kind).decode


class Visitor:
    """One socket. ``heard`` has each event's type, its frame and when it came, but for pongs: ``pongs_s`` has for each
    ping that was answered, by the moment at which it was due, the seconds from then to its answer. ``close_code`` is
    None while it is open. What it follows it follows anew whenever something else happened there, as the page does."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes, float]] = []
        self.pongs_s: dict[float, float] = {}
        self.close_code: int | None = None
        self.ready_s = 0.0
        self.socket: WebSocket | None = None
        self._pings: deque[float] = deque()  # when those were due that are not answered; answers keep the order
        self._followed: str | None = None
        self._changed = asyncio.Event()

    async def open(self, address: tuple[str, int], cookie: str) -> "Visitor":
        """Returns after ``ready``; ``ready_s`` says how long that took. Raises OSError, TimeoutError,
        HandshakeRefused."""
        began = time.monotonic()
        self.close_code = None
        self.socket = await WebSocket.connect(address, cookie, self._on_text, self._on_closed)
        await self.until(lambda: self.close_code is not None or self.count("ready"), "ready")
        if self.close_code is not None:
            raise HandshakeRefused(f"closed with {self.close_code}")
        self.ready_s = time.monotonic() - began
        return self

    @property
    def is_open(self) -> bool:
        return self.socket is not None and self.close_code is None

    async def answered(self) -> None:
        """Return once no ping waits for its answer; a closed socket's never will."""
        await self.until(lambda: not self._pings, "the last answers")

    def ping(self, due: float) -> None:
        """Ask for a pong, whether or not earlier ones have come; a closed socket asks for nothing."""
        if self.is_open:
            self._pings.append(due)
            self.say("ping")

    def say(self, kind: str, **fields: Any) -> None:
        self._open_socket.send(json.dumps({"type": kind, **fields}).encode())

    async def ask(self, text: str, persona: str, conversation: str | None) -> dict[str, Any]:
        """Ask and wait until it is accepted; the event. Raises TimeoutError."""
        name = secrets.token_hex(8)
        fields = {"persona": persona} if conversation is None else {}
        self.say("message.send", client_id=name, text=text, conversation=conversation, **fields)
        await self.until(lambda: any(name.encode() in frame for _, frame, _ in self.heard), "message.accepted")
        answer: dict[str, Any] = json.loads(next(frame for _, frame, _ in self.heard if name.encode() in frame))
        return answer

    def follow(self, conversation: str) -> None:
        self._followed = conversation
        self.say("conversation.follow", conversation=conversation)

    def count(self, *kinds: str) -> int:
        return sum(1 for kind, _, _ in self.heard if kind in kinds)

    @property
    def endings(self) -> int:
        return self.count(*ENDINGS)

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Until it holds, asked at each event. Raises TimeoutError that says ``what`` did not come."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"no {what} within {seconds:g} s") from None

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()

    def drop(self) -> None:
        """Be gone without a word."""
        if self.socket is not None:
            self.socket.abort()

    @property
    def _open_socket(self) -> WebSocket:
        if self.socket is None:
            raise HandshakeRefused("the socket is not open")
        return self.socket

    def _on_text(self, payload: bytes, now: float) -> None:
        kind = _kind(payload).type
        if kind != "pong":
            self.heard.append((kind, payload, now))
        elif self._pings:
            due = self._pings.popleft()
            self.pongs_s[due] = now - due
        if kind == "conversation.updated" and self._followed is not None:
            self.follow(self._followed)
        self._changed.set()

    def _on_closed(self, code: int) -> None:
        self.close_code = code
        self.socket = None
        self._pings.clear()
        self._changed.set()
