"""The reply worker: claims waiting replies, streams them from the model into the live log, stores how they ended.

Loops beside one task per reply: *claim* takes replies up, the sender sends what all replies have said since the last
tick in one go (``sending``), *checkpoint* stores their texts and renews their leases about once a second, *beat* tells
Redis that the worker lives, and which replies it holds while the database does not take checkpoints, the reaper
settles replies whose worker is gone (``reaping``). A subscription hears doorbells. Nothing here is lost with the
process: the database is the queue.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils import timezone

from chatbot_project.lib import tracing
from chatbot_project.lib.backoff import Backoff
from chatbot_project.lib.correlation import bound
from chatbot_project.lib.db import fetch_prepared, run_db
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.loops import cancel_until_done, is_set_within, keep_measuring_lag
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.redis import RedisError, make_redis, open_all, subscribe
from chatbot_project.lib.token_budget import TokenBudget
from conversations import doorbell
from conversations.replies import background, heartbeat, metering, pace, queue
from conversations.replies.cache.joining import ReplyCache
from conversations.replies.cache.keeping import store_ending
from conversations.replies.knowledge import with_sources
from conversations.replies.live import LiveReply
from conversations.replies.log import Entry
from conversations.replies.pace import Speedometer
from conversations.replies.pipeline import answer
from conversations.replies.queue import Ending
from conversations.replies.reaping import Reaper
from conversations.replies.sending import BUSY_REPLIES, Sender
from conversations.replies.work import take_up
from conversations.safety.checks import judged_shown
from conversations.safety.findings import forget_rules, record_finding

log = structlog.get_logger(__name__)
T = TypeVar("T")

GATHER_SECONDS = 0.015  # while busy: how long doorbells are gathered for one claim
POLL_SECONDS = 1.0
CHECKPOINT_SECONDS = 1.0
FIRST_RETRY_SECONDS, RETRY_SECONDS = 0.05, 0.5  # between attempts at what is away
DATABASE_ERRORS = (DatabaseError, InterfaceError)
AWAY_ERRORS = (OperationalError, InterfaceError)


class ReplyWorker:
    """One process's worth of live replies. ``run()`` until ``drain()``; belongs to one event loop."""

    def __init__(self, llm: LLMClient, *, name: str = "") -> None:
        self.name = name or uuid7().hex
        self.llm = llm
        self.live: dict[UUID, LiveReply] = {}
        self.draining = False
        self._bell = asyncio.Event()
        self._redis = make_redis()
        self._sender = Sender(self._redis, self.live, on_lost=self._restart_logs)
        self._reaper = Reaper(self._redis, self._sender, self.live.keys(), on_queued=self._bell.set)
        self._budget = TokenBudget(self._redis, settings.DAILY_TOKENS)
        self._cache = ReplyCache()
        self._pings: list[str] = []  # keys of Redis that the doctor waits at
        self._used: Counter[str] = Counter()
        self._speed = Speedometer({name: self._free(name) for name in settings.LLM_PROVIDERS})
        self._saturated = False
        self._unsure_until = 0.0
        self._stored_at = time.monotonic()  # when the database last took a checkpoint, or there was none to take
        self._claiming: asyncio.Task[None] | None = None
        self._afterwards: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        self._claiming = asyncio.create_task(self._claim_loop())
        replies = (self._sender.run(), self._checkpoint_loop(), self._reaper.run())
        others = (self._beat_loop(), self._pace_loop(), self._listen(), keep_measuring_lag(), open_all(self._redis))
        tasks = [self._claiming, *(asyncio.create_task(loop) for loop in (*replies, *others))]
        try:
            done, _running = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()  # raises what broke it
        finally:
            await cancel_until_done(tasks)
            with suppress(RedisError):
                await pace.leave(self._redis, self.name)
            await self._redis.aclose()

    async def drain(self, seconds: float) -> None:
        """Take up nothing more, let live replies end for ``seconds``, and hand over those that have not."""
        self.draining = True
        self._reaper.stop()
        if self._claiming is not None:
            self._bell.set()
            await asyncio.wait([self._claiming], timeout=5)  # what is being claimed is answered, too
        tasks = [r.task for r in self.live.values() if r.task]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for reply in list(self.live.values()):
            self._cancel(reply, "hand_over")
        tasks = [r.task for r in self.live.values() if r.task]
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self._sender.send()
        if self._afterwards:
            await asyncio.wait(self._afterwards, timeout=3)  # a broker that hangs has them no longer

    # --- claiming

    async def _claim_loop(self) -> None:
        waits = _waits()
        while not self.draining:
            try:
                await self._claim()
                await self._answer_pings()
            except DATABASE_ERRORS as error:
                log.warning("worker.database_away", step="claim", error=type(error).__name__)
                self._unsure_until = time.monotonic() + settings.REPLY_LEASE_SECONDS
                await waits.wait()
                continue  # whoever rang meanwhile was not heard
            waits.reset()
            await is_set_within(self._bell, POLL_SECONDS)
            if len(self.live) > BUSY_REPLIES:
                await asyncio.sleep(GATHER_SECONDS)
            self._bell.clear()

    async def _claim(self) -> None:
        """Take up as many waiting replies as there is room for. For a lease's length after a claim failed, what it may
        have claimed all the same is given back first: else it would be nobody's until the lease is over."""
        if time.monotonic() < self._unsure_until:
            for lost in await run_db(queue.give_back, self.name, list(self.live)):
                log.warning("reply.claim_lost", reply=str(lost))
        free = {name: self._free(name) for name in settings.LLM_PROVIDERS}
        if not any(free.values()):
            self._saturated = True
            return
        taken = await run_db(take_up, self.name, free, settings.REPLY_SLOTS, settings.REPLY_LEASE_SECONDS)
        replies = [LiveReply.of(claim, work) for claim, work in taken]
        for reply in replies:
            self._used[reply.provider] += 1
            self._speed.started(reply.provider)
            metering.taken_up(reply)
            if (before := self.live.get(reply.reply)) is not None:
                self._cancel(before, "overtaken")  # its lease ran out, and it does not know yet
            self.live[reply.reply] = reply  # before the followers are read: those who come later ring the doorbell
        was_saturated, self._saturated = self._saturated, not all(self._free(name) for name in free)
        if was_saturated and not self._saturated:
            self._bell.set()  # another worker may have been sooner at what was first in line: once more for the next
        if replies and not self.draining:
            await self._read_followers(replies)
        for reply in replies:
            self._sender.say(reply)
            reply.task = asyncio.create_task(self._run_reply(reply))

    async def _answer_pings(self) -> None:
        """Tell the doctor that work is looked for, once the database answered: a claim without room asks nothing."""
        if not self._pings:
            return
        await run_db(fetch_prepared, "SELECT 1", [])
        keys, self._pings = self._pings, []
        try:
            await heartbeat.answer(self._redis, keys)
        except RedisError as error:
            self._sender.failed(error)

    async def _read_followers(self, replies: list[LiveReply]) -> None:
        try:
            found = await self._sender.log.followers([r.reply for r in replies])
        except RedisError as error:
            self._sender.failed(error)
            return
        for reply, followers in zip(replies, found, strict=True):
            reply.followers |= followers

    def _free(self, provider: str) -> int:
        return max(0, queue.slots_of(provider) - self._used[provider])

    # --- one reply

    async def _run_reply(self, reply: LiveReply) -> None:
        asked = {"request_id": reply.request_id} if reply.request_id else {}
        ids = bound(reply=reply.reply, conversation=reply.conversation, **asked)
        with ids, tracing.reply_taken_up(reply.reply, waited=reply.waited, epoch=reply.epoch):
            await self._work_on(reply)

    async def _work_on(self, reply: LiveReply) -> None:
        reply.has_begun = True
        try:
            ending = await self._answered(reply)
            reply.ending = True
            if ending is not None:
                await self._finish(reply, ending)
            elif reply.cancelled_for == "hand_over":
                held = with_sources(reply, Ending("queued", reply.text))
                await self._until_stored(lambda: run_db(queue.hand_over, reply.reply, reply.epoch, held))
        finally:
            if self.live.get(reply.reply) is reply:
                del self.live[reply.reply]
            self._used[reply.provider] -= 1
            self._cache.settled(reply)
            self._speed.ended(reply.provider, (timezone.now() - reply.taken_at).total_seconds())
            metering.let_go(reply)
            self._sender.forget(reply)
            if self._saturated:
                self._bell.set()

    async def _answered(self, reply: LiveReply) -> Ending | None:
        """How the reply ended; None where it does not end here, as somebody else goes on with it."""
        try:
            if reply.cancelled_for:
                raise asyncio.CancelledError
            return await answer(reply, self.llm, self._budget, self._cache, self._sender.next_tick, self._sender.say)
        except asyncio.CancelledError:
            if reply.cancelled_for != "stop":
                return None
            return await judged_shown(reply, self.llm, Ending("stopped", reply.text, reply.model))
        except Exception:
            # The edge of one reply: whatever breaks must not take the other replies with it, nor leave this one live.
            log.exception("reply.broke")
            return _broken(reply)

    async def _finish(self, reply: LiveReply, ending: Ending) -> None:
        def store(ending: Ending) -> list[Entry]:
            whole = with_sources(reply, ending)
            for finding in reply.findings:
                record_finding(finding)
            if not store_ending(reply, whole):
                return []
            if whole.withdraws:
                reply.withdraw()
            return reply.last_entries(whole)  # renders the text, which may take a while: not in the event loop

        if reply.renewing is not None:
            await reply.renewing
        with tracing.step("saving") as saving:
            saving.say(status=ending.status, code=ending.code or None)
            try:
                entries = await self._until_stored(lambda: run_db(store, ending))
            except DatabaseError:  # it is there, and does not take this: that will not change
                log.exception("reply.not_stored")
                ending = _broken(reply)
                entries = await self._until_stored(lambda: run_db(store, ending))
        if not entries:
            log.warning("reply.overtaken", epoch=reply.epoch)
            return
        metering.ended(reply, ending)
        log.info("reply.ended", status=ending.status, code=ending.code, model=ending.model)
        said = iter(reply.take_entry, None)  # so that the deltas alone make up the text
        self._sender.end((*said, *entries), reply.followers)
        if background.is_due(reply.work, ending, reply.first_kept) and not self._sender.is_away:
            # Celery's broker is the same Redis.
            # Not in a database thread: where the broker is away, asking it takes seconds.
            task = asyncio.create_task(asyncio.to_thread(background.after_reply, reply.work, ending, reply.first_kept))
            self._afterwards.add(task)
            task.add_done_callback(self._afterwards.discard)

    async def _until_stored(self, store: Callable[[], Awaitable[T]]) -> T:
        """``store()``, again and again while the database is away: what was streamed is not given up. Raises what else
        the database says."""
        waits = _waits()
        while True:
            try:
                return await store()
            except AWAY_ERRORS as error:
                log.warning("worker.database_away", step="finish", error=type(error).__name__)
                await waits.wait()

    def _cancel(self, reply: LiveReply, reason: str) -> None:
        if reply.task and not reply.cancelled_for and not reply.ending:
            reply.cancelled_for = reason
            if reply.has_begun:  # a task that has not begun would be ended without a word, and let go of nothing
                reply.task.cancel()

    # --- logs that are lost

    async def _restart_logs(self, lost: list[UUID]) -> None:
        """Give replies whose log is gone or unsure a new epoch, under which the whole text goes out again.

        Nothing is ever put together from two epochs: followers get a snapshot.
        """
        replies = [
            r
            for pk in dict.fromkeys(lost)
            if (r := self.live.get(pk)) is not None and not r.ending and not r.cancelled_for
        ]
        if not replies:
            return
        metrics.LOG_RESTARTS.inc(len(replies))
        renewing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for reply in replies:
            reply.renewing = renewing
        epochs: dict[UUID, int] | None = None
        try:
            epochs = await run_db(queue.raise_epochs, [r.checkpoint() for r in replies], settings.REPLY_LEASE_SECONDS)
        except DATABASE_ERRORS as error:
            log.warning("worker.database_away", step="restart_logs", error=type(error).__name__)
        finally:
            renewing.set_result(None)
            for reply in replies:
                reply.renewing = None
        for reply in replies:
            if epochs is None or reply.reply in epochs:
                reply.restart_log(reply.epoch if epochs is None else epochs[reply.reply])
                self._sender.say(reply)
            else:
                self._cancel(reply, "overtaken")

    # --- storing

    async def _checkpoint_loop(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            held = [r for r in self.live.values() if r.renewing is None]
            points = [r.checkpoint() for r in held]
            lengths = [len(r.text) for r in held]
            try:
                ours = await run_db(queue.checkpoint, points, settings.REPLY_LEASE_SECONDS) if held else {}
            except DATABASE_ERRORS as error:
                log.warning("worker.database_away", step="checkpoint", error=type(error).__name__)
                continue
            if held or not self.live:
                self._stored_at = time.monotonic()
            for reply, point, length in zip(held, points, lengths, strict=True):
                self._checked(reply, point.epoch, length, ours)

    def _checked(self, reply: LiveReply, epoch: int, length: int, ours: dict[UUID, bool]) -> None:
        if reply.epoch != epoch or reply.ending or reply.renewing is not None:
            return  # it ended or got a new epoch while the statement ran
        if reply.reply not in ours:
            self._cancel(reply, "overtaken")
            return
        reply.checkpointed = length
        if ours[reply.reply]:
            self._cancel(reply, "stop")

    async def _beat_loop(self) -> None:
        """Not with the checkpoints: a hung Redis must not cost replies their lease, nor a hung database their word.
        What has shown nothing is not held: whoever has the database does it anew."""
        lease = settings.REPLY_LEASE_SECONDS
        while True:
            try:
                await heartbeat.tell(self._redis, self.llm.resting())
                if time.monotonic() - self._stored_at > lease / 2:
                    shown = {r.reply: r.epoch for r in self.live.values() if r.text}
                    await heartbeat.hold(self._redis, shown, lease)
            except RedisError as error:
                self._sender.failed(error)
            await asyncio.sleep(min(heartbeat.TELL_SECONDS, lease / 4))

    async def _pace_loop(self) -> None:
        """Measure how fast replies are started, and tell all web processes. Not while draining: it starts none."""
        loop = asyncio.get_running_loop()
        while not self.draining:
            paces = self._speed.look(loop.time(), {name: self._free(name) for name in settings.LLM_PROVIDERS})
            try:
                await pace.tell(self._redis, self.name, paces, time.time())
            except RedisError as error:
                log.warning("worker.redis_away", error=type(error).__name__)
            await asyncio.sleep(pace.TELL_SECONDS)

    # --- doorbells

    async def _listen(self) -> None:
        await subscribe(doorbell.WORKERS_CHANNEL, self._heard, self._heard_again)

    async def _heard_again(self) -> None:
        forget_rules()  # they may have been changed meanwhile
        self._bell.set()

    def _heard(self, message: bytes) -> None:
        if message == doorbell.WORK:
            self._bell.set()
        elif message == doorbell.RULES:
            forget_rules()
        elif message.startswith(doorbell.PING):
            self._pings.append(message[len(doorbell.PING) :].decode())
            self._bell.set()
        elif message.startswith(doorbell.STOP):
            reply = self.live.get(UUID(bytes=message[len(doorbell.STOP) :]))
            if reply is not None:
                self._cancel(reply, "stop")
        elif message.startswith(doorbell.FOLLOW):
            body = message[len(doorbell.FOLLOW) :]
            reply = self.live.get(UUID(bytes=body[:16]))
            if reply is not None:
                reply.followers.add(body[16:].decode())


def _broken(reply: LiveReply) -> Ending:
    return Ending("interrupted" if reply.text else "failed", reply.text, reply.model, code="internal_error")


def _waits() -> Backoff:
    return Backoff(FIRST_RETRY_SECONDS, RETRY_SECONDS)
