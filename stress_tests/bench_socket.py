"""The load generator's two clients: a WebSocket and a streaming HTTP request, both as plain asyncio protocols.

They share the machine with what they measure, so they do as little as a client can: no task per connection, no queue,
no copy beyond the frame itself, and nothing is decoded before the measurement is over.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import cast

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# An all-zero mask is a valid one and leaves the payload as it is.
MASK = b"\x00\x00\x00\x00"
END_OF_BODY = b"\r\n0\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
UNREAD_BYTES = 128 * 1024  # that the system keeps for a reader that does not read; with less it reads slowly ever after


class HandshakeRefused(Exception):
    """The server answered the upgrade with something else; the text is the first line of it."""


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame as a client sends it."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + MASK + payload


class WebSocket(asyncio.Protocol):
    """One connection to ``/ws/chat/``. ``on_text`` gets each frame's payload and when it came (``time.monotonic``).

    Answers pings. ``opened`` resolves after the handshake, or raises HandshakeRefused. ``on_closed`` gets the close
    code (1006 where there was none); it is called once, also after ``close``.
    """

    def __init__(self, on_text: Callable[[bytes, float], None], on_closed: Callable[[int], None]) -> None:
        self.on_text = on_text
        self.on_closed = on_closed
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._fragments: list[bytes] = []
        self._close_code = 1006

    @classmethod
    async def connect(
        cls,
        address: tuple[str, int],
        cookie: str,
        on_text: Callable[[bytes, float], None],
        on_closed: Callable[[int], None],
    ) -> "WebSocket":
        """Connect and upgrade. Raises OSError, TimeoutError (30 s) or HandshakeRefused."""
        host, port = address
        request = (
            f"GET /ws/chat/ HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            f"Cookie: sessionid={cookie}\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        _, self = await loop.create_connection(lambda: cls(on_text, on_closed), host, port)
        self._write(request.encode())
        await asyncio.wait_for(self.opened, 30)
        return self

    def send(self, payload: bytes) -> None:
        self._write(client_frame(TEXT, payload))

    def close(self) -> None:
        """Close without waiting for the server's answer."""
        self._write(client_frame(CLOSE, struct.pack("!H", 1000)))
        if self._transport is not None:
            self._transport.close()

    def send_bytes(self, data: bytes) -> None:
        """Send what need not be a frame."""
        self._write(data)

    def abort(self) -> None:
        """Be gone without a word, as a tab is whose machine loses its network."""
        if self._transport is not None:
            self._transport.abort()

    def read(self, *, on: bool) -> None:
        """Stop reading what comes, with little kept by the system either, or go on."""
        if self._transport is None or self._transport.is_closing():
            return
        if on:
            self._transport.resume_reading()
        else:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
            self._transport.pause_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.opened.done():
            self.opened.set_exception(HandshakeRefused("the connection was closed"))
        else:
            self.on_closed(self._close_code)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._rest:
            data = self._rest + data
        if not self.opened.done():
            head, found, data = data.partition(END_OF_HEAD)
            if not found:
                self._rest = head
                return
            self._handshake(head)
        position = 0
        available = len(data)
        while available - position >= 2:
            size = data[position + 1]
            start = position + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                if available < start:
                    break
                size = int.from_bytes(data[position + 2 : start], "big")
            end = start + size
            if end > available:
                break
            first = data[position]
            if first == 0x81:
                self.on_text(data[start:end], now)
            else:
                self._other_frame(first, data[start:end], now)
            position = end
        self._rest = data[position:] if position < available else b""

    def _handshake(self, head: bytes) -> None:
        first_line = head.partition(b"\r\n")[0]
        if b" 101 " in first_line:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(HandshakeRefused(first_line.decode("latin-1")))
            if self._transport is not None:
                self._transport.close()

    def _other_frame(self, first: int, payload: bytes, now: float) -> None:
        opcode = first & 0x0F
        if opcode == PING:
            self._write(client_frame(PONG, payload))
        elif opcode == CLOSE:
            self._close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            if self._transport is not None:
                self._write(client_frame(CLOSE, payload[:2]))
                self._transport.close()
        elif opcode in (0, TEXT):
            self._fragments.append(payload)
            if first & 0x80:
                whole, self._fragments = b"".join(self._fragments), []
                self.on_text(whole, now)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


class ModelConnection(asyncio.Protocol):
    """One keep-alive connection to the model server; one streamed request at a time.

    ``on_piece`` gets the raw bytes and when they came, ``on_end`` when the body's end was among them, or the connection
    was lost (False).
    """

    def __init__(self, on_piece: Callable[[bytes, float], None], on_end: Callable[[bool, float], None]) -> None:
        self.on_piece = on_piece
        self.on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._tail = b""

    @classmethod
    async def connect(
        cls, address: tuple[str, int], on_piece: Callable[[bytes, float], None], on_end: Callable[[bool, float], None]
    ) -> "ModelConnection":
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        _, self = await loop.create_connection(lambda: cls(on_piece, on_end), *address)
        return self

    def ask(self, model: str, text: str) -> None:
        """Send a chat request for a stream."""
        body = json.dumps(
            {
                "model": model,
                "stream": True,
                "stream_options": {"include_usage": True},
                "messages": [{"role": "user", "content": text}],
            }
        ).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: model\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._tail = b""
        if self._transport is not None:
            self._transport.write(head.encode() + END_OF_HEAD + body)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.on_end(False, time.monotonic())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.on_piece(data, now)
        self._tail = (
            (self._tail + data)[-len(END_OF_BODY) :] if len(data) < len(END_OF_BODY) else data[-len(END_OF_BODY) :]
        )
        if self._tail == END_OF_BODY:
            self.on_end(True, now)
