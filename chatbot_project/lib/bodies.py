"""A bound on the body of every HTTP request, at the door: Django writes a body to the disk before any view sees it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from chatbot_project.lib.api.errors import PROBLEM, problem, too_large
from chatbot_project.lib.api.openai_errors import PREFIX, openai_body

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Receive, Send], Awaitable[None]]


class BoundedBodies:
    """An ASGI application around another, for HTTP: a body of more than ``limit`` bytes is answered with 413, and what
    is left of it is not received."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        # Servers let through only digits here; a number of twenty is large enough without reading it.
        if len(announced) > 20 or int(announced or b"0") > self._limit:
            await _refuse(scope, send)
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
            await _refuse(scope, send)
            return {"type": "http.disconnect"}

        async def guarded(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, counted, guarded)


async def _refuse(scope: Any, send: Send) -> None:
    error = too_large()
    if scope["path"].startswith(PREFIX):
        content_type, body = "application/json", openai_body(error)
    else:
        content_type, body = PROBLEM, json.dumps(problem(error)).encode()
    headers = [(b"content-type", content_type.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
