"""The live log of replies in Redis: what the worker of a reply has said under its epoch, for whoever follows it.

One stream per reply, ``nono:log:<reply>``, whose entry ids are ``epoch-seq``: Redis itself refuses an older epoch. Each
entry holds one encoded event: first ``reply.started`` or, where text was there before, ``reply.snapshot``; then
``reply.delta``, and last, for whoever begins to follow a reply that has just ended, its ending. One script call appends
what all replies of a worker said in a tick and publishes it, once, to each web process that follows any of them
(``nono:web:<process>``). The log is a copy: PostgreSQL holds the checkpoints and the endings.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from redis.commands.core import AsyncScript

from conversations import events

KEEP_LIVE_SECONDS = 3600
KEEP_ENDED_SECONDS = 20
KEEP_FOLLOWERS_SECONDS = 300  # of an ended reply: long enough for one that waits again to be taken up
START, DELTA, END, NOTE = 0, 1, 2, 3

# ARGV[1] is a MessagePack [entries, endings] of strings and numbers (Redis' decoder knows no "bin"); then come each
# ending as a message, and channel and message of each publication. Who began to follow a reply unheard by its worker is
# sent its ending all the same: they are in the set before they read the log. The answer lists the places of the entries
# whose log is gone, belongs to a newer epoch, or holds the entry already: their replies need a new epoch.
_APPEND = """
local batch = cmsgpack.unpack(ARGV[1])
local lost = {}
for place, entry in ipairs(batch[1]) do
  local key, id, frame, epoch = entry[1], entry[2], entry[3], entry[4]
  if epoch > 0 then
    local top = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    if top and tonumber(string.match(top[1], '^%d+')) >= epoch then
      lost[#lost + 1] = place - 1
    else
      redis.call('DEL', key)
      redis.call('XADD', key, id, 'f', frame)
      redis.call('EXPIRE', key, KEEP_LIVE)
    end
  elseif redis.call('EXISTS', key) == 0 then
    lost[#lost + 1] = place - 1
  else
    local answer = redis.pcall('XADD', key, id, 'f', frame)
    if type(answer) == 'table' and answer.err then lost[#lost + 1] = place - 1 end
  end
end
for i = 2 + #batch[2], #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
for place, ending in ipairs(batch[2]) do
  local known = {}
  for _, web in ipairs(ending[5]) do known[web] = true end
  for _, web in ipairs(redis.call('SMEMBERS', ending[4])) do
    if not known[web] then redis.call('PUBLISH', 'nono:web:' .. web, ARGV[1 + place]) end
  end
  local answer = redis.pcall('XADD', ending[1], 'NOMKSTREAM', ending[2], 'e', ending[3])
  if type(answer) == 'string' then
    redis.call('EXPIRE', ending[1], KEEP_ENDED)
    redis.call('EXPIRE', ending[4], KEEP_FOLLOWERS)
  end
end
return lost
""".replace("KEEP_LIVE", str(KEEP_LIVE_SECONDS)).replace("KEEP_ENDED", str(KEEP_ENDED_SECONDS))
_APPEND = _APPEND.replace("KEEP_FOLLOWERS", str(KEEP_FOLLOWERS_SECONDS))


def log_key(reply: UUID) -> str:
    return f"nono:log:{reply.hex}"


def followers_key(reply: UUID) -> str:
    """The set of web processes that follow ``reply``, for the worker that takes it up."""
    return f"nono:followers:{reply.hex}"


def web_channel(web: str) -> str:
    return f"nono:web:{web}"


class Entry(NamedTuple):
    """One event of one reply: ``kind`` START (text before it: ``seq``), DELTA (it leads from ``before`` to ``seq``)
    or END (the database holds it already); or NOTE, which is said to followers only, as the ending says it again."""

    reply: UUID
    epoch: int
    before: int
    seq: int
    kind: int
    frame: bytes


_pack = msgspec.msgpack.Encoder().encode
_Packed = tuple[bytes, int, int, int, int, bytes]
_unpack: msgspec.msgpack.Decoder[list[_Packed]] = msgspec.msgpack.Decoder(list[_Packed])


def unpack_entries(message: bytes) -> list[Entry]:
    """The entries of a publication to a web process."""
    return [
        Entry(UUID(bytes=reply), epoch, before, seq, kind, frame)
        for reply, epoch, before, seq, kind, frame in _unpack.decode(message)
    ]


class LiveLog:
    """Appends to and reads from the live log. Raises ``redis.exceptions.RedisError`` where Redis is away."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._append = AsyncScript(client, _APPEND)

    async def append(self, entries: Sequence[tuple[Entry, Iterable[str]]]) -> list[UUID]:
        """Append ``(entry, followers)`` in order and publish each to its followers (names of web processes).

        Returns the replies whose log cannot be continued under this epoch.
        """
        lines: list[tuple[str, str, str, int]] = []
        replies: list[UUID] = []
        mail: dict[str, list[_Packed]] = {}
        endings: list[tuple[str, str, str, str, list[str]]] = []
        late: list[bytes] = []
        for entry, followers in entries:
            if entry.kind == END:
                last = (log_key(entry.reply), f"{entry.epoch}-{entry.seq + 1}", entry.frame.decode())
                endings.append((*last, followers_key(entry.reply), list(followers)))
                late.append(_pack([(entry.reply.bytes, *entry[1:])]))
            elif entry.kind != NOTE:
                first = entry.epoch if entry.kind == START else 0
                lines.append((log_key(entry.reply), f"{entry.epoch}-{entry.seq}", entry.frame.decode(), first))
                replies.append(entry.reply)
            packed = (entry.reply.bytes, *entry[1:])
            for web in followers:
                mail.setdefault(web, []).append(packed)
        publications = [part for web, packed in mail.items() for part in (web_channel(web), _pack(packed))]
        lost = await self._append(args=[_pack((lines, endings)), *late, *publications])
        return [replies[place] for place in lost]

    async def followers(self, replies: Sequence[UUID]) -> list[set[str]]:
        """For each reply: the web processes that followed it before its worker had it."""
        pipe = self._client.pipeline(transaction=False)
        for reply in replies:
            pipe.smembers(followers_key(reply))
        return [{web.decode() for web in found} for found in await pipe.execute()]

    async def follow(self, reply: UUID, web: str, workers_channel: str, doorbell: bytes, cursor: events.Cursor) -> Any:
        """Note that ``web`` follows ``reply``, tell its worker, and read what the log holds behind ``cursor``.

        Returns raw entries, as ``read`` takes them.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.sadd(followers_key(reply), web)
        pipe.expire(followers_key(reply), KEEP_LIVE_SECONDS)
        pipe.publish(workers_channel, doorbell + reply.bytes + web.encode())
        pipe.xrange(log_key(reply), min=_entry_id(cursor))
        return (await pipe.execute())[-1]

    async def behind(self, reply: UUID, cursor: events.Cursor) -> Any:
        """Raw entries from ``cursor`` on, as ``frames_behind`` takes them; the whole log where it is (0, 0)."""
        return await self._client.xrange(log_key(reply), min=_entry_id(cursor))

    async def read(self, reply: UUID) -> "LoggedReply | None":
        """The whole log of ``reply`` put together; None where there is none."""
        return put_together(await self._client.xrange(log_key(reply)))


def _entry_id(cursor: events.Cursor) -> str:
    epoch, seq = cursor
    if not (0 < epoch < 2**62 and 0 <= seq < 2**62):
        return "-"
    return f"{epoch}-{seq}"


class LoggedReply(NamedTuple):
    """A reply as its log has it; ``ending`` is its last event where it has ended."""

    epoch: int
    text: str
    blocks: list[events.RenderedBlock]
    ending: bytes | None


class _Logged(msgspec.Struct):
    """What the events in a log have in common."""

    epoch: int
    text: str = ""
    blocks: list[events.RenderedBlock] = []


_decode = msgspec.json.Decoder(_Logged).decode
RawEntries = Sequence[tuple[bytes, dict[bytes, bytes]]]


def _split_ending(raw: RawEntries) -> tuple[RawEntries, bytes | None]:
    """The entries that bring text, and the ending behind them, if it is there: the last of several,
    as a reply that was continued may end anew before anything is said."""
    ending = raw[-1][1].get(b"e") if raw else None
    return [entry for entry in raw if b"f" in entry[1]], ending


def put_together(raw: RawEntries) -> LoggedReply | None:
    """The text and finished blocks of a log that is whole: from its first entry on."""
    said, ending = _split_ending(raw)
    if not said:
        return None
    parts = [_decode(fields[b"f"]) for _id, fields in said]
    return LoggedReply(parts[0].epoch, "".join(p.text for p in parts), [b for p in parts for b in p.blocks], ending)


class Behind(NamedTuple):
    """What a follower at some cursor lacks, and its cursor once it has been sent; then the ending, if it is there."""

    frames: list[bytes]
    cursor: events.Cursor
    ending: bytes | None


def frames_behind(raw: RawEntries, cursor: events.Cursor) -> Behind | None:
    """The frames behind ``cursor`` in a log that was read from it on; None where the cursor is none of its entries."""
    said, ending = _split_ending(raw)
    if not said or said[0][0].decode() != _entry_id(cursor):
        return None
    epoch, _, seq = said[-1][0].decode().partition("-")
    return Behind([fields[b"f"] for _id, fields in said[1:]], (int(epoch), int(seq)), ending)
