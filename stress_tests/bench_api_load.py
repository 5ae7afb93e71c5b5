"""The API bench's load: clients with one kept connection each, and nothing decoded before a phase is over."""

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

END_OF_HEAD = b"\r\n\r\n"
END_OF_BODY = b"0\r\n\r\n"
RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's answer: seconds from sending to the first piece of text (``mark``) and to the end, which was at
    ``ended_at`` (``time.perf_counter``). ``retry_after`` are the seconds that it asks to wait."""

    name: str
    status: int
    first_s: float
    end_s: float
    retry_after: int | None = None
    ended_at: float = 0.0


class Connection:
    """One connection, kept. ``request`` raises OSError or IncompleteReadError where it is lost."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(*self.address, limit=2**20)

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed it, as it does with what is kept unused for long."""
        return self._reader is None or self._reader.at_eof()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def request(self, name: str, request: bytes, mark: bytes = b"") -> Answer:
        """Send ``request`` and read its answer to the end; ``mark`` is what the first text is known by."""
        assert self._reader is not None
        assert self._writer is not None
        began = time.perf_counter()
        self._writer.write(request)
        head = (await self._reader.readuntil(END_OF_HEAD)).lower()
        status = int(head[9:12])
        first = 0.0
        if b"transfer-encoding: chunked" in head:
            body = b""
            while not body.endswith(END_OF_BODY):
                body += await self._piece()
                if mark and not first and mark in body:
                    first = time.perf_counter() - began
        else:
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            await self._reader.readexactly(length)
        ended = time.perf_counter() - began
        wait = RETRY_AFTER.search(head)
        return Answer(name, status, first or ended, ended, int(wait[1]) if wait else None, began + ended)

    async def _piece(self) -> bytes:
        assert self._reader is not None
        piece = await self._reader.read(65536)
        if not piece:
            raise ConnectionResetError("closed within an answer")
        return piece


def get(host: str, path: str, token: str = "") -> bytes:
    """A GET of the API, by nobody where there is no token."""
    who = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{who}Accept: application/json\r\n\r\n".encode()


def post(host: str, path: str, token: str, body: Mapping[str, Any], accept: str = "application/json") -> bytes:
    """A POST of JSON."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def read_all(
    address: tuple[str, int], callers: Sequence[Mapping[str, Any]], *, seconds: float, think_s: float
) -> list[Answer]:
    """Each caller reads its addresses in an order of its own until ``seconds`` are over, with pauses of ``think_s``
    give or take a quarter."""
    host = f"{address[0]}:{address[1]}"

    async def caller(number: int) -> list[Answer]:
        chance = random.Random(number)
        asked = [
            (name, get(host, f"/api/v1/{path}", callers[number]["token"]))
            for name, path in callers[number]["addresses"].items()
        ]
        connection, answers = Connection(address), []
        await connection.open()
        await asyncio.sleep(think_s * number / len(callers))
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            answers.append(await connection.request(*chance.choice(asked)))
            if think_s:
                await asyncio.sleep(think_s * chance.uniform(0.75, 1.25))
        connection.close()
        return answers

    return _joined(await asyncio.gather(*(caller(number) for number in range(len(callers)))))


async def ask_all(
    address: tuple[str, int],
    callers: int,
    request_of: Callable[[int, int], bytes],
    *,
    turns: int,
    spread_s: float,
    mark: bytes,
) -> list[Answer]:
    """Each caller asks ``turns`` times, again as soon as it was answered; they begin evenly over ``spread_s``."""

    async def caller(number: int) -> list[Answer]:
        connection = Connection(address)
        await connection.open()
        await asyncio.sleep(spread_s * number / callers)
        answers = [await connection.request("ask", request_of(number, turn), mark) for turn in range(turns)]
        connection.close()
        return answers

    return _joined(await asyncio.gather(*(caller(number) for number in range(callers))))


def _joined(lists: Sequence[list[Answer]]) -> list[Answer]:
    return [answer for answers in lists for answer in answers]


Phase = Callable[[], Awaitable[list[Answer]]]
