"""The table of replies that answer others, too: found, begun, kept and thrown out. Each a unit of work."""

import json
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings

from chatbot_project.lib.db import fetch_prepared
from conversations.replies.cache.asking import Asked
from conversations.replies.cache.models import CachedReply
from conversations.replies.queue import Ending
from personas.sources import Source


class Entry(NamedTuple):
    """What a question was answered, and when."""

    key: str
    text: str
    model: str
    source: str
    citations: tuple[Source, ...]
    answered_at: datetime


class Seen(NamedTuple):
    """What there is for a question: an ``entry``, or the live reply that is being made to answer it, its ``leader``; or
    that each who asks is ``alone``, as what a model said last is for nobody else."""

    entry: Entry | None
    leader: UUID | None
    alone: bool = False


ALONE_SECONDS = 60  # after a whole reply that cannot answer others: the next would hardly be another


_ENTRY = "key, text, model, source, citations, answered_at"
# Its worker renews the leader's lease: nobody waits for a reply whose worker is gone. Nor for one that goes on since it
# was stopped: what it says is for its person alone.
_IS_LED = """EXISTS (
    SELECT 1 FROM conversations_message m
    WHERE m.id = {kept}.leader AND m.status = 'streaming' AND m.lease_expires_at > now()
      AND m.bypass_cache IS NOT TRUE
)"""
_LOOK = f"""
    SELECT {_ENTRY}, text <> '' AND expires_at > now(), CASE WHEN {_IS_LED.format(kept="kept")} THEN kept.leader END,
           kept.leader IS NULL AND text = '' AND expires_at > now()
    FROM conversations_cachedreply kept WHERE key = %s
"""  # noqa: S608  a constant
# No index by distance: few have the same ``near``.
_LOOK_NEAR = f"""
    SELECT {_ENTRY} FROM conversations_cachedreply
    WHERE near = %(near)s AND text <> '' AND expires_at > now() AND 1 - (vector <=> %(vector)s::vector) >= %(least)s
    ORDER BY vector <=> %(vector)s::vector LIMIT 1
"""  # noqa: S608  a constant
# Whoever finds nothing and nobody at it is at it from now on, unless each is alone for now. The row's lock lets one of
# many be the first.
_LEAD = f"""
    INSERT INTO conversations_cachedreply AS kept
        (key, near, vector, persona_version_id, leader, text, model, source, citations, answered_at, expires_at)
    VALUES (%s, %s, %s::vector, %s, %s, '', '', '', '[]', now(), now() + interval '1 hour')
    ON CONFLICT (key) DO UPDATE
    SET leader = excluded.leader, near = excluded.near, text = '', vector = excluded.vector,
        answered_at = excluded.answered_at, expires_at = excluded.expires_at
    WHERE (kept.expires_at <= now() OR (kept.text = '' AND kept.leader IS NOT NULL))
      AND NOT {_IS_LED.format(kept="kept")}
    RETURNING key
"""  # noqa: S608  a constant
# Found not helpful the moment it was there: then it is not kept.
_KEEP = """
    UPDATE conversations_cachedreply
    SET leader = NULL, text = %s, model = %s, source = %s, citations = %s::jsonb,
        answered_at = now(), expires_at = now() + make_interval(hours => %s)
    WHERE key = %s AND leader = %s
      AND NOT EXISTS (SELECT 1 FROM conversations_feedback f WHERE f.message_id = %s AND f.value < 0)
    RETURNING key
"""
_LEAVE_ALONE = """
    UPDATE conversations_cachedreply SET leader = NULL, expires_at = now() + make_interval(secs => %s)
    WHERE key = %s AND leader = %s
"""
_PRUNE = """
    DELETE FROM conversations_cachedreply
    WHERE expires_at <= now()
       OR key IN (SELECT key FROM conversations_cachedreply ORDER BY answered_at DESC OFFSET %s)
    RETURNING key
"""


def look(key: str) -> Seen:
    """What there is under ``key``."""
    rows = fetch_prepared(_LOOK, [key])
    if not rows:
        return Seen(None, None)
    *columns, is_good, leader, alone = rows[0]
    return Seen(_entry(columns) if is_good else None, leader, alone)


def look_near(asked: Asked, vector: str) -> Entry | None:
    """The reply to the question nearest to ``asked`` that may mean the same, where its cosine with ``vector`` is
    RESPONSE_CACHE_NEAR at least."""
    parameters = {"near": asked.near, "vector": vector, "least": settings.RESPONSE_CACHE_NEAR}
    rows = fetch_prepared(_LOOK_NEAR, parameters)
    return _entry(list(rows[0])) if rows else None


def lead(asked: Asked, reply: UUID, vector: str | None = None) -> bool:
    """Whether ``reply`` is the one from now on that is made to answer for all; no, where another one is or was, or each
    is alone. ``vector`` is what others that may mean the same are compared with."""
    return bool(fetch_prepared(_LEAD, [asked.key, asked.near, vector, asked.version, reply]))


def keep(asked: Asked, reply: UUID, ending: Ending) -> bool:
    """Let how ``reply`` ended answer others, too; no, where it does not lead any more: the cache was emptied, or it
    took so long that another one took over."""
    citations = json.dumps([_plain(source) for source in ending.citations])
    values = [ending.text, ending.model, ending.source, citations, asked.hours, asked.key, reply, reply]
    return bool(fetch_prepared(_KEEP, values))


def leave_alone(asked: Asked, reply: UUID) -> None:
    """What ``reply`` said in the end, where it leads, is for nobody else: who waits for it, and for ALONE_SECONDS each
    who asks, is to ask a model."""
    fetch_prepared(_LEAVE_ALONE, [ALONE_SECONDS, asked.key, reply])


def prune() -> int:
    """Remove what is over, and the oldest beyond RESPONSE_CACHE_ENTRIES; how many."""
    return len(fetch_prepared(_PRUNE, [settings.RESPONSE_CACHE_ENTRIES]))


def throw_out(key: str) -> None:
    """Let nobody get that reply any more."""
    CachedReply.objects.filter(key=key).delete()


def _plain(source: Source) -> list[Any]:
    return [source.number, str(source.faq) if source.faq else None, source.question, source.phrasing, source.score]


def _entry(columns: list[Any]) -> Entry:
    key, text, model, source, citations, answered_at = columns
    cited = json.loads(citations) if isinstance(citations, str) else citations
    return Entry(key, text, model, source, tuple(_source(*each) for each in cited), answered_at)


def _source(number: int, faq: str | None, question: str, phrasing: str, score: float) -> Source:
    return Source(number, UUID(faq) if faq else None, question, phrasing, score)
