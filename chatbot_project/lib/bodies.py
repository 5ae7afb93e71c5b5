"""Bounds on the bodies of HTTP requests, at the door: Django holds a body in memory, or writes it to the disk, before
any view sees it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from chatbot_project.lib.api.errors import too_large
from chatbot_project.lib.refusing import Page, Refusal, refuse, too_late, too_many

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Receive, Send], Awaitable[None]]

RECEIVE_SECONDS = 120.0  # 7 MB by half a megabit a second
RECEIVED_AT_ONCE = 512
#: What is beyond SMALL_BYTES of a body counts against LARGE_BYTES, of all that are here together.
SMALL_BYTES, LARGE_BYTES = 64 * 1024, 48 * 1024 * 1024
_BODILESS, _ANNOUNCING = frozenset({"GET", "HEAD"}), frozenset({b"content-length", b"transfer-encoding"})


class BoundedBodies:
    """An ASGI application around another, for HTTP. A body of more than ``limit`` bytes is answered with 413, one that
    takes longer than RECEIVE_SECONDS with 408, one too many with 503: of those that are being received there are
    RECEIVED_AT_ONCE, and large ones take LARGE_BYTES together until they are answered. What is left of a body that was
    refused is not received. ``page`` is a browser's page of it."""

    def __init__(self, app: ASGIApp, limit: int, page: Page | None = None) -> None:
        self._app = app
        self._limit = limit
        self._page = page
        self._receiving = 0
        self._large = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        # Servers let through only digits here; a number of twenty is large enough without reading it.
        if len(announced) > 20 or int(announced or b"0") > self._limit:
            await refuse(scope, send, too_large, self._page)
        elif scope["method"] in _BODILESS and not headers.keys() & _ANNOUNCING:
            await self._app(scope, receive, send)
        elif self._receiving >= RECEIVED_AT_ONCE:
            await refuse(scope, send, too_many, self._page)
        else:
            async with self._received(scope, receive, send) as (counted, guarded):
                await self._app(scope, counted, guarded)

    @asynccontextmanager
    async def _received(self, scope: Any, receive: Receive, send: Send) -> Any:
        """``receive`` and ``send`` of one request, of which the first counts and the second is silent once it was
        refused. Its large part is held until the context ends."""
        until = asyncio.get_running_loop().time() + RECEIVE_SECONDS
        received = large = 0
        is_whole = is_refused = False
        self._receiving += 1

        def end() -> None:
            nonlocal is_whole
            if not is_whole:
                is_whole = True
                self._receiving -= 1

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
            if more and self._large + more > LARGE_BYTES:
                return await refused(too_many)
            large += more
            self._large += more
            if not message.get("more_body", False):
                end()
            return message

        async def guarded(message: Message) -> None:
            if not is_refused:
                await send(message)

        try:
            yield counted, guarded
        finally:
            end()
            self._large -= large
