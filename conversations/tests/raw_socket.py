"""A WebSocket by hand, for what no client library would send: any header, any frame, and not reading at all."""

import asyncio
import base64
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class RawSocket:
    """``status`` is the handshake's answer; where it is 101, frames go both ways."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status = 0
        self.received = 0

    @classmethod
    async def open(
        cls, url: str, headers: Sequence[bytes], *, receive_buffer: int = 0, path: bytes = b"/ws/chat/"
    ) -> Self:
        """Ask for the upgrade with these header lines beside the WebSocket's own."""
        address = urlsplit(url)
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
        limit = receive_buffer or 2**16
        opened = cls(*await asyncio.open_connection(sock=connection, limit=limit))
        key = base64.b64encode(os.urandom(16))
        lines = [
            b"GET " + path + b" HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: " + key, *headers,
        ]  # fmt: skip
        opened.writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        try:
            async with asyncio.timeout(10):
                first = await opened.reader.readline()
                opened.status = int(first.split()[1]) if first else 0
                while (await opened.reader.readline()).strip():
                    pass
        except BaseException:
            await opened.close()
            raise
        return opened

    def send(self, payload: bytes, kind: int = TEXT, *, is_last: bool = True) -> None:
        """One whole frame, masked as a client must; of a message that it ends, or that goes on."""
        kind |= 0x80 if is_last else 0
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", kind, 0x80 | size)
        elif size < 2**16:
            head = struct.pack("!BBH", kind, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", kind, 0x80 | 127, size)
        repeated = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
        self.writer.write(head + mask + masked)

    async def frame(self, seconds: float = 10) -> tuple[int, bytes]:
        """The next frame. Raises IncompleteReadError or ConnectionError at the connection's end."""
        async with asyncio.timeout(seconds):
            head = await self.reader.readexactly(2)
            size = head[1] & 0x7F
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self.reader.readexactly(size)
        self.received += size
        return head[0] & 0x0F, payload

    async def close_code(self, seconds: float = 10) -> int:
        """Read on to the close frame and return its code; 1006 where the connection ends without one."""
        try:
            while True:
                kind, payload = await self.frame(seconds)
                if kind == CLOSE:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006

    async def first_frame_or_code(self) -> bytes | int:
        """What the server sends first: a text, or the code with which it closes."""
        kind, payload = await self.frame(10)
        return int.from_bytes(payload[:2], "big") if kind == CLOSE else payload

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def own_headers(url: str, key: str) -> list[bytes]:
    """What a page of the site itself, signed in, sends."""
    return [f"Host: {urlsplit(url).netloc}".encode(), f"Origin: {url}".encode(), f"Cookie: sessionid={key}".encode()]
