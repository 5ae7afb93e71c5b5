"""What live replies have said, on its way to the live log: all of it in one command, with each tick.

While Redis is away texts wait in their replies, and of endings the last ones do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import structlog

from chatbot_project.lib.backoff import Backoff
from chatbot_project.lib.loops import is_set_within
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.redis import RedisError
from conversations.replies.live import LiveReply
from conversations.replies.log import Entry, LiveLog

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.025
BUSY_TICK_SECONDS = 0.030
BUSY_REPLIES = 40
READ_SECONDS = 0.003  # after a tick: time for all streams to be read before their text is sent
FIRST_RETRY_SECONDS, RETRY_SECONDS = 0.05, 0.5  # between questions whether Redis is back
KEPT_ENDINGS = 200  # entries of endings that are kept for Redis to come back


class Sender:
    """Sends for the replies in ``live``, which its owner keeps. ``on_lost`` is awaited with those whose log is gone or
    unsure."""

    def __init__(
        self, client: Any, live: Mapping[UUID, LiveReply], *, on_lost: Callable[[list[UUID]], Awaitable[None]]
    ) -> None:
        self.log = LiveLog(client)
        self._redis = client
        self._live = live
        self._on_lost = on_lost
        self._waiting_for_tick: list[asyncio.Future[None]] = []
        self._awake = asyncio.Event()  # ends the ticks' rest while nothing is live
        self._at_once = asyncio.Event()
        self._dirty: dict[UUID, LiveReply] = {}
        self._endings: list[tuple[Entry, set[str]]] = []
        self._away_until: float | None = None
        self._waits = Backoff(FIRST_RETRY_SECONDS, RETRY_SECONDS)

    @property
    def is_away(self) -> bool:
        """Whether Redis was away when it was last asked."""
        return self._away_until is not None

    async def next_tick(self) -> None:
        """Return right before the next tick's text is sent."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_for_tick.append(waiter)
        await waiter

    def say(self, reply: LiveReply, at_once: bool = False) -> None:
        """``reply`` has new text: send it with the next tick, or ``at_once``."""
        self._dirty[reply.reply] = reply
        self._awake.set()
        if at_once:
            self._at_once.set()

    def end(self, entries: Iterable[Entry], followers: set[str]) -> None:
        """Send the last ``entries`` of a reply at once: whoever waits for the whole has waited long enough."""
        self._endings.extend((entry, followers) for entry in entries)
        self._awake.set()
        self._at_once.set()

    def forget(self, reply: LiveReply) -> None:
        """It says nothing more."""
        if self._dirty.get(reply.reply) is reply:
            del self._dirty[reply.reply]

    async def run(self) -> None:
        """Tick until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not (self._live or self._dirty or self._endings):
                await self._awake.wait()
            self._awake.clear()
            at = loop.time() + (BUSY_TICK_SECONDS if len(self._live) > BUSY_REPLIES else TICK_SECONDS)
            while (rest := at - loop.time()) > 0:
                if await is_set_within(self._at_once, rest):
                    self._at_once.clear()
                    await self.send()
            waiting, self._waiting_for_tick = self._waiting_for_tick, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
            if waiting:
                await asyncio.sleep(READ_SECONDS)
            if await self.send() and waiting:
                metrics.RELAY_SECONDS.observe(loop.time() - at)

    async def send(self) -> bool:
        """Everything that was said since the last call, in one command; whether there was any, and Redis took it."""
        if not (self._dirty or self._endings) or not await self._is_back():
            return False
        dirty, self._dirty = self._dirty, {}
        endings, self._endings = self._endings, []
        outgoing = [(e, r.followers) for r in dirty.values() if not r.ending for e in iter(r.take_entry, None)]
        try:
            lost = await self.log.append([*outgoing, *endings])
        except RedisError as error:
            self.failed(error)
            self._endings = endings + self._endings
            await self._on_lost([entry.reply for entry, _followers in outgoing])  # whether they arrived is not known
            return False
        self._waits.reset()
        metrics.RELAYED.inc(len(outgoing))
        if lost:
            await self._on_lost(lost)
        return True

    def failed(self, error: RedisError) -> None:
        """Redis did not answer: leave it alone for a moment."""
        log.warning("worker.redis_away", error=type(error).__name__)
        self._away_until = asyncio.get_running_loop().time() + self._waits.next()

    async def _is_back(self) -> bool:
        """Whether Redis answers, asked ever less often, down to twice a second, while it does not. Texts wait; of
        endings the last ones do, which followers have not yet found in the database."""
        if self._away_until is None:
            return True
        del self._endings[:-KEPT_ENDINGS]
        if asyncio.get_running_loop().time() < self._away_until:
            return False
        try:
            await self._redis.ping()
        except RedisError as error:
            self.failed(error)
            return False
        self._away_until = None
        return True
