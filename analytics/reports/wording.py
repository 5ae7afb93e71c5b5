"""How reports say things, in the active language: figures, periods, what they are grouped by."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import get_language_info, gettext_lazy
from django.utils.translation import gettext as _

from analytics.metrics import METRICS, Group, Metric, Unit, Value
from analytics.models import Grain, Report
from analytics.reports.periods import period_of_report
from analytics.suppression import SUPPRESSED

NONE, FEW = "–", "< 5"
GROUPS: Mapping[str, str | Promise] = {
    Group.PEOPLE: gettext_lazy("People"),
    Group.TALK: gettext_lazy("Conversations"),
    Group.SPEED: gettext_lazy("Speed"),
    Group.ENDINGS: gettext_lazy("How replies end"),
    Group.KNOWLEDGE: gettext_lazy("Knowledge"),
    Group.OPINION: gettext_lazy("Opinions"),
    Group.COST: gettext_lazy("Cost"),
    Group.SAFETY: gettext_lazy("Safety"),
    Group.RIGHTS: gettext_lazy("Rights"),
}
#: Of each table of a report: what it is called, and what its rows are.
TABLES: Mapping[str, tuple[str | Promise, str | Promise]] = {
    "days": (gettext_lazy("Day by day"), gettext_lazy("Day")),
    "hours": (gettext_lazy("Hour by hour"), gettext_lazy("Hour")),
    "personas": (gettext_lazy("Personas"), gettext_lazy("Persona")),
    "models": (gettext_lazy("Models"), gettext_lazy("Model")),
    "languages": (gettext_lazy("Languages"), gettext_lazy("Language")),
    "faqs": (gettext_lazy("Most used FAQs"), gettext_lazy("FAQ")),
}
#: Columns that are no figures of metrics.py.
_BESIDE: Mapping[str, str | Promise] = {
    "people": gettext_lazy("people"),
    "cited": gettext_lazy("cited"),
    "direct": gettext_lazy("given as it is"),
    "helpful": gettext_lazy("thumbs up"),
    "not_helpful": gettext_lazy("thumbs down"),
}
_COLUMNS: Mapping[tuple[str, int], str | Promise] = {
    (Grain.DAY, 0): gettext_lazy("This day"),
    (Grain.DAY, 1): gettext_lazy("The day before"),
    (Grain.WEEK, 0): gettext_lazy("This week"),
    (Grain.WEEK, 1): gettext_lazy("The week before"),
    (Grain.MONTH, 0): gettext_lazy("This month"),
    (Grain.MONTH, 1): gettext_lazy("The month before"),
}


class Table(NamedTuple):
    """A table of a report as people read it: ``head`` and ``rows`` are texts, the first of each the row's name."""

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def title_of(report: Report) -> str:
    """What it is a report of."""
    period = period_of_report(report)
    if report.grain == Grain.DAY:
        title = formats.date_format(period.first)
    elif report.grain == Grain.MONTH:
        title = formats.date_format(period.first, "YEAR_MONTH_FORMAT")
    else:
        days = {"first": formats.date_format(period.first), "last": formats.date_format(period.last)}
        title = _("The week from %(first)s to %(last)s") % days
    return f"{title} · {report.content['persona']['name']}" if report.content.get("persona") else title


def columns_of(report: Report) -> tuple[str, str]:
    """What the two values of each figure are of."""
    return str(_COLUMNS[report.grain, 0]), str(_COLUMNS[report.grain, 1])


def figures_by_group(report: Report) -> Sequence[Table]:
    """All figures, those together that belong together. What was added since it was made is not in it."""
    groups = ((group, [name for name, metric in METRICS.items() if metric.group == group]) for group in GROUPS)
    return [
        Table(group, str(GROUPS[group]), (_("Figure"), *columns_of(report)), figure_rows(report, names))
        for group, names in groups
        if any(name in report.figures for name in names)
    ]


def figure_rows(report: Report, names: Sequence[str]) -> Sequence[tuple[str, ...]]:
    """Name, value and that of the period before."""
    currency = report.content.get("currency")
    return [
        (str(METRICS[name].label), *(shown(METRICS[name], value, currency) for value in report.figures[name]))
        for name in names
        if name in report.figures
    ]


def tables_of(report: Report) -> Sequence[Table]:
    """What its figures come to by day or hour, and the greatest personas, models, languages and FAQs."""
    return [_table(report, name, table) for name, table in held_tables(report) if table["rows"]]


def held_tables(report: Report) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """As they are kept, in the order of TABLES: the database keeps none."""
    held = report.content.get("tables", {})
    return ((name, held[name]) for name in TABLES if name in held)


def _table(report: Report, name: str, table: Mapping[str, Any]) -> Table:
    (title, of), columns = TABLES[name], table["columns"]
    currency = report.content.get("currency")
    rows = [
        (row_label(name, row["name"]), *(_cell(*each, currency) for each in zip(columns, row["values"], strict=True)))
        for row in table["rows"]
    ]
    return Table(name, str(title), (str(of), *map(column_label, columns)), rows)


def _cell(column: str, value: Any, currency: str | None) -> str:
    if column in METRICS:
        return shown(METRICS[column], value, currency)
    return FEW if value == SUPPRESSED.value else formats.number_format(value, 0, use_l10n=True, force_grouping=True)


def column_label(column: str) -> str:
    return str(METRICS[column].label if column in METRICS else _BESIDE[column])


def row_label(table: str, name: str) -> str:
    """What a row is called: days and hours are ISO 8601, languages codes, models and FAQs names already."""
    if table == "days":
        return formats.date_format(date.fromisoformat(name), "D, j. M" if _is_german() else "D, M j")
    if table == "hours":
        return formats.time_format(datetime.fromisoformat(name), "H:i")
    if table == "languages":
        return language_name(name)
    return name or _("unknown")


def _is_german() -> bool:
    return bool(formats.get_format("DATE_FORMAT") == "j. F Y")


def language_name(code: str) -> str:
    """In the active language where Django knows it, else the code."""
    try:
        return str(get_language_info(code)["name_translated"]) if code else _("unknown")
    except KeyError:
        return code


def shown(metric: Metric, value: Value | str, currency: str | None = None) -> str:
    """A figure as people read it, in the active language. Money is in ``currency``, or that of the settings."""
    if value is None:
        return NONE
    if isinstance(value, str):  # as a report keeps what is not shown
        return FEW
    if metric.unit == Unit.SHARE:
        return f"{_number(float(value) * 100, 1)} %"
    if metric.unit == Unit.SECONDS:
        return f"{_number(value, 2)} s"
    if metric.unit == Unit.MONEY:
        return f"{_number(value, 2)} {currency or settings.PRICE_CURRENCY}"
    return _number(value, 0 if isinstance(value, int) else 1)


def _number(value: int | float | Decimal, places: int) -> str:
    """Rounded first: Django's formats cut digits off."""
    return formats.number_format(round(Decimal(value), places), places, use_l10n=True, force_grouping=True)
