"""The database as the queue of replies: claiming, leases, checkpoints, endings. Everything here is one unit of work.

Every write names the epoch under which it was claimed and the status ``streaming``: whoever was overtaken (a worker
that was paused past its lease) changes nothing. Several replies share one statement, and fairness is a window over
what waits, so this is SQL rather than the ORM.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.ids import uuid7
from conversations.models import Citation, Message
from personas.sources import Source

# A reply whose worker died so often is given up: it may be what kills them. Claims whose answer was lost count as well.
MAX_EPOCHS = 5

# Whoever's processing is paused has nothing taken up; `stop_paused` ends what of theirs waits.
_PAUSED = "paused AS MATERIALIZED (SELECT id FROM accounts_user WHERE restricted_at IS NOT NULL)"
_MAY_GO_ON = "status = 'queued' AND owner_id NOT IN (SELECT id FROM paused)"
# Of a provider's long line only the oldest are looked at: so many of each, or one whose model hangs would hide what
# waits for another. The providers themselves are found one by one, by the index.
LOOKED_AT = 2000
_OLDEST = f"""
    {_PAUSED},
    providers AS (
        (SELECT provider FROM conversations_message WHERE status = 'queued' ORDER BY provider LIMIT 1)
        UNION ALL
        SELECT (SELECT m.provider FROM conversations_message m
                WHERE m.status = 'queued' AND m.provider > p.provider ORDER BY m.provider LIMIT 1)
        FROM providers p WHERE p.provider IS NOT NULL
    ),
    line AS MATERIALIZED (
        SELECT o.* FROM providers p CROSS JOIN LATERAL (
            SELECT id, owner_id, queued_at, provider FROM conversations_message
            WHERE provider = p.provider AND {_MAY_GO_ON} ORDER BY queued_at LIMIT {LOOKED_AT}
        ) o
    )
"""  # noqa: S608  a constant
_WHOLE = f"""
    {_PAUSED},
    line AS MATERIALIZED (
        SELECT id, owner_id, queued_at, provider FROM conversations_message WHERE {_MAY_GO_ON}
    )
"""  # noqa: S608  a constant
# Fair between people: each person's first waiting reply before anyone's second; what they have streaming counts.
# Materialised: a planner without statistics would run the parts once per row.
_TURNS = """
    running AS MATERIALIZED (
        SELECT owner_id, count(*) AS n FROM conversations_message WHERE status = 'streaming' GROUP BY owner_id
    ),
    waiting AS MATERIALIZED (
        SELECT l.id, l.queued_at, l.provider,
               row_number() OVER (PARTITION BY l.owner_id ORDER BY l.queued_at, l.id) + coalesce(r.n, 0) AS turn
        FROM line l LEFT JOIN running r USING (owner_id)
    )
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A reply that a worker holds: the epoch it was claimed under, the text it goes on behind, and what its
    conversation says about answering it. ``in_passing`` where a program asked and keeps no conversation; ``waited`` are
    the seconds since it was first queued; ``bypass_cache``: a model is to be asked; ``request_id`` names the request or
    command that queued it."""

    reply: UUID
    conversation: UUID
    epoch: int
    text: str
    persona_version: UUID
    summary: str
    summary_upto: UUID | None
    source: str | None = None
    owner: UUID | None = None
    max_tokens: int | None = None
    instructions: str | None = None
    in_passing: bool = False
    waited: float = 0.0
    bypass_cache: bool = False
    request_id: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether nobody held the reply before, nor claimed it in vain."""
        return self.epoch == 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the database should know of a live reply; ``text`` None leaves its text as it is."""

    reply: UUID
    epoch: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ended. ``status`` is one of completed, stopped, interrupted, failed; ``source`` is empty where the
    FAQ was not asked. One that ``withdraws`` takes back what was shown, with what it cites: the reply's epoch rises, so
    that nothing of the old text is put together with it. ``cached_at``: when a model said that to somebody else;
    ``cache_key``: where it is kept to be said again."""

    status: str
    text: str
    model: str = ""
    finish_reason: str = ""
    code: str = ""
    detail: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usage_estimated: bool = False
    first_token_at: datetime | None = None
    source: str = ""
    citations: tuple[Source, ...] = ()
    offers: Sequence[dict[str, Any]] = ()
    withdraws: bool = False
    cached_at: datetime | None = None
    cache_key: str = ""


def slots_of(provider: str) -> int:
    """How many replies one worker streams from ``provider`` at once."""
    slots: int = settings.PROVIDER_SLOTS.get(provider, settings.REPLY_SLOTS)
    return slots


def claim(worker: str, free: Mapping[str, int], free_elsewhere: int, lease_seconds: float) -> list[Claim]:
    """Take up waiting replies, at most ``free[provider]`` of each provider (``free_elsewhere`` of one not named).

    Two workers never get the same one: rows are locked and skipped, and the status is checked again under the lock.
    What waits for somebody whose processing is paused is passed over, and takes nobody's place.
    """
    rows = fetch_prepared(
        f"""
        WITH RECURSIVE {_OLDEST}, {_TURNS},
        ranked AS (
            SELECT w.id, coalesce(s.free, %(elsewhere)s) AS free,
                   row_number() OVER (PARTITION BY w.provider ORDER BY w.turn, w.queued_at, w.id) AS place
            FROM waiting w LEFT JOIN unnest(%(providers)s::text[], %(free)s::int[]) AS s(provider, free)
              USING (provider)
        ),
        mine AS (
            SELECT id, conversation_id FROM conversations_message
            WHERE id = ANY(ARRAY(SELECT id FROM ranked WHERE place <= free)) AND status = 'queued'
            FOR UPDATE SKIP LOCKED
        )
        UPDATE conversations_message m
        SET status = 'streaming', epoch = m.epoch + 1, worker = %(worker)s, started_at = now(),
            lease_expires_at = now() + make_interval(secs => %(lease)s)
        FROM mine JOIN conversations_conversation c ON c.id = mine.conversation_id
        WHERE m.id = mine.id
        RETURNING m.id, m.conversation_id, m.epoch, m.text, c.persona_version_id, c.summary, c.summary_upto_id,
                  m.source, m.owner_id, m.max_tokens, c.instructions, c.expires_at IS NOT NULL,
                  extract(epoch FROM now() - m.queued_at)::float8, coalesce(m.bypass_cache, false), m.request_id
        """,  # noqa: S608  the text is a constant
        {
            "providers": list(free),
            "free": list(free.values()),
            "elsewhere": free_elsewhere,
            "worker": worker,
            "lease": lease_seconds,
        },
    )
    return [Claim(*row) for row in rows]


def give_back(worker: str, held: Iterable[UUID]) -> list[UUID]:
    """Put back into the queue, in its old place, what was claimed in the name of ``worker`` and is none of the replies
    that it knows it has ``held``: the answer to such a claim was lost with the connection. Returns the replies."""
    rows = fetch_prepared(
        """
        UPDATE conversations_message SET status = 'queued', lease_expires_at = NULL
        WHERE status = 'streaming' AND worker = %s AND NOT id = ANY(%s) RETURNING id
        """,
        [worker, list(held)],
    )
    return [reply for (reply,) in rows]


class Position(NamedTuple):
    """A place in a provider's line, from 1."""

    provider: str
    place: int


def positions(replies: Iterable[UUID]) -> dict[UUID, Position]:
    """Where those of ``replies`` that wait stand in line for their provider, whose slots they need; of the whole line,
    however long it is."""
    rows = fetch_prepared(
        f"""
        WITH {_WHOLE}, {_TURNS},
        placed AS (
            SELECT id, provider, row_number() OVER (PARTITION BY provider ORDER BY turn, queued_at, id) AS place
            FROM waiting
        )
        SELECT id, provider, place FROM placed WHERE id = ANY(%s)
        """,  # noqa: S608  the text is a constant
        [list(replies)],
    )
    return {row[0]: Position(*row[1:]) for row in rows}


def lines() -> dict[tuple[str, int], int]:
    """How many wait for each provider and in each turn: the first, second, … of what their person has under way."""
    rows = fetch_prepared(
        f"WITH {_WHOLE}, {_TURNS} SELECT provider, turn, count(*) FROM waiting GROUP BY provider, turn",  # noqa: S608
        [],
    )
    return {(provider, turn): count for provider, turn, count in rows}


class Depth(NamedTuple):
    """How many replies wait and are streamed, and how many seconds the oldest of those that wait has waited."""

    queued: int
    streaming: int
    oldest_wait: float


def depth() -> Depth:
    """The queue as it is now, of all workers."""
    (row,) = fetch_prepared(
        """
        SELECT q.queued, s.streaming, q.oldest FROM
            (SELECT count(*) AS queued, coalesce(extract(epoch FROM now() - min(queued_at)), 0)::float8 AS oldest
             FROM conversations_message WHERE status = 'queued') q,
            (SELECT count(*) AS streaming FROM conversations_message WHERE status = 'streaming') s
        """,
        [],
    )
    return Depth(*row)


def checkpoint(held: Sequence[Checkpoint], lease_seconds: float) -> dict[UUID, bool]:
    """Renew the leases of ``held`` and store their texts, in one statement.

    Returns, for each reply that is still the caller's, whether its person asked to stop it. A reply that is missing
    was overtaken: its holder must drop it.
    """
    rows = fetch_prepared(
        """
        UPDATE conversations_message m
        SET text = coalesce(v.text, m.text), lease_expires_at = now() + make_interval(secs => %s)
        FROM unnest(%s::uuid[], %s::int[], %s::text[]) AS v(id, epoch, text)
        WHERE m.id = v.id AND m.epoch = v.epoch AND m.status = 'streaming'
        RETURNING m.id, m.stop_requested
        """,
        [lease_seconds, [c.reply for c in held], [c.epoch for c in held], [c.text for c in held]],
    )
    return {row[0]: row[1] for row in rows}


def raise_epochs(held: Sequence[Checkpoint], lease_seconds: float) -> dict[UUID, int]:
    """Give each of ``held`` a new epoch, for a live log that has to begin anew; its text is stored with it, and its
    lease renewed.

    Returns the new epochs of those that are still the caller's.
    """
    rows = fetch_prepared(
        """
        UPDATE conversations_message m
        SET epoch = m.epoch + 1, text = coalesce(v.text, m.text), lease_expires_at = now() + make_interval(secs => %s)
        FROM unnest(%s::uuid[], %s::int[], %s::text[]) AS v(id, epoch, text)
        WHERE m.id = v.id AND m.epoch = v.epoch AND m.status = 'streaming'
        RETURNING m.id, m.epoch
        """,
        [lease_seconds, [c.reply for c in held], [c.epoch for c in held], [c.text for c in held]],
    )
    return {row[0]: row[1] for row in rows}


_FINISH = """
    UPDATE conversations_message
    SET status = %s, text = %s, model = %s, finish_reason = %s, error_code = %s, prompt_tokens = %s,
        completion_tokens = %s, usage_estimated = %s, first_token_at = %s, source = nullif(%s, ''), offers = %s::jsonb,
        cached_at = %s, cache_key = nullif(%s, ''), finished_at = now(), lease_expires_at = NULL, epoch = epoch + %s
    WHERE id = %s AND epoch = %s AND status = 'streaming' RETURNING id
"""
_HAND_OVER = """
    UPDATE conversations_message
    SET status = 'queued', text = %s, source = nullif(%s, ''), lease_expires_at = NULL
    WHERE id = %s AND epoch = %s AND status = 'streaming' RETURNING id
"""
# Whoever was overtaken cites nothing. An FAQ that was deleted meanwhile leaves its question behind; what the reply
# cited before it went on is there already.
_CITE = """
    WITH held AS ({update}),
    cited AS (
        INSERT INTO conversations_citation (id, message_id, faq_id, number, question, phrasing, score)
        SELECT v.id, held.id, f.id, v.number, v.question, v.phrasing, v.score
        FROM held CROSS JOIN unnest(%s::uuid[], %s::uuid[], %s::int[], %s::text[], %s::text[], %s::float8[])
            AS v(id, faq, number, question, phrasing, score)
        LEFT JOIN faqs_faq f ON f.id = v.faq
        ON CONFLICT (message_id, number) DO NOTHING
    )
    SELECT id FROM held
"""
_WITHDRAW = f"""
    WITH held AS ({_FINISH}),
    uncited AS (DELETE FROM conversations_citation USING held WHERE message_id = held.id)
    SELECT id FROM held
"""  # noqa: S608  a constant
_FINISH_CITING, _HAND_OVER_CITING = _CITE.format(update=_FINISH), _CITE.format(update=_HAND_OVER)


def finish(reply: UUID, epoch: int, ending: Ending) -> bool:
    """Store how a reply ended, and what it cites, in one statement; false where the caller was overtaken and nothing
    changed."""
    values = [
        ending.status,
        ending.text,
        ending.model,
        ending.finish_reason[:32],
        ending.code,
        ending.prompt_tokens,
        ending.completion_tokens,
        ending.usage_estimated,
        ending.first_token_at,
        ending.source,
        json.dumps(ending.offers) if ending.offers else None,
        ending.cached_at,
        ending.cache_key,
        int(ending.withdraws),
        reply,
        epoch,
    ]
    if ending.withdraws:
        return bool(fetch_prepared(_WITHDRAW, values))
    if not ending.citations:
        return bool(fetch_prepared(_FINISH, values))
    return bool(fetch_prepared(_FINISH_CITING, values + _columns(ending.citations)))


def hand_over(reply: UUID, epoch: int, ending: Ending) -> bool:
    """Put a live reply back into the queue, in its old place, with the text it has and what that cites: another worker
    goes on."""
    values = [ending.text, ending.source, reply, epoch]
    if not ending.citations:
        return bool(fetch_prepared(_HAND_OVER, values))
    return bool(fetch_prepared(_HAND_OVER_CITING, values + _columns(ending.citations)))


def _columns(citations: Sequence[Source]) -> list[Any]:
    return [
        [uuid7() for _citation in citations],
        [citation.faq for citation in citations],
        [citation.number for citation in citations],
        [citation.question for citation in citations],
        [citation.phrasing for citation in citations],
        [citation.score for citation in citations],
    ]


@dataclass(frozen=True, slots=True)
class Orphan:
    """A reply whose lease ran out ``expired_for`` seconds ago: nobody streams it any more, or somebody who was
    overtaken, or whom the database does not hear."""

    reply: UUID
    conversation: UUID
    epoch: int
    text: str
    source: str | None = None
    expired_for: float = 0.0
    stop_requested: bool = False


def orphans(but_for: Iterable[UUID] = (), limit: int = 100) -> list[Orphan]:
    """Live replies, ``but_for`` those named, whose lease ran out, oldest first. For one lease's length after the
    database itself came back there are none: their workers could not renew them and do so first."""
    rows = fetch_prepared(
        """
        SELECT id, conversation_id, epoch, text, source, extract(epoch FROM now() - lease_expires_at)::float8,
               stop_requested
        FROM conversations_message
        WHERE status = 'streaming' AND lease_expires_at < now() AND NOT id = ANY(%s)
          AND pg_postmaster_start_time() < now() - interval '10 seconds'
        ORDER BY lease_expires_at LIMIT %s
        """,
        [list(but_for), limit],
    )
    return [Orphan(*row) for row in rows]


def settle_orphan(orphan: Orphan, shown: str) -> str | None:
    """End an orphan of which ``shown`` is known to have been shown, or put it back where nothing was.

    Its epoch rises, so that a worker that wakes up again changes nothing. Returns its new status, or None where it
    was renewed or settled meanwhile.
    """
    held = Message.objects.filter(
        pk=orphan.reply, epoch=orphan.epoch, status=Message.Status.STREAMING, lease_expires_at__lt=timezone.now()
    )
    if shown:
        status, fields = Message.Status.INTERRUPTED, {"finished_at": timezone.now(), "error_code": "worker_lost"}
    elif orphan.epoch >= MAX_EPOCHS:
        status, fields = Message.Status.FAILED, {"finished_at": timezone.now(), "error_code": "worker_lost"}
    else:
        status, fields = Message.Status.QUEUED, {}
    changed = held.update(status=status, text=shown, epoch=orphan.epoch + 1, lease_expires_at=None, **fields)
    return status if changed else None


def stop_paused() -> list[UUID]:
    """End what waits for somebody whose processing is paused: what a process that died, a hand-over or a lost lease
    left there after the pause had stopped all that was under way. Nobody may take it up. Returns the replies."""
    rows = fetch_prepared(
        """
        UPDATE conversations_message
        SET status = 'stopped', finish_reason = 'stop_requested', finished_at = now(), epoch = epoch + 1
        WHERE status = 'queued' AND owner_id IN (SELECT id FROM accounts_user WHERE restricted_at IS NOT NULL)
        RETURNING id
        """,
        [],
    )
    return [reply for (reply,) in rows]


def orphan_ending(orphan: Orphan, status: str, shown: str) -> Ending:
    """The ending of an orphan that was settled. A query only where it went on behind a text that cites."""
    cited = Citation.objects.filter(message=orphan.reply).order_by("number") if orphan.source else ()
    citations = tuple(source_of(citation) for citation in cited)
    return Ending(status, shown, code="worker_lost", source=orphan.source or "", citations=citations)


def source_of(citation: Citation) -> Source:
    """A stored citation as a source whose text is not at hand."""
    return Source(citation.number, citation.faq_id, citation.question, citation.phrasing, citation.score)
