"""What a worker reads before it asks a model: the persona's version and the branch above the reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import connection

from conversations.models import Message
from conversations.replies.prompt import Turn
from conversations.replies.queue import Claim, claim
from conversations.services import model_of
from personas.models import PersonaVersion

# The branch is read until this many characters for each token of the budget: no text has more, nearly all have less.
CHARACTERS_PER_TOKEN = 8
MAX_TURNS = 400


@dataclass(frozen=True, slots=True)
class Work:
    """All that answering one reply needs from the database. ``turns`` are oldest first and end with the question;
    the first ``summarised`` of them are covered by ``summary``."""

    reply: UUID
    conversation: UUID
    version: PersonaVersion
    models: list[str]
    turns: list[Turn]
    turn_ids: list[UUID]
    summary: str
    summarised: int


def take_up(
    worker: str, free: Mapping[str, int], free_elsewhere: int, lease_seconds: float
) -> list[tuple[Claim, Work]]:
    """Claim waiting replies (see ``queue.claim``) and read what answering them needs: one unit of work."""
    claims = claim(worker, free, free_elsewhere, lease_seconds)
    works = load_work([c.reply for c in claims]) if claims else {}
    return [(c, works[c.reply]) for c in claims if c.reply in works]


def load_work(replies: Sequence[UUID]) -> dict[UUID, Work]:
    """The work of each of ``replies``, in two queries; one that is gone is missing."""
    rows = {
        row.pk: row
        for row in Message.objects.filter(pk__in=replies).select_related("conversation__persona_version__persona")
    }
    budget = max((row.conversation.persona_version.context_budget for row in rows.values()), default=0)
    branches = _branches(list(rows), budget * CHARACTERS_PER_TOKEN)
    return {pk: _work(row, branches.get(pk, [])) for pk, row in rows.items()}


def _work(row: Message, branch: list[tuple[UUID, Turn]]) -> Work:
    conversation = row.conversation
    version = conversation.persona_version
    ids = [pk for pk, _turn in branch]
    summarised = ids.index(conversation.summary_upto_id) + 1 if conversation.summary_upto_id in ids else 0
    return Work(
        reply=row.pk,
        conversation=conversation.pk,
        version=version,
        models=[model_of(version), *(m for m in settings.FALLBACK_MODELS if m != model_of(version))],
        turns=[turn for _pk, turn in branch],
        turn_ids=ids,
        summary=conversation.summary if summarised else "",
        summarised=summarised,
    )


def _branches(replies: list[UUID], characters: int) -> dict[UUID, list[tuple[UUID, Turn]]]:
    """For each reply: the messages above it, oldest first, the nearest ``characters`` worth of them. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE path AS (
                SELECT r.id AS reply, q.id, q.parent_id, q.role, q.text, 1 AS depth, length(q.text) AS used
                FROM conversations_message r JOIN conversations_message q ON q.id = r.parent_id
                WHERE r.id = ANY(%s)
                UNION ALL
                SELECT p.reply, q.id, q.parent_id, q.role, q.text, p.depth + 1, p.used + length(q.text)
                FROM path p JOIN conversations_message q ON q.id = p.parent_id
                WHERE p.used < %s AND p.depth < %s
            )
            SELECT reply, id, role, text FROM path ORDER BY reply, depth DESC
            """,
            [replies, characters, MAX_TURNS],
        )
        found: dict[UUID, list[tuple[UUID, Turn]]] = {}
        for reply, pk, role, text in cursor.fetchall():
            found.setdefault(reply, []).append((pk, Turn(role, text)))
        return found
