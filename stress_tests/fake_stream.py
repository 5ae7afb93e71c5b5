"""One streamed reply of the fake model server: which tokens are due when, and how it breaks off."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .fake_script import (
    Script,
    checksum_token,
    chunk_frame,
    final_frames,
    fresh_frame,
    http_chunk,
    role_frame,
    sse,
    stamp_token,
    token_texts,
)

if TYPE_CHECKING:
    from .fake_http import Connection

SLOT = 0.001
TOKENS_AT_ONCE = 256
PIECE = b"a" * 65536


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A request as it came in. ``at`` is ``time.monotonic``; header names are in lower case."""

    path: str
    model: str
    messages: list[dict[str, Any]]
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float


class Wheel:
    """Calls back at a moment, rounded up to a slot; one loop timer per slot however many wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}

    def at(self, when: float, callback: Callable[[], None]) -> None:
        slot = int(when / SLOT) + 1
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [callback]
            self._loop.call_at(slot * SLOT, self._run, slot)
        else:
            waiting.append(callback)

    def _run(self, slot: int) -> None:
        for callback in self._slots.pop(slot):
            callback()


class ReplyStream:
    """One streamed reply: which tokens are due, and what comes after the last one."""

    def __init__(
        self, connection: "Connection", script: Script, request: Recorded, usage: dict[str, int] | None
    ) -> None:
        self._connection = connection
        self._server = connection.server
        self._script = script
        self._request = request
        self._model = request.model
        self._usage = usage
        last = next((m.get("content") for m in reversed(request.messages) if m.get("role") == "user"), "")
        self._tokens = token_texts(script, str(last))
        self._sent = 0
        self._finished = False
        self._first_at = self._server.loop.time() + script.first_ms / 1000
        self._huge_left = script.huge_line
        self._fails_at = script.fails_at()
        if script.gate is not None:
            loop = self._server.loop
            script.gate.listen(lambda: loop.call_soon_threadsafe(self.step))

    @property
    def finished(self) -> bool:
        return self._finished

    def start(self) -> None:
        if self._script.first_ms:
            self._server.wheel.at(self._first_at, self.step)
        else:
            self.step()

    def step(self) -> None:
        """Write what is due, then arrange for the next step. Called by the wheel, a gate, or a transport with room
        again.
        """
        connection = self._connection
        if self._finished or connection.stream is not self or connection.paused or connection.leaving:
            return
        now = self._server.loop.time()
        if now < self._first_at:
            self._server.wheel.at(self._first_at, self.step)
            return
        self._write_due(now)
        total = len(self._tokens)
        if self._fails_at is not None and self._sent >= min(self._fails_at, total):
            self._break_off()
        elif self._sent == total:
            if self._script.finish_reason is not None:
                self._server.on_finished(self._request)
            self._end(final_frames(self._model, self._script, self._usage))
        elif self._sent >= self._limit():
            return  # the gate will call
        elif self._script.token_ms:
            self._server.wheel.at(max(now, self._first_at + self._sent * self._script.token_ms / 1000), self.step)
        else:
            self._server.loop.call_soon(self.step)

    def _limit(self) -> int:
        limit: float = len(self._tokens)
        if self._fails_at is not None:
            limit = min(limit, self._fails_at)
        if self._script.gate is not None:
            limit = min(limit, self._script.gate.allowed)
        return int(limit)

    def _write_due(self, now: float) -> None:
        due = self._limit()
        if self._script.token_ms:
            due = min(due, 1 + int((now - self._first_at) * 1000 / self._script.token_ms + 1e-6))
        due = min(due, self._sent + TOKENS_AT_ONCE)
        if due <= self._sent:
            return
        frames = [role_frame(self._model)] if self._sent == 0 else []
        if self._script.stamp:
            frames += [fresh_frame(self._model, text) for text in self._stamps(due)]
        else:
            frames += [chunk_frame(self._model, text) for text in self._tokens[self._sent : due]]
        self._sent = due
        self._connection.write(b"".join(frames))

    def _stamps(self, due: int) -> list[str]:
        """The tokens up to ``due`` of a stamped stream, made now; kept for the checksum, which is the last."""
        last = len(self._tokens) - 1
        for number in range(self._sent, due):
            self._tokens[number] = stamp_token() if number < last else checksum_token("".join(self._tokens[:last]))
        return self._tokens[self._sent : due]

    def _break_off(self) -> None:
        script = self._script
        if script.error_after is not None:
            event = {"error": script.error or {"message": "the model broke off", "type": "server_error", "code": 500}}
            self._end(http_chunk(sse(event)) + b"0\r\n\r\n")
        elif script.malformed_after is not None:
            self._end(http_chunk(b'data: {"choices": [{"delta": {"conte\n\n') + final_frames(self._model, script, None))
        elif script.cut_after is not None:
            self._cut()
        elif script.huge_line:
            self._write_huge_line()
        elif script.keep_alives_only:
            self._keep_alive()

    def _cut(self) -> None:
        if self._script.cut == "eof":
            self._end(b"0\r\n\r\n")
            return
        self._finished = True
        if self._script.cut == "reset":
            self._connection.reset()
        else:
            self._connection.close()

    def _write_huge_line(self) -> None:
        if self._huge_left == self._script.huge_line:
            self._connection.write(http_chunk(b'data: {"choices":[{"index":0,"delta":{"content":"'))
        while self._huge_left > 0 and not self._connection.paused and not self._connection.leaving:
            self._huge_left -= len(PIECE)
            self._connection.write(http_chunk(PIECE))
            self._server.huge_bytes_sent += len(PIECE)
        if self._huge_left <= 0 and not self._connection.leaving:
            self._end(http_chunk(b'"}}]}\n\n') + final_frames(self._model, self._script, None))

    def _keep_alive(self) -> None:
        event = sse({"object": "chat.completion.chunk", "choices": []})
        self._connection.write(http_chunk(b": keep-alive\n\n") + http_chunk(event))
        self._server.wheel.at(self._server.loop.time() + self._script.keep_alive_ms / 1000, self.step)

    def _end(self, last: bytes) -> None:
        self._finished = True
        self._connection.write(last)
        self._connection.stream_ended()
