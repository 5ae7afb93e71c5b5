"""The ids that lead from one process's log lines to another's: bound here, they stand in every line until they are let
go of, also in what the threads of ``run_db`` and the Celery tasks that are sent meanwhile log.

``request_id`` names a request over HTTP or a command over a socket, ``connection`` a socket, ``conversation`` and
``reply`` what is worked on, ``task_id`` a run of a Celery task. They are context variables: of asyncio tasks that run
side by side, each has its own.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from structlog.contextvars import bound_contextvars, get_contextvars

from chatbot_project.lib import tracing
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.pii import redact
from chatbot_project.lib.redaction import without_tokens

HEADER = b"x-request-id"
NAMES = ("request_id", "connection", "conversation", "reply")
_ACCEPTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Receive, Send], Awaitable[None]]


def bound(**ids: object) -> AbstractContextManager[None]:
    """Have ``ids`` in every line that is logged within the block."""
    return bound_contextvars(**{name: str(value) for name, value in ids.items()})


def bound_ids() -> dict[str, str]:
    """Those of NAMES that are bound here, to be handed to another process."""
    held = get_contextvars()
    return {name: held[name] for name in NAMES if name in held}


def handed_over(ids: object) -> dict[str, str]:
    """What ``bound_ids`` of another process gave, as far as it can be believed."""
    if not isinstance(ids, Mapping):
        return {}
    return {name: ids[name] for name in NAMES if is_acceptable(ids.get(name))}


def is_acceptable(said: object) -> bool:
    """Whether an id from outside may stand in our lines: a UUID, with or without its hyphens, or 8 to 64 letters,
    digits and ``._-`` of which nothing would be taken for personal data or a secret."""
    if not isinstance(said, str) or not _ACCEPTABLE.fullmatch(said):
        return False
    return _UUID.fullmatch(said) is not None or (redact(said) == said and without_tokens(said) == said)


def new_id() -> str:
    """An id of our own for a request or a connection."""
    return str(uuid7())


def id_for(said: str) -> str:
    """``said`` where that is acceptable as an id, else a new one."""
    return said if is_acceptable(said) else new_id()


class Correlated:
    """An ASGI application around another. Each request over HTTP gets an id, the one it came with where that is
    acceptable and a new one elsewhere; it goes back as ``X-Request-ID`` whoever answers. Each socket gets one, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            with bound(connection=new_id()):
                await self._app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        header = (HEADER, request_id.encode())

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        with bound(request_id=request_id), tracing.request_began():
            await self._app(scope, receive, answered)


def _request_id(headers: Any) -> str:
    """The one acceptable id that the headers say, or a new one."""
    said: list[str] = [value.decode("latin-1") for name, value in headers if name == HEADER]
    return id_for(said[0] if len(said) == 1 else "")
