"""The web process's end of live replies: who follows what here, and how each follower gets every character once.

One hub per process (and event loop). Workers publish to its own Redis channel, once per tick, what all replies that
are followed here have said. A follower's cursor ``(epoch, seq)`` decides: what joins on is forwarded as it is; what
leaves a gap makes the hub read the log, or else the database, and send what is missing or a snapshot. So a lost
publication costs a moment, never a character. Once a second it looks up, in the database, replies that wait (for
their position) or have been silent (Redis may be away, their worker may have died).
"""

import asyncio
import random
import time
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from django.db import DatabaseError, InterfaceError

from accounts.models import User
from accounts.throttles import ask_budgets
from chatbot_project.lib import markdown, ratelimit
from chatbot_project.lib.db import run_db
from chatbot_project.lib.loops import cancel_until_done, is_set_within, keep_measuring_lag
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.redis import RedisError, open_all, subscribe
from conversations import doorbell, events
from conversations.busy import Lines, about, counted_in, known_lines, note_lines
from conversations.connections import Connections, Socket
from conversations.models import Message
from conversations.replies import pace, queue
from conversations.replies.live import ending_event
from conversations.replies.log import (
    END,
    NOTE,
    START,
    Entry,
    LiveLog,
    frames_behind,
    put_together,
    unpack_entries,
    web_channel,
)
from conversations.replies.queue import Ending, source_of
from conversations.transcript import load_citations

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 0.2  # in which a question that was counted in is stored, next to always
LOOK_SECONDS = 1.0
SILENT_SECONDS = 2.0
UNCLAIMED_SECONDS = 0.4
AWAY_SECONDS = 2.0
MAX_SYNC_ROUNDS = 5
NOTHING = (0, 0)


@dataclass(eq=False, slots=True)
class Follower:
    """How far one socket has been sent one reply; ``syncing`` while the log or the database is read for it."""

    socket: Socket
    epoch: int = 0
    seq: int = 0
    syncing: bool = False


@dataclass(eq=False, slots=True)
class FollowedReply:
    """A live reply that is followed here. ``epoch`` and ``seq`` are the furthest that were heard of it."""

    reply: UUID
    conversation: UUID
    followers: dict[Socket, Follower] = field(default_factory=dict)
    epoch: int = 0
    seq: int = 0
    heard_at: float = 0.0
    started: bool = False
    told: tuple[int, int | None] = (0, None)  # the position and wait that followers know


class Hub(Connections):
    """The process's sockets and what they follow.

    Create it in the event loop; ``start`` before the first socket, ``drain`` before the process ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._followed: dict[UUID, FollowedReply] = {}
        self._log = LiveLog(self._redis)
        self._log_away_until = 0.0
        self._missed_something = asyncio.Event()

    def start(self) -> None:
        """Begin to listen. Ringing doorbells goes through this process's loop from now on."""
        doorbell.connect()
        self.run(open_all(self._redis))
        self.run(subscribe(web_channel(self.web), self._heard, self._heard_again))
        self.run(subscribe(doorbell.PEOPLE_CHANNEL, self.heard_of_person, self.heard_of_people_again))
        self.run(self._look_loop())
        self.run(self._read_lines_loop())
        self.run(self.keep_checking())
        self.run(self.presence.keep_telling())
        self.run(keep_measuring_lag())
        metrics.REPLIES_FOLLOWED.set_function(lambda: len(self._followed))

    async def stop(self) -> None:
        """End all tasks and connections."""
        await cancel_until_done(list(self._tasks))
        await self.presence.leave()
        await doorbell.disconnect()
        await self._redis.aclose()

    async def take_ask(self, user: User, source: str) -> None:
        """Take one question to a model from the budgets of ``user``. Raises RateLimited, and ``unavailable`` while
        Redis is away: nothing is asked of a model uncounted."""
        await ratelimit.take_async(self._redis, ask_budgets(user, source), closed=True)

    async def give_ask_back(self, user: User, source: str) -> None:
        """Undo ``take_ask`` for a question that was turned away as too many wait, or was stored before."""
        await ratelimit.give_back_async(self._redis, ask_budgets(user, source))

    def remove(self, socket: Socket) -> None:
        """Forget the socket and all that it followed."""
        super().remove(socket)
        for followed in list(self._followed.values()):
            if followed.followers.pop(socket, None) is not None:
                self._forget_if_alone(followed)

    # --- following

    def follow(
        self, socket: Socket, conversation: UUID, reply: UUID, cursor: events.Cursor = NOTHING, *, epoch: int = 0
    ) -> None:
        """From now on send ``socket`` all of a live reply behind ``cursor``, or a snapshot where that is no cursor.

        Nothing of an epoch before ``epoch`` is sent: the database, of which ``socket`` was told, is past it.
        """
        self.presence.turned_to(socket, conversation)
        followed = self._followed.get(reply)
        if followed is None:
            followed = self._followed[reply] = FollowedReply(reply, conversation, heard_at=self._loop.time())
        if epoch > followed.epoch:
            followed.epoch, followed.seq = epoch, 0
        follower = followed.followers[socket] = Follower(socket, *cursor)
        self.run(self._sync(followed, follower, first=True))

    def unfollow(self, socket: Socket, conversation: UUID) -> None:
        """Send ``socket`` nothing more of the conversation's replies."""
        for followed in [f for f in self._followed.values() if f.conversation == conversation]:
            if followed.followers.pop(socket, None) is not None:
                self._forget_if_alone(followed)

    def _forget_if_alone(self, followed: FollowedReply) -> None:
        if not followed.followers and self._followed.get(followed.reply) is followed:
            del self._followed[followed.reply]

    def tell_ending(self, row: Message) -> None:
        """Tell followers here at once how a reply ended that no worker had."""
        followed = self._followed.get(row.pk)
        if followed is not None:
            self._end(followed, events.encode(stored_ending(row)))

    # --- what others say

    def _heard(self, message: bytes) -> None:
        now = self._loop.time()
        for entry in unpack_entries(message):
            followed = self._followed.get(entry.reply)
            if followed is None or entry.epoch < followed.epoch:
                continue
            followed.heard_at, followed.started = now, True
            followed.epoch, followed.seq = entry.epoch, entry.seq
            if entry.kind == END:
                self._end(followed, entry.frame)
                continue
            for follower in list(followed.followers.values()):  # a reader at its bound leaves here and now
                self._forward(followed, follower, entry)

    def _forward(self, followed: FollowedReply, follower: Follower, entry: Entry) -> None:
        if follower.syncing:
            return  # what it reads may lack this entry: _sync looks again before it is done
        if entry.kind == NOTE:
            if (entry.epoch, entry.seq) == (follower.epoch, follower.seq):
                follower.socket.offer(entry.frame)
            return  # whoever is behind gets it with the ending
        if (entry.epoch, entry.seq) <= (follower.epoch, follower.seq):
            return
        joins = entry.kind == START if entry.epoch > follower.epoch else entry.before == follower.seq
        if joins:
            follower.epoch, follower.seq = entry.epoch, entry.seq
            follower.socket.offer(entry.frame)
        else:
            self.run(self._sync(followed, follower))

    def _end(self, followed: FollowedReply, frame: bytes) -> None:
        if self._followed.pop(followed.reply, None) is not None:
            for follower in list(followed.followers.values()):
                follower.socket.offer(frame)

    async def _heard_again(self) -> None:
        """The subscription stands (again): what was published meanwhile is lost, so make up for it."""
        for followed in list(self._followed.values()):
            for follower in list(followed.followers.values()):
                if not follower.syncing:
                    self.run(self._sync(followed, follower, first=True))
        self._missed_something.set()

    # --- catching up

    async def _sync(self, followed: FollowedReply, follower: Follower, *, first: bool = False) -> bool:
        """Bring one follower up to the log; false where there is no log to read. ``first`` also tells the reply's
        worker that it is followed here."""
        if follower.syncing:
            return True
        follower.syncing = True
        try:
            for attempt in range(MAX_SYNC_ROUNDS):
                read = await self._read_log(followed, follower, first)
                if self._is_over(followed, follower):
                    return True
                if (followed.epoch, followed.seq) <= (follower.epoch, follower.seq) or (attempt and not read):
                    return read
                first = False  # it began or went on while the log was read: once more
            return True
        except RedisError as error:
            log.warning("hub.redis_away", error=type(error).__name__)
            self._log_away_until = self._loop.time() + AWAY_SECONDS
            return False
        finally:
            follower.syncing = False

    async def _read_log(self, followed: FollowedReply, follower: Follower, first: bool) -> bool:
        cursor = (follower.epoch, follower.seq)
        if first:
            raw = await self._log.follow(followed.reply, self.web, doorbell.WORKERS_CHANNEL, doorbell.FOLLOW, cursor)
        else:
            raw = await self._log.behind(followed.reply, cursor)
        if self._is_over(followed, follower):
            return True  # it ended while the log was read, and the ending says it all; or nobody wants it here
        behind = frames_behind(raw, cursor) if follower.epoch >= followed.epoch else None
        if behind is not None:
            follower.epoch, follower.seq = behind.cursor
            for frame in behind.frames:
                follower.socket.offer(frame)
            if behind.ending is not None:
                self._end(followed, behind.ending)
            return True
        logged = await self._log.read(followed.reply) if cursor != NOTHING else put_together(raw)
        if logged is None or logged.epoch < max(follower.epoch, followed.epoch) or self._is_over(followed, follower):
            return False  # none, or one of an earlier epoch: whoever holds the reply begins it anew
        if logged.ending is not None:
            self._end(followed, logged.ending)
        else:
            self._send_snapshot(followed, follower, logged.epoch, logged.text, logged.blocks)
        return True

    def _is_over(self, followed: FollowedReply, follower: Follower) -> bool:
        """Whether the reply has ended, or ``follower`` has left it: its socket may follow anew, from elsewhere."""
        gone = self._followed.get(followed.reply) is not followed
        return gone or followed.followers.get(follower.socket) is not follower

    def _send_snapshot(
        self,
        followed: FollowedReply,
        follower: Follower,
        epoch: int,
        text: str,
        blocks: list[events.RenderedBlock],
    ) -> None:
        conversation, reply = followed.conversation, followed.reply
        event: events.Event
        if text:
            event = events.ReplySnapshot(
                conversation=conversation, reply=reply, epoch=epoch, seq=len(text), text=text, blocks=blocks
            )
        else:
            event = events.ReplyStarted(conversation=conversation, reply=reply, epoch=epoch, seq=0)
        # Not ``started``: until its worker is heard, it may have ended before it was followed, and is looked up soon.
        follower.epoch, follower.seq = epoch, len(text)
        follower.socket.offer(events.encode(event))

    # --- the database's view

    async def _look_loop(self) -> None:
        while True:
            rest = LOOK_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311  spreads processes, no secret
            # What ended while nothing was heard, and whose log is gone perhaps, is found at once.
            everything = await is_set_within(self._missed_something, rest)
            self._missed_something.clear()
            now = self._loop.time()
            quiet = [
                f
                for f in self._followed.values()
                if everything or now - f.heard_at > (SILENT_SECONDS if f.started else UNCLAIMED_SECONDS)
            ]
            if not quiet:
                continue
            try:
                rows, places = await run_db(_read_states, [f.reply for f in quiet])
            except (DatabaseError, InterfaceError) as error:
                log.warning("hub.database_away", error=type(error).__name__)
                continue
            for followed in quiet:
                try:
                    await self._settle(followed, rows.get(followed.reply), places.get(followed.reply))
                except Exception:
                    # The edge of one reply: the others, and it the next time, are looked after all the same.
                    log.exception("hub.reply_not_settled", reply=str(followed.reply))

    async def _settle(self, followed: FollowedReply, row: Message | None, position: queue.Position | None) -> None:
        if row is None:
            self._followed.pop(followed.reply, None)
        elif not row.is_live:
            self._end(followed, events.encode(stored_ending(row)))
        elif row.status == Message.Status.STREAMING:
            for follower in list(followed.followers.values()):
                await self._bring_up(followed, follower, row)
        elif position is not None:
            self._tell_position(followed, row, position)

    def _tell_position(self, followed: FollowedReply, row: Message, position: queue.Position) -> None:
        """Say where the reply stands, where that or the estimate is news."""
        told = (position.place, about(known_lines().wait(position.provider, position.place)))
        if told == followed.told:
            return
        followed.told = told
        event = events.ReplyQueued(
            conversation=followed.conversation,
            reply=followed.reply,
            epoch=row.epoch,
            seq=len(row.text),
            position=position.place,
            wait=told[1],
        )
        for follower in list(followed.followers.values()):
            follower.socket.offer(events.encode(event))

    async def _read_lines_loop(self) -> None:
        """Keep this process told of how long the lines are and how fast they move."""
        while True:
            try:
                before = counted_in()
                await asyncio.sleep(COMMIT_SECONDS)
                waiting = await run_db(queue.lines)
                note_lines(Lines(waiting, await self._read_paces()), before=before)
            except (DatabaseError, InterfaceError) as error:
                log.warning("hub.database_away", error=type(error).__name__)
            except Exception:
                # Whatever it is: with lines that are never read anew, all would be turned away in the end.
                log.exception("hub.lines_not_read")
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311  spreads processes, no secret

    async def _read_paces(self) -> dict[str, float]:
        """What the workers say of their paces; nothing while Redis is away."""
        try:
            return await pace.read(self._redis, time.time())
        except (RedisError, OSError) as error:
            log.warning("hub.redis_away", error=type(error).__name__)
            return {}

    async def _bring_up(self, followed: FollowedReply, follower: Follower, row: Message) -> None:
        """A follower of a silent reply: from the log where it can be read, else from the last checkpoint."""
        # One that hangs is not waited for again for each follower in turn.
        if self._loop.time() >= self._log_away_until and await self._sync(followed, follower, first=True):
            return
        if self._is_over(followed, follower) or follower.syncing:
            return
        if (row.epoch, len(row.text)) > (follower.epoch, follower.seq):
            blocks = [events.RenderedBlock(b.end, b.html) for b in markdown.finished_blocks(row.text, 0)]
            self._send_snapshot(followed, follower, row.epoch, row.text, blocks)


def _read_states(replies: list[UUID]) -> tuple[dict[UUID, Message], dict[UUID, queue.Position]]:
    rows = Message.objects.in_bulk(replies)
    load_citations(row for row in rows.values() if not row.is_live)
    waiting = [pk for pk, row in rows.items() if row.status == Message.Status.QUEUED]
    return rows, queue.positions(waiting) if waiting else {}


def stored_ending(row: Message) -> events.ReplyEnding:
    """The last event of a reply that has ended, as the database has it (``load_citations`` first)."""
    ending = Ending(
        row.status,
        row.text,
        model=row.model,
        finish_reason=row.finish_reason,
        code=row.error_code,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        usage_estimated=row.usage_estimated,
        source=row.source or "",
        citations=tuple(source_of(citation) for citation in row.cited),
        offers=row.offers or (),
    )
    return ending_event(row.conversation_id, row.pk, row.epoch, ending)


def next_epoch(reply: Message | events.MessageInfo) -> int:
    """The first epoch of which a live reply can be heard. One that waits again is past what its log still holds; where
    it waits for the first time there is no log, and 0 spares the hub a second look for it."""
    again = reply.status == Message.Status.QUEUED and reply.epoch > 0
    return reply.epoch + again


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def running_hub() -> Hub:
    """The hub of the running event loop, started when it is first asked for."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
        hub.start()
    return hub


def is_draining() -> bool:
    """Whether this process sends its sockets elsewhere. Starts no hub where none runs."""
    hub = _hubs.get(asyncio.get_running_loop())
    return hub is not None and hub.draining
