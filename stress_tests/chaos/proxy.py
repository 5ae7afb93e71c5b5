"""A TCP proxy on loopback that spoils what passes through it: slow, throttled, torn, reset, stalled, half open."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

PIECE_BYTES = 64 * 1024
THROTTLE_SECONDS = 0.05

#: Opens a connection to what is behind the proxy.
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def to_port(port: int) -> Connect:
    """A server on 127.0.0.1."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


def to_socket(path: str) -> Connect:
    """A server on a unix socket."""
    return lambda: asyncio.open_unix_connection(path)


class Proxy:
    """Passes bytes on, as it is told: set the attributes at any time, ``heal`` sets them all back.

    ``delay`` is how long each piece waits, in seconds; ``rate`` the bytes per second and direction, None for as many as
    come; ``stalled`` keeps everything until healed; ``swallows`` reads and passes nothing on, for good, on every
    connection that it meets (a half-open connection: neither side is told); ``refuses`` resets whoever connects.
    Use it in one event loop, as an async context manager.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self.port = 0
        self.heal()

    def heal(self) -> None:
        """Pass on again, also what was kept; connections that swallowed something are reset, what was not torn yet is
        not torn any more."""
        self.delay = 0.0
        self.rate: float | None = None
        self.refuses = self.swallows = False
        self._flows.set()
        for pair in list(self._pairs):
            pair.left = None
            if pair.swallowed:
                pair.reset()

    @property
    def stalled(self) -> bool:
        """Whether everything is kept until it is healed."""
        return not self._flows.is_set()

    def stall(self) -> None:
        self._flows.clear()

    def reset(self) -> None:
        """Reset all connections there are, as a router that forgot them."""
        for pair in list(self._pairs):
            pair.reset()

    def tear(self, after: int) -> None:
        """Reset each connection that there is, once so many more bytes have passed towards the client: in the midst of
        whatever is being said then."""
        for pair in list(self._pairs):
            pair.left = after

    @property
    def connections(self) -> int:
        return len(self._pairs)

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.close()
        self.heal()
        tasks = [pair.task for pair in self._pairs if pair.task is not None]
        self.reset()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            _reset(writer)
            return
        if self.stalled:
            await self._flows.wait()
        try:
            there = await self._connect()
        except OSError:
            _reset(writer)
            return
        pair = _Pair(self, (reader, writer), there)
        self._pairs.add(pair)
        pair.task = asyncio.current_task()
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)

    async def let_pass(self, pair: "_Pair", data: bytes, writer: asyncio.StreamWriter) -> None:
        """One piece of one direction, with all that is wrong with the link at the moment."""
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flows.wait()
        if self.swallows or pair.swallowed:
            pair.swallowed = True
            return
        while data and self.rate is not None:
            size = max(1, int(self.rate * THROTTLE_SECONDS))
            writer.write(data[:size])
            data = data[size:]
            await asyncio.sleep(THROTTLE_SECONDS)
        if data:
            writer.write(data)
        await writer.drain()


class _Pair:
    """A connection of a client and the one behind it."""

    def __init__(self, proxy: Proxy, here: tuple[Any, Any], there: tuple[Any, Any]) -> None:
        self._proxy = proxy
        self._here, self._there = here, there
        self.swallowed = False
        self.left: int | None = None
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until both sides are done, or one has broken."""
        (here_in, here_out), (there_in, there_out) = self._here, self._there
        pumps = [
            asyncio.create_task(self._pump(here_in, there_out, towards_client=False)),
            asyncio.create_task(self._pump(there_in, here_out, towards_client=True)),
        ]
        try:
            await asyncio.gather(*pumps)
        except (OSError, RuntimeError):  # uvloop's word for a write to what was reset meanwhile
            self.reset()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in (here_out, there_out):
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, towards_client: bool) -> None:
        while data := await reader.read(PIECE_BYTES):
            if towards_client and self.left is not None and len(data) > self.left:
                writer.write(data[: self.left])
                # What was written leaves before the reset, which would discard it.
                await asyncio.sleep(0.01)
                self.reset()
                return
            if towards_client and self.left is not None:
                self.left -= len(data)
            await self._proxy.let_pass(self, data, writer)
        if not self.swallowed and writer.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()

    def reset(self) -> None:
        _reset(self._here[1])
        _reset(self._there[1])


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
