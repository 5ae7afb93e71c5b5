"""What a worker reads before it asks a model: the persona's version and the branch above the reply."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.metrics.caches import watch_cache
from conversations.models import Citation, Message
from conversations.replies.prompt import Turn
from conversations.replies.queue import Claim, claim, source_of
from conversations.services import BLOCKED, UNCHECKED, model_of
from personas.models import PersonaVersion
from personas.sources import Source

# The branch is read until this many characters for each token of the budget: no text has more, nearly all have less.
CHARACTERS_PER_TOKEN = 8
MAX_TURNS = 400


class _Row(NamedTuple):
    """A message of a branch; ``code`` is why a reply ended. ``is_told``: it has no ``client_id``."""

    id: UUID
    parent: UUID | None
    role: str
    text: str
    code: str
    is_told: bool


@dataclass(frozen=True, slots=True)
class Work:
    """All that answering one reply needs from the database. ``turns`` are oldest first and end with the question;
    the first ``summarised`` of them are covered by ``summary``. ``cited`` is what the text that goes on cites.
    ``owner`` is whose budget of tokens it takes from. ``max_tokens``, ``instructions`` and ``in_passing`` are what the
    program that asked said; ``told`` is all that it said before the question, unjudged. ``bypass_cache``: a model
    is to be asked, whatever was said before."""

    reply: UUID
    conversation: UUID
    version: PersonaVersion
    models: list[str]
    turns: list[Turn]
    turn_ids: list[UUID]
    summary: str
    summarised: int
    cited: tuple[Source, ...] = ()
    owner: UUID | None = None
    max_tokens: int | None = None
    instructions: str = ""
    in_passing: bool = False
    told: tuple[str, ...] = ()
    bypass_cache: bool = False

    @property
    def reply_tokens(self) -> int:
        """How many tokens the reply may have: the nearer of the persona's bound and the asker's."""
        most = self.version.max_reply_tokens
        return most if self.max_tokens is None else min(most, self.max_tokens)


def take_up(
    worker: str, free: Mapping[str, int], free_elsewhere: int, lease_seconds: float
) -> list[tuple[Claim, Work]]:
    """Claim waiting replies (see ``queue.claim``) and read what answering them needs: one unit of work."""
    claims = claim(worker, free, free_elsewhere, lease_seconds)
    works = load_work(claims) if claims else {}
    return [(c, works[c.reply]) for c in claims if c.reply in works]


def load_work(claims: Sequence[Claim]) -> dict[UUID, Work]:
    """The work of each claim by its reply, in one query (one more where a text goes on that came of the FAQ); persona
    versions never change and are read once.

    A claim is missing where everything of it was deleted meanwhile: one person's erasure must not end the worker.
    """
    versions: dict[UUID, PersonaVersion] = {}
    for c in claims:
        with contextlib.suppress(PersonaVersion.DoesNotExist):
            versions[c.reply] = read_version(c.persona_version)
    budget = max((version.context_budget for version in versions.values()), default=0)
    branches = _branches([c.reply for c in claims], budget * CHARACTERS_PER_TOKEN)
    cited = _cited([c.reply for c in claims if c.source])
    return {
        c.reply: _work(c, versions[c.reply], branches.get(c.reply, []), cited.get(c.reply, ()))
        for c in claims
        if c.reply in versions
    }


def claim_of(reply: Message) -> Claim:
    """A reply as a claim would give it, for work that is done outside the queue. Reads its conversation."""
    conversation = reply.conversation
    return Claim(
        reply.pk,
        conversation.pk,
        reply.epoch,
        reply.text,
        conversation.persona_version_id,
        conversation.summary,
        conversation.summary_upto_id,
        reply.source,
        max_tokens=reply.max_tokens,
        instructions=conversation.instructions,
        in_passing=conversation.expires_at is not None,
        bypass_cache=bool(reply.bypass_cache),
    )


@lru_cache(maxsize=512)
def read_version(pk: UUID) -> PersonaVersion:
    """A persona's version, which never changes once it is published. Raises PersonaVersion.DoesNotExist."""
    return PersonaVersion.objects.get(pk=pk)


watch_cache("persona_versions", lambda: read_version.cache_info()[:2])


def _cited(replies: list[UUID]) -> dict[UUID, tuple[Source, ...]]:
    """What each of ``replies`` cites. No query for none."""
    found: dict[UUID, tuple[Source, ...]] = {}
    for citation in Citation.objects.filter(message__in=replies).order_by("number") if replies else ():
        found[citation.message_id] = (*found.get(citation.message_id, ()), source_of(citation))
    return found


def _work(claimed: Claim, version: PersonaVersion, branch: "list[_Row]", cited: tuple[Source, ...]) -> Work:
    branch, is_told = _without_refused(branch)
    ids = [row.id for row in branch]
    turns = [Turn(row.role, row.text) for row in branch]
    earlier = [turn.text for turn in turns[:-1]] if is_told else []
    summarised = ids.index(claimed.summary_upto) + 1 if claimed.summary_upto in ids else 0
    return Work(
        reply=claimed.reply,
        conversation=claimed.conversation,
        version=version,
        models=[model_of(version), *(m for m in settings.FALLBACK_MODELS if m != model_of(version))],
        turns=turns,
        turn_ids=ids,
        summary=claimed.summary if summarised else "",
        summarised=summarised,
        cited=cited,
        owner=claimed.owner,
        max_tokens=claimed.max_tokens,
        instructions=claimed.instructions or "",
        in_passing=claimed.in_passing,
        bypass_cache=claimed.bypass_cache,
        told=tuple(text for text in (claimed.instructions or "", *earlier) if text),
    )


def _without_refused(branch: "list[_Row]") -> "tuple[list[_Row], bool]":
    """``branch`` without questions that were not answered because they broke a rule, and their empty replies: no model
    sees them later either. And whether a program told the rest: what people ask has a name of its own."""
    refused = {row.parent for row in branch if row.code in (BLOCKED, UNCHECKED) and not row.text}
    kept = [row for row in branch if row.id not in refused and (row.text or row.parent not in refused)]
    return kept, any(row.role == "user" and row.is_told for row in kept[:-1])


def _branches(replies: list[UUID], characters: int) -> dict[UUID, list[_Row]]:
    """For each reply: the messages above it, oldest first, the nearest ``characters`` worth of them. One query."""
    rows = fetch_prepared(
        """
        WITH RECURSIVE path AS (
            SELECT r.id AS reply, q.id, q.parent_id, q.role, q.text, q.error_code, q.client_id, 1 AS depth,
                   length(q.text) AS used
            FROM conversations_message r JOIN conversations_message q ON q.id = r.parent_id
            WHERE r.id = ANY(%s)
            UNION ALL
            SELECT p.reply, q.id, q.parent_id, q.role, q.text, q.error_code, q.client_id, p.depth + 1,
                   p.used + length(q.text)
            FROM path p JOIN conversations_message q ON q.id = p.parent_id
            WHERE p.used < %s AND p.depth < %s
        )
        SELECT reply, id, parent_id, role, text, error_code, client_id IS NULL FROM path ORDER BY reply, depth DESC
        """,
        [replies, characters, MAX_TURNS],
    )
    found: dict[UUID, list[_Row]] = {}
    for reply, *row in rows:
        found.setdefault(reply, []).append(_Row(*row))
    return found
