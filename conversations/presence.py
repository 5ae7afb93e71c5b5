"""Who is connected, to whichever web process: each tells Redis of its own, under a key that expires soon.

A connection that comes, goes or turns to another conversation is a change; changes are told at most once a second, all
at once. In between, a renewal every few seconds keeps the key, whatever the number of connections: what is streamed
costs nothing here. A web process that is killed is gone when its key expires. Nothing here is worth keeping: Redis may
lose it, and is told anew.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, get_args
from uuid import UUID

import msgspec
import structlog

from accounts.credentials import Kind
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.redis import RedisError, blocking_redis

log = structlog.get_logger(__name__)

RENEW_SECONDS = 3.0
CHANGES_SECONDS = 1.0
EXPIRY_SECONDS = 10
# Sorted set of the web processes that have told anything of late, by when: where to look for their keys.
WEBS_KEY = "nono:presence"
FORGET_SECONDS = 3600.0  # no process's clock is wrong by so much

Transport = Literal["websocket", "http"]
TRANSPORTS: tuple[Transport, ...] = get_args(Transport)


class Connected(Protocol):
    """What is told of an open socket."""

    credential: str
    user_id: UUID


class Entry(msgspec.Struct, array_like=True):
    """One connection. Its ids are in the order of their making; ``credential`` is its kind alone."""

    id: UUID
    user: UUID
    since: datetime
    credential: Kind
    transport: Transport
    conversation: UUID | None = None


class Connection(msgspec.Struct, frozen=True):
    """An entry and the name of the web process that told of it."""

    entry: Entry
    web: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Entry]).decode


def presence_key(web: str) -> str:
    """Where the web process ``web`` tells who is connected to it."""
    return f"{WEBS_KEY}:{web}"


class Presence:
    """What one web process tells. ``redis`` is an asyncio client."""

    def __init__(self, web: str, redis: Any) -> None:
        self._web = web
        self._redis = redis
        self._entries: dict[Connected, Entry] = {}
        self._changed = asyncio.Event()
        self._told = False  # whether Redis may hold something of ours
        self._away = False

    def add(self, socket: Connected, transport: Transport) -> None:
        """From now on ``socket`` is connected."""
        kind = Kind(socket.credential.partition(":")[0])
        self._entries[socket] = Entry(uuid7(), socket.user_id, datetime.now(UTC), kind, transport)
        self._changed.set()

    def remove(self, socket: Connected) -> None:
        """``socket`` is connected no longer."""
        if self._entries.pop(socket, None) is not None:
            self._changed.set()

    def turned_to(self, socket: Connected, conversation: UUID) -> None:
        """``conversation`` is the one that ``socket`` follows last."""
        entry = self._entries.get(socket)
        if entry is not None and entry.conversation != conversation:
            entry.conversation = conversation
            self._changed.set()

    async def keep_telling(self) -> None:
        """Tell and renew, for ever; run it as a task and cancel it."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._changed.wait()
            try:
                await self._tell()
                self._away = False
            except RedisError as error:
                self._changed.set()  # Redis may have restarted: it is told all of it
                if not self._away:
                    log.warning("presence.redis_away", error=type(error).__name__)
                self._away = True
            except Exception:
                # The edge of one telling: without the next ones, all who are here would count as gone.
                self._changed.set()
                log.exception("presence.not_told")
            await asyncio.sleep(CHANGES_SECONDS)

    async def leave(self) -> None:
        """Nobody is connected any more: the process ends. Where Redis is away, the key expires by itself."""
        self._entries.clear()
        with contextlib.suppress(RedisError, TimeoutError):
            async with asyncio.timeout(CHANGES_SECONDS):
                await self._tell()

    async def _tell(self) -> None:
        changed = self._changed.is_set()
        self._changed.clear()
        if not self._entries and not self._told:
            return
        key, now = presence_key(self._web), time.time()
        pipe = self._redis.pipeline(transaction=False)
        if not self._entries:
            pipe.delete(key)
            pipe.zrem(WEBS_KEY, self._web)
        else:
            if changed:
                pipe.set(key, _encode(list(self._entries.values())), ex=EXPIRY_SECONDS)
            else:
                pipe.expire(key, EXPIRY_SECONDS)
            pipe.zadd(WEBS_KEY, {self._web: now})
        pipe.zremrangebyscore(WEBS_KEY, "-inf", now - FORGET_SECONDS)
        self._told = True
        known = (await pipe.execute())[0]
        self._told = bool(self._entries)
        if self._entries and not known:
            self._changed.set()  # there was nothing to renew: Redis has lost it


def who_is_connected() -> list[Connection]:
    """All that are connected, the newest first. Raises RedisError where Redis cannot be asked."""
    redis = blocking_redis()
    webs = [web.decode() for web in _bytes(redis.zrange(WEBS_KEY, 0, -1))]
    told = _bytes(redis.mget([presence_key(web) for web in webs])) if webs else []
    found = [Connection(entry, web) for web, raw in zip(webs, told, strict=True) for entry in _entries(web, raw)]
    return sorted(found, key=lambda each: each.entry.id, reverse=True)


def _bytes(answer: Any) -> list[Any]:
    """An answer of the client, whose types also know clients that would have to be awaited."""
    return list(answer)


def _entries(web: str, raw: bytes | None) -> Iterable[Entry]:
    if raw is None:
        return []
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        log.warning("presence.unreadable", web=web)  # of another version of this program, during an update
        return []
