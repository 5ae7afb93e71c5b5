"""What a report holds, computed of the rollups: all figures beside those of the period before, what they come to by day
or hour, the greatest personas, models, languages and FAQs, and how many gaps there are. Nothing of a person: cells of
few are left out (suppression.py), of FAQs approved questions stand there, and of gaps a number alone."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from analytics.metrics import METRICS
from analytics.models import FAQUsage, Grain
from analytics.period import Period
from analytics.reports.periods import one_before
from analytics.suppression import (
    FEWEST_PEOPLE,
    ShownValue,
    Suppressed,
    shown_groups,
    shown_people_by,
    shown_totals,
    shown_values,
)
from analytics.totals import EVERYTHING, By, Filters, Totals
from faqs.gaps import LIVE
from faqs.models import FAQ, Gap
from personas.models import Persona

Shown = Mapping[Any, Totals | Suppressed]
TOP = 10
SERIES = ("conversations", "questions", "replies", "completed_rate", "satisfaction")
PEOPLE = "people"
COLUMNS: Mapping[str, Sequence[str]] = {
    "personas": ("questions", "conversations", "completed_rate", "satisfaction", "cost"),
    "models": ("replies", "completed_rate", "first_token_p95", "completion_tokens", "cost"),
    "languages": ("questions", "conversations", "completed_rate", "satisfaction"),
    "faqs": ("cited", "direct", "helpful", "not_helpful"),
}
#: By which of its columns the first of a table are told.
GREATEST = {"personas": "questions", "models": "replies", "languages": "questions"}


def read_figures(grain: str, period: Period, persona: Persona | None = None) -> dict[str, list[Any]]:
    """Each figure with that of the period before: a number, null where there is none, "suppressed"."""
    filters = _filters(persona)
    now, then = (
        shown_values(shown_totals(each, filters), filters) for each in (period, one_before(grain, period))
    )  # fmt: skip
    return {name: [_kept(now[name]), _kept(then[name])] for name in METRICS}


def read_content(grain: str, period: Period, persona: Persona | None = None) -> dict[str, Any]:
    """All else: ``{currency, persona, tables, gaps}``. A table is ``{columns, rows}``, a row ``{name, values}``, whose
    values are as those of ``read_figures``. Names are those of the moment."""
    filters = _filters(persona)
    tables = {"hours": _hours(period, filters)} if grain == Grain.DAY else {"days": _days(period, filters)}
    if persona is None:
        tables["personas"] = _top("personas", shown_groups(period, By.PERSONA, filters), _persona_names())
    # Questions have no model, so that a line without one is of them and of approved answers.
    by_model = {name: row for name, row in shown_groups(period, By.MODEL, filters).items() if name}
    tables["models"] = _top("models", by_model)
    tables["languages"] = _top("languages", shown_groups(period, By.LANGUAGE, filters))
    if persona is None:
        tables["faqs"] = _faqs(period)
    return {
        "currency": settings.PRICE_CURRENCY,
        "persona": {"slug": persona.slug, "name": _name(persona)} if persona else None,
        "tables": tables,
        "gaps": None if persona else Gap.objects.filter(status__in=LIVE).count(),
    }


def _filters(persona: Persona | None) -> Filters:
    return Filters(persona=persona.pk) if persona else EVERYTHING


def _kept(value: ShownValue) -> int | float | str | None:
    if isinstance(value, Suppressed):
        return value.value
    return float(value) if isinstance(value, Decimal) else value


def _values(totals: Totals | Suppressed, columns: Sequence[str]) -> list[Any]:
    shown = shown_values(totals, names=columns)
    return [_kept(shown[column]) for column in columns]


def _hours(period: Period, filters: Filters) -> dict[str, Any]:
    """Those in which anything was counted."""
    groups = shown_groups(period, By.HOUR, filters)
    rows = [
        {"name": hour.astimezone(period.zone).isoformat(), "values": _values(groups[hour], SERIES)}
        for hour in sorted(groups)
    ]
    return {"columns": list(SERIES), "rows": rows}


def _days(period: Period, filters: Filters) -> dict[str, Any]:
    groups, people = shown_groups(period, By.DAY, filters), shown_people_by(period, Grain.DAY, filters)
    rows = []
    for day, start in zip(period.days, period.bounds, strict=False):
        active, _new = people.get(start, (0, 0))
        values = [_kept(active), *_values(groups.get(start, Totals()), SERIES)]
        rows.append({"name": day.isoformat(), "values": values})
    return {"columns": [PEOPLE, *SERIES], "rows": rows}


def _top(table: str, groups: Shown, names: Mapping[Any, str] | None = None) -> dict[str, Any]:
    """The greatest of them; those that are not shown last, whatever they come to."""
    columns, by = COLUMNS[table], GREATEST[table]
    named = [(str(key) if names is None else names.get(key, ""), totals) for key, totals in groups.items()]

    def place(entry: tuple[str, Totals | Suppressed]) -> tuple[bool, float, str]:
        name, totals = entry
        if isinstance(totals, Suppressed):
            return True, 0, name
        return False, -float(METRICS[by].of(totals) or 0), name

    rows = [{"name": name, "values": _values(totals, columns)} for name, totals in sorted(named, key=place)]
    return {"columns": list(columns), "rows": rows[:TOP]}


def _faqs(period: Period) -> dict[str, Any]:
    """Those that are published, by the replies that cite them. Such as fewer replies cite than FEWEST_PEOPLE cannot
    have helped so many people, and are left out."""
    columns = COLUMNS["faqs"]
    used = (
        FAQUsage.objects.filter(start__gte=period.start, start__lt=period.end)
        .values_list("faq")
        .annotate(*(Sum(column, default=0) for column in columns))
    )
    counted: list[tuple[Any, ...]] = sorted(used, key=lambda row: (-row[1], row[0]))
    counted = [row for row in counted if row[1] >= FEWEST_PEOPLE]
    names = _questions(row[0] for row in counted)
    rows = [{"name": names[faq], "values": list(values)} for faq, *values in counted if faq in names]
    return {"columns": list(columns), "rows": rows[:TOP]}


def _questions(faqs: Iterable[UUID]) -> Mapping[UUID, str]:
    return dict(FAQ.objects.filter(pk__in=list(faqs), status=FAQ.Status.PUBLISHED).values_list("pk", "question"))


def _persona_names() -> Mapping[UUID, str]:
    return {persona.pk: _name(persona) for persona in Persona.objects.with_published()}


def _name(persona: Persona) -> str:
    return persona.published.name if persona.published else persona.slug
