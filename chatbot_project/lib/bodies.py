"""A bound on the body of every HTTP request, at the door: Django writes a body to the disk before any view sees it."""

from collections.abc import Awaitable, Callable
from typing import Any

from chatbot_project.lib.api.errors import too_large
from chatbot_project.lib.refusing import Page, refuse

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Receive, Send], Awaitable[None]]


class BoundedBodies:
    """An ASGI application around another, for HTTP: a body of more than ``limit`` bytes is answered with 413, and what
    is left of it is not received. ``page`` is a browser's page of it."""

    def __init__(self, app: ASGIApp, limit: int, page: Page | None = None) -> None:
        self._app = app
        self._limit = limit
        self._page = page

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        # Servers let through only digits here; a number of twenty is large enough without reading it.
        if len(announced) > 20 or int(announced or b"0") > self._limit:
            await refuse(scope, send, too_large, self._page)
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
            await refuse(scope, send, too_large, self._page)
            return {"type": "http.disconnect"}

        async def guarded(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, counted, guarded)
