"""The socket of the live tile, ``/ws/figures/``: tells staff's pages what is going on, whenever it changes.

For pages of this site alone, by the session's cookie. It sends ``ready``, then ``live`` with ``people`` (null where it
cannot be known), ``streaming`` and ``waiting``; it answers ``ping`` with ``pong`` and takes nothing else. Every
LOOK_SECONDS it also looks whether its person may still see figures.
"""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError, InterfaceError

from accounts.models import User
from accounts.sockets import session_user
from analytics.live import Now, read_now
from chatbot_project.lib.db import run_db
from chatbot_project.lib.metrics import names as metrics
from conversations.admission import is_admissible, session_cookie, ticket_of
from conversations.events import CLOSE_BAD_FRAME, CLOSE_GOING_AWAY, CLOSE_SIGNED_OUT, CLOSE_TOO_MANY, CLOSE_TOO_SLOW
from conversations.hub import is_draining

log = structlog.get_logger(__name__)

#: As the other codes: 4000 and the HTTP status that says the same.
CLOSE_FORBIDDEN = 4403
LOOK_SECONDS = 2.0
SEND_SECONDS = 10.0
MAX_SOCKETS_PER_PERSON = 10
MAX_FRAME = 100
PERMISSION = "analytics.view_figures"

_open: Counter[Any] = Counter()  # of each person, in this process


def look(session_key: str) -> tuple[User | None, int, Now | None]:
    """Who holds that session, and what they may see: the code to close with, or 0 and what is going on. In a database
    thread."""
    user = session_user(session_key)
    if user is None:
        return None, CLOSE_SIGNED_OUT, None
    if not user.has_perm(PERMISSION):
        return user, CLOSE_FORBIDDEN, None
    return user, 0, read_now()


class FiguresConsumer(AsyncWebsocketConsumer):
    """One page that shows the tile."""

    channel_layer_alias = None  # nothing is passed on between processes: each reads
    _person: Any = None
    _task: "asyncio.Task[None] | None" = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # not in ``disconnect``: where sending broke, none is told
            self._forget()

    async def connect(self) -> None:
        if not is_admissible(self.scope) or ticket_of(self.scope) is not None:
            metrics.SOCKET_CLOSES.labels("403", "server").inc()
            await self.close()  # before accepting: the handshake is answered with 403
            return
        await self.accept()
        self._session = session_cookie(self.scope)
        try:
            user, code, now = await run_db(look, self._session)
        except (DatabaseError, InterfaceError) as error:
            log.warning("live.database_away", error=type(error).__name__)
            user, code, now = None, CLOSE_GOING_AWAY, None
        if is_draining():
            code = CLOSE_GOING_AWAY
        elif user is not None and not code and _open[user.pk] >= MAX_SOCKETS_PER_PERSON:
            metrics.RATE_LIMITED.labels("sockets").inc()
            code = CLOSE_TOO_MANY
        if code or user is None:
            await self._leave(code)
            return
        self._person = user.pk
        _open[self._person] += 1
        await self._say({"type": "ready"})
        self._task = asyncio.create_task(self._keep_telling(now))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        command: Any = None
        if text_data is not None and len(text_data) <= MAX_FRAME:
            with suppress(ValueError):
                command = json.loads(text_data)
        if command == {"type": "ping"}:
            await self._say({"type": "pong"})
        else:
            await self._leave(CLOSE_BAD_FRAME)

    def _forget(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._person is not None:
            _open[self._person] -= 1
            if not _open[self._person]:
                del _open[self._person]

    async def _keep_telling(self, now: Now | None) -> None:
        told = None
        while True:
            if now is not None and now != told:
                await self._say({"type": "live", **now._asdict()})
                told = now
            await asyncio.sleep(LOOK_SECONDS)
            if is_draining():
                await self._leave(CLOSE_GOING_AWAY)
                return
            try:
                _user, code, now = await run_db(look, self._session)
            except (DatabaseError, InterfaceError) as error:
                log.warning("live.database_away", error=type(error).__name__)
                continue  # what was told last stands until it is back
            if code:
                await self._leave(code)
                return

    async def _say(self, event: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.send(text_data=json.dumps(event))
        except TimeoutError:
            await self._leave(CLOSE_TOO_SLOW)

    async def _leave(self, code: int) -> None:
        metrics.SOCKET_CLOSES.labels(str(code), "server").inc()
        await self.close(code)
