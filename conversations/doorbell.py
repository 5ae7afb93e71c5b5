"""Hints that something changed: to reply workers that work waits, to a person's tabs that a list line is new. And what
the doctor asks the workers, to hear whether they are there.

A doorbell may be lost without harm: workers poll the database as well, and tabs read anew after a break, their own or
that of their web process's subscription. So a failure is logged and goes no further. Callable from the event loop, from
its database threads, and from processes that have no loop.
"""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync

from chatbot_project.lib.redis import RedisError, make_redis
from conversations import events

log = structlog.get_logger(__name__)

WORKERS_CHANNEL = "nono:workers"
WORK = b"work"
STOP = b"stop:"
FOLLOW = b"follow:"
RULES = b"rules"
PING = b"ping:"  # and the Redis key of a list that each worker answers in
# Every web process hears it: 16 bytes of a person's id, then the frame for all of their tabs.
PEOPLE_CHANNEL = "nono:people"

Publication = tuple[str, bytes]
_WORK: Publication = (WORKERS_CHANNEL, WORK)


class _Line:
    """What a process with a long-lived event loop rings with: one connection, and what waits to be sent over it. While
    something is being sent, all that is rung waits and goes together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.client = make_redis()
        self.waiting: list[Publication] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.sending = asyncio.Lock()

    def ring(self, publications: list[Publication]) -> None:
        """Send ``publications`` together with what else was rung just now. Called in the loop's own thread."""
        if not self.waiting:
            task = self.loop.create_task(self._send())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self.waiting += [p for p in publications if p != _WORK or p not in self.waiting]

    async def _send(self) -> None:
        async with self.sending:
            publications, self.waiting = self.waiting, []
            await _publish(self.client, publications)


_line: _Line | None = None


def connect() -> None:
    """From now on this process's doorbells, also those rung in its threads, are sent by the running loop."""
    global _line
    loop = asyncio.get_running_loop()
    if _line is None or _line.loop is not loop:
        _line = _Line(loop)


async def disconnect() -> None:
    """Send what was rung and close the connection."""
    global _line
    line, _line = _line, None
    if line is not None:
        await asyncio.gather(*line.tasks, return_exceptions=True)
        await line.client.aclose()


def ring_workers() -> None:
    """Tell the reply workers that a reply waits."""
    _ring([_WORK])


def tell_rules_changed() -> None:
    """Tell the reply workers that the moderators' rules are others now. They read them every few seconds as well."""
    _ring([(WORKERS_CHANNEL, RULES)])


def ask_to_stop(reply: UUID) -> None:
    """Tell the worker that streams ``reply`` that its reader stopped it. The database says so already."""
    _ring([(WORKERS_CHANNEL, STOP + reply.bytes)])


def tell_user(user_id: UUID, event: events.Event, *, reply_waits: bool = False) -> None:
    """Send ``event`` to every open tab of a person; with ``reply_waits``, ring the workers with the same command."""
    told: Publication = (PEOPLE_CHANNEL, user_id.bytes + events.encode(event))
    _ring([_WORK, told] if reply_waits else [told])


def _ring(publications: list[Publication]) -> None:
    line = _line
    if line is None or not line.loop.is_running():
        async_to_sync(_publish_once)(publications)
    else:
        line.loop.call_soon_threadsafe(line.ring, publications)


async def _publish_once(publications: list[Publication]) -> None:
    client = make_redis()
    try:
        await _publish(client, publications)
    finally:
        await client.aclose()


async def _publish(client: Any, publications: Iterable[Publication]) -> None:
    try:
        pipe = client.pipeline(transaction=False)
        for channel, message in publications:
            pipe.publish(channel, message)
        await pipe.execute()
    except RedisError as error:
        log.warning("doorbell.lost", error=type(error).__name__)
