"""Bounds on the bodies of HTTP requests, at the door: Django holds a body in memory, or writes it to the disk, before
any view sees it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from chatbot_project.lib.api.errors import too_large
from chatbot_project.lib.refusing import Page, Refusal, refuse, too_late, too_many

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Receive, Send], Awaitable[None]]

RECEIVE_SECONDS = 120.0  # 7 MB by half a megabit a second
#: How many bodies are being received at once, of all and of one source.
RECEIVED, RECEIVED_OF_ONE = 512, 64
#: What is beyond SMALL_BYTES of a body counts against LARGE_BYTES of all that are here, and LARGE_BYTES_OF_ONE source.
SMALL_BYTES = 64 * 1024
LARGE_BYTES, LARGE_BYTES_OF_ONE = 48 * 1024 * 1024, 16 * 1024 * 1024
#: In a scope: called once nobody needs the body any more, though the answer takes longer.
LET_GO = "nono.body.let_go"
_BODILESS, _ANNOUNCING = frozenset({"GET", "HEAD"}), frozenset({b"content-length", b"transfer-encoding"})
_ALL = ""


class BoundedBodies:
    """An ASGI application around another, for HTTP. A body of more than ``limit`` bytes is answered with 413, one that
    takes longer than RECEIVE_SECONDS with 408, one too many with 503: RECEIVED are received at once, and large ones
    take LARGE_BYTES together until they are answered, or let go of. What is left of a body that was refused is not
    received. ``page`` is a browser's page of it; ``source_of`` tells of a scope where the request comes from."""

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        page: Page | None = None,
        source_of: Callable[[Any], str] = lambda _scope: _ALL,
    ) -> None:
        self._app = app
        self._limit = limit
        self._page = page
        self._source_of = source_of
        self._receiving = Counter[str]()  # by source, and of _ALL; the same below
        self._large = Counter[str]()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        # Servers let through only digits here; a number of twenty is large enough without reading it.
        if len(announced) > 20 or int(announced or b"0") > self._limit:
            await refuse(scope, send, too_large, self._page)
        elif scope["method"] in _BODILESS and not headers.keys() & _ANNOUNCING:
            await self._app(scope, receive, send)
        elif not _take(self._receiving, source := self._source_of(scope), 1, RECEIVED, RECEIVED_OF_ONE):
            await refuse(scope, send, too_many, self._page)
        else:
            async with self._received(scope, source, receive, send) as (counted, guarded):
                await self._app(scope, counted, guarded)

    @asynccontextmanager
    async def _received(
        self, scope: Any, source: str, receive: Receive, send: Send
    ) -> AsyncIterator[tuple[Receive, Send]]:
        """``receive`` and ``send`` of one request, of which the first counts and the second is silent once it was
        refused. Its large part is held until the context ends, or it is let go of."""
        until = asyncio.get_running_loop().time() + RECEIVE_SECONDS
        received = large = 0
        is_whole = is_refused = False

        def end() -> None:
            nonlocal is_whole
            if not is_whole:
                is_whole = True
                _give_back(self._receiving, source, 1)

        def let_go() -> None:
            nonlocal large
            _give_back(self._large, source, large)
            large = 0

        async def refused(refusal: Refusal) -> Message:
            nonlocal is_refused
            is_refused = True
            end()
            await refuse(scope, send, refusal, self._page)
            return {"type": "http.disconnect"}

        async def counted() -> Message:
            nonlocal received, large
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                return await refused(too_late)
            received += len(message.get("body", b""))
            if received > self._limit:
                return await refused(too_large)
            more = max(0, received - SMALL_BYTES) - large
            if more and not _take(self._large, source, more, LARGE_BYTES, LARGE_BYTES_OF_ONE):
                return await refused(too_many)
            large += more
            if not message.get("more_body", False):
                end()
            return message

        async def guarded(message: Message) -> None:
            if not is_refused:
                await send(message)

        scope[LET_GO] = let_go
        try:
            yield counted, guarded
        finally:
            end()
            let_go()


def _take(counts: Counter[str], source: str, amount: int, most: int, most_of_one: int) -> bool:
    """Count ``amount`` more of ``source`` and of all, unless that would be too many of either."""
    if counts[_ALL] + amount > most or (source != _ALL and counts[source] + amount > most_of_one):
        return False
    for key in {_ALL, source}:
        counts[key] += amount
    return True


def _give_back(counts: Counter[str], source: str, amount: int) -> None:
    for key in {_ALL, source}:
        counts[key] -= amount
        if not counts[key]:
            del counts[key]
