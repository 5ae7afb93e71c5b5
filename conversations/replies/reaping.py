"""What becomes of replies whose worker is gone: each worker looks for them, and the first to find one settles it.

It is ended with the most that is known to have been shown, or put back into line where nothing was.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from chatbot_project.lib.db import run_db
from chatbot_project.lib.redis import RedisError
from conversations import events
from conversations.replies import heartbeat, metering, queue
from conversations.replies.live import ending_event
from conversations.replies.log import END, Entry
from conversations.replies.queue import Orphan
from conversations.replies.sending import Sender

log = structlog.get_logger(__name__)

REAP_SECONDS = 2.0
HELD_SECONDS = 120.0  # after its lease: how long a reply is left to a worker that only Redis hears of


class Reaper:
    """Settles for a worker whose own replies are ``live``. Their endings go out by ``sender``; ``on_queued()`` is
    called for each that waits again."""

    def __init__(self, client: Any, sender: Sender, live: Collection[UUID], *, on_queued: Callable[[], None]) -> None:
        self._redis = client
        self._sender = sender
        self._live = live
        self._on_queued = on_queued
        self._stopped = False
        self._careful_since = -math.inf

    def stop(self) -> None:
        """Settle nothing more, for good."""
        self._stopped = True

    async def run(self) -> None:
        """Look every ``REAP_SECONDS`` until stopped. Not for a lease's length after the database failed this worker:
        others could not renew theirs either, and do so first, whatever became of the database (a restart, another
        server in its place, a network that is back). Nor after this worker stood still itself: perhaps all of them
        did, with their machine."""
        while not self._stopped:
            began = time.time()
            await asyncio.sleep(REAP_SECONDS)
            self._note_standstill(began + REAP_SECONDS)
            try:
                if time.monotonic() - self._careful_since < settings.REPLY_LEASE_SECONDS:
                    await run_db(queue.depth)  # is it back for good?
                    continue
                await self.reap()
                for reply in await run_db(queue.stop_paused):  # web processes find it, as they look up what waits
                    log.warning("reply.paused", reply=str(reply))
            except (DatabaseError, InterfaceError) as error:
                self._careful_since = time.monotonic()
                log.warning("worker.database_away", step="reap", error=type(error).__name__)

    async def reap(self) -> None:
        """Settle what nobody streams any more. A worker that the database alone has left goes on, unless its person
        wants the reply stopped: what it has shown is not called cut off, and is stored when it can be."""
        looked_at = set(self._live)
        while not self._stopped:
            asked = time.time()
            orphans = await run_db(queue.orphans, looked_at)
            if self._note_standstill(asked) or not orphans:
                return
            looked_at.update(orphan.reply for orphan in orphans)
            held = await self._held(
                {o.reply: o.epoch for o in orphans if o.expired_for < HELD_SECONDS and not o.stop_requested}
            )
            if held:
                log.warning("worker.spares_held", replies=len(held))
            for orphan in orphans:
                if orphan.reply not in held and orphan.reply not in self._live:
                    await self._settle(orphan)

    def _note_standstill(self, due: float) -> bool:
        """Whether it is much later than ``due``, by the clock of the world: the other one stands while a machine
        sleeps."""
        if time.time() - due < settings.REPLY_LEASE_SECONDS / 3:
            return False
        self._careful_since = time.monotonic()
        log.warning("worker.stood_still")
        return True

    async def _held(self, epochs: dict[UUID, int]) -> set[UUID]:
        try:
            return await heartbeat.held(self._redis, epochs)
        except RedisError as error:
            self._sender.failed(error)
            return set()

    async def _settle(self, orphan: Orphan) -> None:
        """End a reply whose worker is gone, with the most that can be known of it: its log, else its checkpoint."""
        shown, followers = orphan.text, set[str]()
        try:
            logged = await self._sender.log.read(orphan.reply)
            if logged and logged.epoch == orphan.epoch and len(logged.text) > len(shown):
                shown = logged.text
            followers = (await self._sender.log.followers([orphan.reply]))[0]
        except RedisError as error:
            self._sender.failed(error)
        status = await run_db(queue.settle_orphan, orphan, shown)
        metering.orphan_settled(status)
        log.warning(
            "reply.orphan_settled", reply=str(orphan.reply), conversation=str(orphan.conversation), status=status
        )
        if status == "queued":
            self._on_queued()
        elif status is not None:
            ending = await run_db(queue.orphan_ending, orphan, status, shown)
            epoch = orphan.epoch + 1
            frame = events.encode(ending_event(orphan.conversation, orphan.reply, epoch, ending))
            self._sender.end([Entry(orphan.reply, epoch, 0, len(shown), END, frame)], followers)
