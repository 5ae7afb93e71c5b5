"""A series as points in order: of time each, also where nothing was counted; of all else those there are."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from analytics.api.asking import UNKNOWN_LANGUAGE
from analytics.period import Period, start_of
from analytics.rollups import span_of
from analytics.suppression import Suppressed, shown_groups
from analytics.totals import By, Filters, Totals
from conversations.models import Conversation
from faqs.reading import language_name
from personas.models import Persona, PersonaVersion

HOURS_OF_WEEK = 168


class Point(NamedTuple):
    key: str
    label: str
    totals: Totals | Suppressed


def read_points(period: Period, by: By, filters: Filters) -> list[Point]:
    groups = shown_groups(period, by, filters)
    named = _named(by, period, groups)
    return [Point(key, label, groups.get(of, Totals())) for of, key, label in named]


Named = tuple[Any, str, str]  # the key of a group, and what it is called for programs and for people


def _named(by: By, period: Period, groups: Mapping[Any, Any]) -> Sequence[Named]:
    match by:
        case By.DAY | By.WEEK | By.MONTH:
            return [(start_of(day, period.zone), day.isoformat(), day.isoformat()) for day in _firsts(by, period)]
        case By.HOUR:
            return [(hour, *_twice(hour.astimezone(period.zone).isoformat())) for hour in _hours(period)]
        case By.HOUR_OF_WEEK:
            return [(hour, *_twice(str(hour))) for hour in range(HOURS_OF_WEEK)]
        case By.PERSONA:
            return _personas(groups)
        case By.VERSION:
            return _versions(groups)
        case By.LANGUAGE:
            return sorted((code, code or UNKNOWN_LANGUAGE, language_name(code) if code else "") for code in groups)
        case By.CHANNEL:
            labels = dict(Conversation.Channel.choices)
            return sorted((name, name, str(labels.get(name, name))) for name in groups)
        case By.MODEL:
            return sorted((name, *_twice(name)) for name in groups)


def _twice(name: str) -> tuple[str, str]:
    return name, name


def _firsts(by: By, period: Period) -> list[date]:
    """The first day of each day, week or month that has a day in ``period``."""
    return sorted({span_of(by, day).first for day in period.days})


def _hours(period: Period) -> list[datetime]:
    begin, end = period.start, period.end
    return [begin + timedelta(hours=number) for number in range(int((end - begin).total_seconds() // 3600))]


def _personas(groups: Iterable[UUID]) -> list[Named]:
    """In their order; those that are gone last, by their id."""
    found = Persona.objects.filter(pk__in=groups).select_related("published").order_by("position", "slug")
    named: list[Named] = [(each.pk, each.slug, each.published.name if each.published else "") for each in found]
    known = {pk for pk, _slug, _label in named}
    return [*named, *((pk, str(pk), "") for pk in sorted(set(groups) - known))]


def _versions(groups: Iterable[UUID | None]) -> list[Named]:
    found = (
        PersonaVersion.objects.filter(pk__in=[pk for pk in groups if pk])
        .select_related("persona")
        .order_by("persona__position", "persona__slug", "number")
        .only("name", "number", "persona__slug", "persona__position")
    )
    named: list[Named] = [(each.pk, f"{each.persona.slug}/{each.number}", each.name) for each in found]
    known = {pk for pk, _key, _label in named}
    return [*named, *((pk, str(pk or ""), "") for pk in sorted(set(groups) - known, key=str))]
