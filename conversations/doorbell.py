"""Hints that something changed: to reply workers that work waits, to a person's tabs that a list line is new.

A doorbell may be lost without harm: workers poll the database as well, and tabs follow anew after a break. So a
failure is logged and goes no further. Callable from the event loop, from its database threads, and from processes
that have no loop.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from chatbot_project.lib.redis import RedisError, make_redis
from conversations import events

log = structlog.get_logger(__name__)

WORKERS_CHANNEL = "nono:workers"
WORK = b"work"
STOP = b"stop:"
FOLLOW = b"follow:"


class _Line:
    """What a process with a long-lived event loop rings with."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.client = make_redis()
        self.tasks: set[asyncio.Task[None]] = set()
        self.work_rung = False

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run ``coroutine`` in the loop. Called in the loop's own thread."""
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


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


def user_group(user_id: UUID) -> str:
    """The channel layer's group of all sockets of one person."""
    return f"user.{user_id.hex}"


def ring_workers() -> None:
    """Tell the reply workers that a reply waits. Several rings before the first is sent are one."""
    line = _line
    if line is not None:
        if line.work_rung:
            return
        line.work_rung = True
    _start(_ring_work)


def ask_to_stop(reply: UUID) -> None:
    """Tell the worker that streams ``reply`` that its reader stopped it. The database says so already."""
    _start(lambda: _publish(STOP + reply.bytes))


def tell_user(user_id: UUID, event: events.Event) -> None:
    """Send ``event`` to every open tab of a person."""
    _start(lambda: _group_send(user_group(user_id), events.encode(event)))


def _start(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    line = _line
    if line is None or not line.loop.is_running():

        async def ring() -> None:  # a lambda does not look like a coroutine function, of which asgiref warns
            await make()

        async_to_sync(ring)()
    else:
        line.loop.call_soon_threadsafe(lambda: line.start(make()))


async def _ring_work() -> None:
    if _line is not None:
        _line.work_rung = False  # before the send: a ring from now on needs another one
    await _publish(WORK)


async def _publish(message: bytes) -> None:
    client = _line.client if _line is not None else make_redis()
    try:
        await client.publish(WORKERS_CHANNEL, message)
    except RedisError as error:
        log.warning("doorbell.lost", kind=message[:4].decode("ascii", "replace"), error=type(error).__name__)
    finally:
        if _line is None:
            await client.aclose()


async def _group_send(group: str, frame: bytes) -> None:
    try:
        await get_channel_layer().group_send(group, {"type": "frame.push", "frame": frame})
    except (RedisError, OSError) as error:
        log.warning("doorbell.lost", kind="group", error=type(error).__name__)
