"""A bound on the body of every HTTP request, at the door: Django writes a body to the disk before any view sees it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from chatbot_project.lib.api.edge import PREFIXES
from chatbot_project.lib.api.errors import PROBLEM, problem, too_large
from chatbot_project.lib.api.openai_errors import PREFIX, openai_body

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Page = Callable[[str], bytes]
ASGIApp = Callable[[Any, Receive, Send], Awaitable[None]]


class BoundedBodies:
    """An ASGI application around another, for HTTP: a body of more than ``limit`` bytes is answered with 413, and what
    is left of it is not received. ``page`` gives a browser's page of it for an Accept-Language."""

    def __init__(self, app: ASGIApp, limit: int, page: Page | None = None) -> None:
        self._app = app
        self._limit = limit
        self._page = page

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        # Servers let through only digits here; a number of twenty is large enough without reading it.
        if len(announced) > 20 or int(announced or b"0") > self._limit:
            await self._refuse(scope, send)
            return
        received = 0
        refused = False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received <= self._limit or refused:
                return message
            refused = True
            await self._refuse(scope, send)
            return {"type": "http.disconnect"}

        async def guarded(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, counted, guarded)

    async def _refuse(self, scope: Any, send: Send) -> None:
        told = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._page is not None and "text/html" in told.get(b"accept", "") and not scope["path"].startswith(PREFIXES):
            language = told.get(b"accept-language", "")
            page = await asyncio.to_thread(self._page, language)
            await _send(send, "text/html; charset=utf-8", page)
            return
        error = too_large()
        if scope["path"].startswith(PREFIX):
            await _send(send, "application/json", openai_body(error))
        else:
            await _send(send, PROBLEM, json.dumps(problem(error)).encode())


async def _send(send: Send, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
