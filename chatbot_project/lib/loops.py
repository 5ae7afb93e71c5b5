"""Waiting for events, ending tasks that run until they are cancelled, and how late an event loop is."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from chatbot_project.lib.metrics import names as metrics

AGAIN_SECONDS = 0.2
LAG_SECONDS = 1.0
STUCK_SECONDS = 30.0

_turned_at: float | None = None  # when the loop whose lag is measured last came round; None: there is none


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether ``event`` was set within ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def cancel_until_done(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and return when the last one has ended, whatever it raised.

    Once is not enough: before Python 3.12 ``asyncio.wait_for``, which the Redis client sends with, drops a cancellation
    that comes in the same turn of the loop as its result, and a loop around it would then go on for ever.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _done, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)


async def keep_measuring_lag() -> None:
    """Measure how late the running loop comes to what is due, once a second, for ever; run it as a task. One loop of a
    process at a time."""
    global _turned_at
    loop = asyncio.get_running_loop()
    try:
        while True:
            _turned_at = time.monotonic()
            due = loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            metrics.LOOP_LAG.observe(max(0.0, loop.time() - due))
    finally:
        _turned_at = None


def is_stuck() -> bool:
    """Whether the loop whose lag is measured has not come round for STUCK_SECONDS. Any thread may ask."""
    turned_at = _turned_at
    return turned_at is not None and time.monotonic() - turned_at > STUCK_SECONDS
