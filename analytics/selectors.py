"""Figures of conversations, counted from their rows and from what those that were removed have left (Tally). Nothing
here reads what anybody wrote, and nothing writes.

Everything counts: also what was asked in passing, and what was deleted or removed since.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from accounts.models import User
from analytics.figures import COUNTED, COUNTED_BY_DAY, NOTHING_COUNTED, Figures, columns_of, read_figures
from analytics.period import Period
from conversations.models import Conversation
from personas.models import Persona


@dataclass(frozen=True, slots=True)
class DayFigures:
    day: date
    figures: Figures


@dataclass(frozen=True, slots=True)
class PersonaFigures:
    """``name`` is of the published version; empty where there is none."""

    persona: str
    name: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Report:
    """A period as a whole, each of its days in order, and each persona that was talked with, in the personas' order."""

    period: Period
    totals: Figures
    days: list[DayFigures]
    personas: list[PersonaFigures]


_Group = tuple[int | None, UUID | None]  # a day's number from 1, or a persona, or neither: the whole

# Days are numbered by where they begin, so that the database need not know the time zone. Of one person, their
# conversations lead to their messages (message_transcript); of all, the time (message_created).
_SAID = """
    SELECT width_bucket(m.created_at, %(bounds)s::timestamptz[]) AS day, v.persona_id AS persona, m.owner_id, m.role,
           m.status, m.source, m.prompt_tokens, m.completion_tokens, m.usage_estimated, f.value AS feedback,
           extract(epoch FROM m.first_token_at - m.queued_at)::float8 AS first_token
    FROM conversations_message m
    JOIN conversations_conversation c ON c.id = m.conversation_id
    JOIN personas_personaversion v ON v.id = c.persona_version_id
    LEFT JOIN conversations_feedback f ON f.message_id = m.id
    WHERE m.created_at >= %(start)s AND m.created_at < %(end)s{whose}
    UNION ALL
    SELECT width_bucket(t.at, %(bounds)s::timestamptz[]), t.persona, t.person, t.role,
           t.status, t.source, t.prompt_tokens, t.completion_tokens, t.usage_estimated, t.feedback, t.first_token
    FROM conversations_tally t
    WHERE t.role <> '' AND t.at >= %(start)s AND t.at < %(end)s{whose_removed}
"""
_BEGUN = """
    SELECT width_bucket(c.created_at, %(bounds)s::timestamptz[]) AS day, v.persona_id AS persona
    FROM conversations_conversation c
    JOIN personas_personaversion v ON v.id = c.persona_version_id
    WHERE c.created_at >= %(start)s AND c.created_at < %(end)s{whose}
    UNION ALL
    SELECT width_bucket(t.at, %(bounds)s::timestamptz[]), t.persona
    FROM conversations_tally t
    WHERE t.role = '' AND t.at >= %(start)s AND t.at < %(end)s{whose_removed}
"""
_ALL = {"whose": "", "whose_removed": ""}
_ONE_PERSONS = {"whose": " AND c.owner_id = %(owner)s", "whose_removed": " AND t.person = %(owner)s"}


def report(period: Period, *, person: User | None = None) -> Report:
    """The figures of ``period``, of all people or of one. Three queries."""
    bounds = period.bounds
    parameters: dict[str, Any] = {"bounds": bounds, "start": bounds[0], "end": bounds[-1]}
    whose = _ALL
    if person is not None:
        whose, parameters["owner"] = _ONE_PERSONS, person.pk
    said = _grouped(columns_of(COUNTED_BY_DAY), _SAID.format(**whose), parameters)
    begun = _grouped("count(*)", _BEGUN.format(**whose), parameters)
    found: dict[_Group, Figures] = defaultdict(Figures)
    for group, values in said.items():
        found[group] = Figures(**read_figures(COUNTED_BY_DAY, iter(values)))
    for group, (conversations,) in begun.items():
        found[group] = found[group]._replace(conversations=conversations)
    return Report(
        period=period,
        totals=found[None, None],
        days=[DayFigures(day, found[number, None]) for number, day in enumerate(period.days, start=1)],
        personas=_by_persona({persona: figures for (_, persona), figures in found.items() if persona}),
    )


def _grouped(columns: str, rows: str, parameters: Mapping[str, Any]) -> dict[_Group, Sequence[Any]]:
    """``columns`` over ``rows`` as a whole, by day and by persona. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT day, persona, {columns} FROM ({rows}) counted "  # noqa: S608  texts of ours, no input
            "GROUP BY GROUPING SETS ((), (day), (persona))",
            parameters,
        )
        return {(day, persona): values for day, persona, *values in cursor.fetchall()}


def _by_persona(found: Mapping[UUID, Figures]) -> list[PersonaFigures]:
    personas = Persona.objects.filter(pk__in=found).select_related("published").order_by("position", "slug")
    return [
        PersonaFigures(persona.slug, persona.published.name if persona.published else "", found[persona.pk])
        for persona in personas
    ]


def conversations() -> QuerySet[Conversation]:
    """Those that a list may show, with their persona and owner, and without the columns that hold what was said."""
    return (
        Conversation.objects.filter(deleted_at=None, expires_at=None)
        .kept()
        .select_related("owner", "persona_version__persona")
        .only(
            "created_at", "updated_at", "owner__username",
            "persona_version__number", "persona_version__persona__slug",
        )
    )  # fmt: skip


def conversation_figures(conversations: Sequence[Conversation]) -> list[Mapping[str, Any]]:
    """What ``figures.COUNTED`` names, of each of ``conversations`` in their order. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT conversation_id, {columns_of(COUNTED)}
            FROM (
                SELECT m.conversation_id, m.role, m.status, m.prompt_tokens, m.completion_tokens, m.usage_estimated,
                       f.value AS feedback
                FROM conversations_message m LEFT JOIN conversations_feedback f ON f.message_id = m.id
                WHERE m.conversation_id = ANY(%s)
            ) said
            GROUP BY conversation_id
            """,  # noqa: S608  figures of ours, no input
            [[conversation.pk for conversation in conversations]],
        )
        found = {pk: read_figures(COUNTED, iter(values)) for pk, *values in cursor.fetchall()}
    return [found.get(conversation.pk, NOTHING_COUNTED) for conversation in conversations]
