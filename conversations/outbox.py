"""What a socket still has to be sent, bounded: a reader that stops reading costs a fixed amount of memory."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

MAX_BYTES = 1024 * 1024

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Outbox:
    """Frames for one socket, sent in order by a task of its own.

    ``offer`` never waits. Where more than ``MAX_BYTES`` wait, everything is dropped, ``overflowed`` is set and
    ``on_overflow`` is called once: the socket is closed, and its client resumes from the live log. The largest frame
    that waits is not counted, nor is the one being sent: the snapshot of a long conversation may be larger than the
    bound, and would be asked for again and again if it closed the socket.
    """

    def __init__(self, send: Send, on_overflow: Callable[[], None]) -> None:
        self._send = send
        self._on_overflow = on_overflow
        self._frames: deque[bytes] = deque()
        self._waiting = 0  # bytes in _frames
        self._sending = False
        self._wake: asyncio.Future[None] | None = None
        self._flushed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self.overflowed = False

    def offer(self, frame: bytes) -> None:
        """Send ``frame`` (UTF-8 JSON) after those before it."""
        if self.overflowed:
            return
        self._frames.append(frame)
        self._waiting += len(frame)
        if self._waiting > MAX_BYTES and self._waiting - max(map(len, self._frames)) > MAX_BYTES:
            self.overflowed = True
            self._frames.clear()
            self._on_overflow()
        elif self._task is None:
            self._task = asyncio.create_task(self._write())
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _write(self) -> None:
        with contextlib.suppress(OSError):  # the reader has left: its disconnection ends the socket
            while not self.overflowed:
                await self._write_waiting()
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    async def _write_waiting(self) -> None:
        while self._frames:
            frame = self._frames.popleft()
            self._waiting -= len(frame)
            self._sending = True
            await self._send({"type": "websocket.send", "text": frame.decode()})
            self._sending = False
        if self._flushed is not None:
            self._flushed.set()

    async def flush(self, seconds: float) -> None:
        """Wait until everything was handed to the transport, at most ``seconds``."""
        if (self._frames or self._sending) and not self.overflowed:
            self._flushed = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._flushed.wait(), seconds)

    def close(self) -> None:
        """Send nothing more."""
        self.overflowed = True
        self._frames.clear()
        if self._task is not None:
            self._task.cancel()
