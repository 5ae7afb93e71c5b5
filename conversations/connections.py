"""The sockets that are open in a web process: whose they are, whether those are still signed in, and sending all of
them elsewhere."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakValueDictionary

import structlog
from django.db import DatabaseError, InterfaceError

from accounts.sockets import still_signed_in
from chatbot_project.lib.db import run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.redis import make_redis
from conversations import events
from conversations.presence import Presence, Transport

log = structlog.get_logger(__name__)

SESSIONS_SECONDS = 2.5
DRAIN_SPREAD_MILLISECONDS = 3000
READ_ANEW_SPREAD_SECONDS = 3.0
READS_AT_ONCE = 2


class Socket(Protocol):
    """What is needed of an open socket."""

    credential: str
    user_id: UUID
    auth_epoch: int

    def offer(self, frame: bytes) -> None: ...
    def close_soon(self, code: int) -> None: ...


class Connections:
    """Those of one process (and event loop), which is called ``web``."""

    def __init__(self) -> None:
        self.web = uuid7().hex
        self.sockets: set[Socket] = set()
        self.draining = False  # no tab comes any more
        self.ending = False  # and no answer over HTTP is begun that would take longer than a moment
        self._redis = make_redis()
        self.presence = Presence(self.web, self._redis)
        self._tabs: dict[UUID, set[Socket]] = {}
        self._transports: dict[Socket, Transport] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reads: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()
        self._empty = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run ``coroutine`` as a task of the process; what it raises is logged."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("hub.task_broke", exc_info=error)

    def add(self, socket: Socket, *, transport: Transport = "http") -> None:
        """Count the socket in: it is told of everything that concerns all sockets."""
        self.sockets.add(socket)
        self._tabs.setdefault(socket.user_id, set()).add(socket)
        self._empty.clear()
        self._transports[socket] = transport
        metrics.SOCKETS_OPEN.labels(transport).inc()
        self.presence.add(socket, transport)

    def remove(self, socket: Socket) -> None:
        """Forget the socket."""
        self.presence.remove(socket)
        if (transport := self._transports.pop(socket, None)) is not None:
            metrics.SOCKETS_OPEN.labels(transport).dec()
        self.sockets.discard(socket)
        tabs = self._tabs.get(socket.user_id, set())
        tabs.discard(socket)
        if not tabs:
            self._tabs.pop(socket.user_id, None)
        if not self.sockets:
            self._empty.set()

    @contextlib.asynccontextmanager
    async def reading(self, person: UUID) -> AsyncIterator[None]:
        """Within it the person has a conversation read. With however many sockets they take READS_AT_ONCE of the
        process's database threads at most; the rest wait for their own."""
        gate = self._reads.setdefault(person, asyncio.Semaphore(READS_AT_ONCE))
        async with gate:
            yield

    def count_of(self, user_id: UUID) -> int:
        """How many sockets of one person are open here."""
        return len(self._tabs.get(user_id, ()))

    def heard_of_person(self, message: bytes) -> None:
        """Pass on what ``doorbell.PEOPLE_CHANNEL`` says to the sockets of the person whom it concerns."""
        for socket in list(self._tabs.get(UUID(bytes=message[:16]), ())):
            socket.offer(message[16:])

    async def heard_of_people_again(self) -> None:
        """``doorbell.PEOPLE_CHANNEL`` is heard (again): what it said meanwhile is lost, so each tab here is told, after
        a random wait, to read anew what it shows."""
        frame = events.encode(events.ConversationsCleared())
        for socket, transport in self._transports.items():
            if transport == "websocket":
                wait = random.uniform(0, READ_ANEW_SPREAD_SECONDS)  # noqa: S311  spreads tabs, no secret
                self._loop.call_later(wait, socket.offer, frame)

    async def drain(self, seconds: float, *, answers_seconds: float) -> None:
        """Tell every client to go elsewhere, each after a random wait, then close what is left, with a code: sockets
        after ``seconds``, answers over HTTP, whose readers mostly know of nowhere else to go on, after theirs."""
        self.draining = True
        began = self._loop.time()
        frame = events.encode(events.ServerDraining(within=DRAIN_SPREAD_MILLISECONDS))
        for socket in list(self.sockets):
            socket.offer(frame)
        await self._emptied(began + seconds)
        for socket, transport in list(self._transports.items()):
            if transport != "http":
                socket.close_soon(events.CLOSE_GOING_AWAY)
        await self._emptied(began + answers_seconds)
        self.ending = True
        for socket in list(self.sockets):
            socket.close_soon(events.CLOSE_GOING_AWAY)
        await asyncio.sleep(0.2)

    async def _emptied(self, until: float) -> None:
        if self.sockets:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), until - self._loop.time())

    async def keep_checking(self) -> None:
        """Close sockets whose session has ended, whoever ended it and wherever, within SESSIONS_SECONDS; for ever."""
        while True:
            await asyncio.sleep(SESSIONS_SECONDS)
            try:
                await self.check_sessions(self.sockets)
            except (DatabaseError, InterfaceError) as error:
                log.warning("hub.database_away", error=type(error).__name__)
            except Exception:
                # The edge of one look: without the next ones, who was signed out unheard would stay for ever.
                log.exception("hub.sessions_not_checked")

    async def check_sessions(self, sockets: Iterable[Socket]) -> None:
        """Close those of ``sockets`` whose session is no longer good."""
        checked = list(sockets)
        if not checked:
            return
        good = await run_db(still_signed_in, [(s.credential, s.user_id, s.auth_epoch) for s in checked])
        for socket in checked:
            if socket.credential not in good:
                socket.close_soon(events.CLOSE_SIGNED_OUT)
