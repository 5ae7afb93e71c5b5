"""Figures of one person and of single conversations, counted from what is said in facts.py. Nothing here reads what
anybody wrote, and nothing writes.

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
from analytics.facts import BEGUN_BY_ONE, SAID_BY_ONE
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
    """``name`` is of the published version; empty where there is none. ``figures`` are None where they may be of too
    few people to be shown."""

    persona: str
    name: str
    figures: Figures | None

    @property
    def suppressed(self) -> bool:
        return self.figures is None


@dataclass(frozen=True, slots=True)
class Report:
    """A period as a whole, each of its days in order, and each persona that was talked with, in the personas' order."""

    period: Period
    totals: Figures
    days: list[DayFigures]
    personas: list[PersonaFigures]


_Group = tuple[int | None, UUID | None]  # a day's number from 1, or a persona, or neither: the whole

# Days are numbered by where they begin, so that the database need not know the time zone.
_DAY = "width_bucket(at, %(bounds)s::timestamptz[]) AS day"


def report(period: Period, *, person: User) -> Report:
    """The figures of one person, counted directly: rollups know nobody. Three queries."""
    bounds = period.bounds
    parameters: dict[str, Any] = {"bounds": bounds, "start": bounds[0], "end": bounds[-1], "owner": person.pk}
    said = _grouped(columns_of(COUNTED_BY_DAY), SAID_BY_ONE, parameters)
    begun = _grouped("count(*)", BEGUN_BY_ONE, parameters)
    found: dict[_Group, Figures] = defaultdict(Figures)
    for group, values in said.items():
        found[group] = Figures(**read_figures(COUNTED_BY_DAY, iter(values)))
    for group, (conversations,) in begun.items():
        found[group] = found[group]._replace(conversations=conversations)
    return Report(
        period=period,
        totals=found[None, None],
        days=[DayFigures(day, found[number, None]) for number, day in enumerate(period.days, start=1)],
        personas=by_persona({persona: figures for (_, persona), figures in found.items() if persona}),
    )


def _grouped(columns: str, rows: str, parameters: Mapping[str, Any]) -> dict[_Group, Sequence[Any]]:
    """``columns`` over ``rows`` as a whole, by day and by persona. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT day, persona, {columns} FROM (SELECT {_DAY}, * FROM ({rows}) each) counted "  # noqa: S608  ours
            "GROUP BY GROUPING SETS ((), (day), (persona))",
            parameters,
        )
        return {(day, persona): values for day, persona, *values in cursor.fetchall()}


def by_persona(found: Mapping[UUID, Figures | None]) -> list[PersonaFigures]:
    """In the personas' order. One query."""
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
