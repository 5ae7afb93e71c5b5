"""One reply's events as an iterator, for answers over HTTP: followed through the hub just as a socket follows it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import NamedTuple
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _

from accounts.credentials import Credential
from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.metrics import names as metrics
from conversations import events
from conversations.hub import NOTHING, Hub, next_epoch, running_hub, stored_ending
from conversations.models import Message
from conversations.outbox import MAX_BYTES
from conversations.transcript import load_citations

MAX_PER_PERSON = 50
_ENDINGS = frozenset(map(events.tag_of, events.leaves(events.ReplyEnding)))
_REPLY = b'{"type":"reply.'
_DELTA = b'{"type":"reply.delta"'


class Heading(msgspec.Struct):
    """What every event of a reply says of itself."""

    type: str
    epoch: int
    seq: int

    @property
    def is_ending(self) -> bool:
        return self.type in _ENDINGS


class Heard(NamedTuple):
    """An event of a reply: what it is, and its frame as it would go over a socket."""

    heading: Heading
    frame: bytes


read_heading = msgspec.json.Decoder(Heading).decode


class ReplyListener:
    """A follower of one reply (a ``Socket``) that is read by ``next``. What is not read is bounded as a socket's. That
    its server ends it hears by being closed: until then the reply may end.

    With ``endings_only`` it is not woken by pieces of text, of which there are thirty a second.
    """

    def __init__(self, user: User, credential: Credential, *, endings_only: bool = False) -> None:
        self._endings_only = endings_only
        self.credential, self.user_id, self.auth_epoch = credential.name, user.pk, user.auth_epoch
        self._frames: deque[bytes] = deque()
        self._waiting = 0  # bytes in _frames
        self._closed = 0
        self._news = asyncio.Event()

    def offer(self, frame: bytes) -> None:
        """Keep an event of the reply for ``next``; the list of conversations is of no interest here."""
        if self._endings_only and frame.startswith(_DELTA):
            return
        if frame.startswith(_REPLY):
            self._frames.append(frame)
            self._waiting += len(frame)
            if self._waiting > MAX_BYTES and self._waiting - max(map(len, self._frames)) > MAX_BYTES:
                self._frames.clear()
                self.close_soon(events.CLOSE_TOO_SLOW)
            self._news.set()

    def close_soon(self, code: int) -> None:
        """Let ``next`` end once all that was offered is read."""
        self._closed = self._closed or code
        self._news.set()

    async def next(self, idle: float | None) -> bytes:
        """The next frame; empty after ``idle`` seconds without one.

        Raises ApplicationError: ``going_away`` (this server ends: go on elsewhere, from the cursor), ``signed_out`` or
        ``too_slow``.
        """
        if not self._frames and not self._closed:
            self._news.clear()
            try:
                async with asyncio.timeout(idle):
                    await self._news.wait()
            except TimeoutError:
                return b""
        if not self._frames:
            raise _closing(self._closed)
        frame = self._frames.popleft()
        self._waiting -= len(frame)
        return frame


def _closing(code: int) -> ApplicationError:
    if code == events.CLOSE_SIGNED_OUT:
        return ApplicationError("signed_out", _("Sign in to go on."), status=401)
    if code == events.CLOSE_TOO_SLOW:
        return ApplicationError("too_slow", _("You did not read what was sent. Go on from where you are."), status=503)
    return ApplicationError(
        "going_away", _("This server is going away; the reply goes on. Ask for it again."), status=503, retry_after=1
    )


async def listen(
    reply: Message,
    *,
    user: User,
    credential: Credential,
    cursor: events.Cursor = NOTHING,
    idle: float | None = None,
    endings_only: bool = False,
) -> AsyncGenerator[Heard | None, None]:
    """The events of ``reply`` behind ``cursor``, up to its ending and with it. Close it when done (``aclosing``).

    A cursor that is none gets a snapshot first. ``endings_only`` leaves out pieces of text. With ``idle``, None
    whenever nothing was heard for so many seconds. The reply goes on whether or not anyone listens. Raises as
    ``ReplyListener.next`` does, and ``too_many_streams`` (429).
    """
    if not reply.is_live:
        yield await _ended(reply.pk)
        return
    hub = running_hub()
    if hub.count_of(user.pk) >= MAX_PER_PERSON:
        metrics.RATE_LIMITED.labels("streams").inc()
        raise ApplicationError("too_many_streams", _("Too many streams are open."), status=429, retry_after=5)
    listener = ReplyListener(user, credential, endings_only=endings_only)
    hub.add(listener)
    try:
        _follow(hub, listener, reply, cursor)
        while True:
            frame = await listener.next(idle)
            if not frame:
                yield None
                continue
            heading = read_heading(frame)
            yield Heard(heading, frame)
            if heading.is_ending:
                return
    finally:
        hub.remove(listener)


def _follow(hub: Hub, listener: ReplyListener, reply: Message, cursor: events.Cursor) -> None:
    if hub.ending:
        listener.close_soon(events.CLOSE_GOING_AWAY)
        return
    epoch, seq = cursor
    possible = 0 <= epoch <= reply.epoch and seq >= 0
    hub.follow(listener, reply.conversation_id, reply.pk, cursor if possible else NOTHING, epoch=next_epoch(reply))


async def _ended(reply: UUID) -> Heard:
    def read() -> bytes:
        row = Message.objects.filter(pk=reply).first()
        if row is None:
            raise NotFound
        load_citations([row])
        return events.encode(stored_ending(row))

    frame = await run_db(read)
    return Heard(read_heading(frame), frame)
