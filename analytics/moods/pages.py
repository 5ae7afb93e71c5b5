"""Mood and topic of conversations as a page and as a file. Every number on it is of five people or more."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.models import User
from analytics.charts import Chart, Kind, Series, Tone
from analytics.metrics import METRICS, Metric
from analytics.moods.figures import Moods, Row, read_moods, read_rows
from analytics.moods.models import MoodWeek
from analytics.moods.sentiment import ACCURACY, Sentiment
from analytics.pages.access import staff_page
from analytics.pages.asking import Asked, read_asked, short_day
from analytics.pages.overview import page_context
from analytics.pages.series import csv_url, on_axis
from analytics.pages.tables import Cell, Sheet, Table, csv_response
from analytics.pages.tables import Row as TableRow
from analytics.period import Period
from analytics.reports import shown
from analytics.suppression import FEWEST_PEOPLE
from chatbot_project.lib.errors import NotFound
from faqs.reading import language_name

TONES = {
    Sentiment.NEGATIVE: Tone.BAD,
    Sentiment.NEUTRAL: Tone.PLAIN,
    Sentiment.POSITIVE: Tone.GOOD,
    Sentiment.UNKNOWN: Tone.SECOND,
}
#: How a share is written.
SHARE = METRICS["failed_rate"]
#: The part of a file that is every number.
EVERYTHING = "moods"
#: What these numbers cannot be narrowed by: the more they were told apart, the fewer people would be in each.
NOT_TOLD_APART = frozenset({"version", "model", "language", "channel"})


@require_GET
@never_cache
@staff_page()
def moods(request: HttpRequest, user: User) -> HttpResponse:
    """With ``format=csv`` the part that ``part`` names, as a file; without a name, every number there is."""
    asked = read_asked(request.GET)
    asked = replace(asked, fixed=asked.fixed | NOT_TOLD_APART)
    found = read_moods(asked.period, asked.filters.persona)
    charts = [over_weeks(asked, found), shares(asked, found)]
    tables = [
        _table(asked, "topics", _("By topic"), _("Topic"), found.topics),
        _table(asked, "personas", _("By persona"), _("Persona"), found.personas),
    ]
    if request.GET.get("format") == "csv":
        return _file(asked, [*charts, *tables], request.GET.get("part", EVERYTHING))
    context = {
        "is_on": settings.CONVERSATION_INSIGHTS,
        "is_known": settings.CONVERSATION_INSIGHTS or MoodWeek.objects.exists(),
        "has_samples": found.has_samples,
        "has_demo": found.has_demo,
        "charts": charts,
        "tables": tables,
        "least": FEWEST_PEOPLE,
        "accuracy": [(language_name(code), shown_share(share)) for code, share in ACCURACY.items()],
        "csv_url": csv_url(asked, EVERYTHING),
        "is_alone": True,
    }
    return render(request, "analytics/moods.html", page_context(asked, tab="moods") | context)


def _file(asked: Asked, sheets: Sequence[Sheet], part: str) -> HttpResponse:
    rows: Iterable[Sequence[Any]]
    if part == EVERYTHING:
        head = ["week", "persona", "topic", "sentiment", "conversations"]
        rows = [head, *read_rows(asked.period, asked.filters.persona)]
    else:
        rows = next((each.sheet() for each in sheets if each.key == part), [])
        if not rows:
            raise NotFound(_("There is no such table here."))
    return csv_response(f"nono-{part}-{asked.period.first.isoformat()}-{asked.period.last.isoformat()}", rows)


def over_weeks(asked: Asked, found: Moods) -> Chart:
    """How conversations sounded, week by week; nothing for weeks that were not counted."""
    numbers = [found.weeks.get(monday) for monday in _mondays(asked.period)]
    series = [
        Series(str(each.label), [None if of is None else of.get(each, 0) for of in numbers], TONES[each])
        for each in Sentiment
    ]
    return _weekly(asked, "mood", _("Conversations by mood"), Kind.BARS, series, METRICS["conversations"])


def shares(asked: Asked, found: Moods) -> Chart:
    """How much of what is told was negative and positive, week by week."""
    rows = [Row("", found.weeks.get(monday, {})) for monday in _mondays(asked.period)]
    series = [
        Series(str(each.label), [row.share(each) for row in rows], TONES[each])
        for each in (Sentiment.NEGATIVE, Sentiment.POSITIVE)
    ]
    return _weekly(asked, "share", _("Share of negative and positive"), Kind.LINES, series, SHARE)


def _weekly(asked: Asked, key: str, title: str, kind: Kind, series: Sequence[Series], metric: Metric) -> Chart:
    mondays = list(_mondays(asked.period))
    return Chart(
        key=key,
        title=title,
        kind=kind,
        labels=[_("week of %(day)s") % {"day": date_format(monday)} for monday in mondays],
        ticks=[short_day(monday) for monday in mondays],
        names=[monday.isoformat() for monday in mondays],
        series=series,
        shown=lambda value: shown(metric, value),
        axis=lambda value: on_axis(metric, value),
        head=_("Week"),
        csv_url=csv_url(asked, key),
    )


def _table(asked: Asked, key: str, title: str, head: str, rows: Sequence[Row]) -> Table:
    names = [*(str(each.label) for each in Sentiment), _("all together"), _("share of negative")]
    empty = _("Nothing in these days.")
    lines = [TableRow(row.label, _cells(row)) for row in rows]
    return Table(key, title, head, names, lines, empty, csv_url=csv_url(asked, key))


def _cells(row: Row) -> list[Cell]:
    """Each mood, all together, and the share of what is told that sounded negative."""
    share = row.share(Sentiment.NEGATIVE)
    numbers = [Cell(shown(METRICS["conversations"], number), number) for number in [*row.counts, row.total]]
    return [*numbers, Cell(shown_share(share), share, part=share)]


def shown_share(share: float | None) -> str:
    return shown(SHARE, share)


def _mondays(period: Period) -> Iterator[date]:
    """The first days of the weeks that ``period`` touches."""
    monday = period.first - timedelta(days=period.first.weekday())
    while monday <= period.last:
        yield monday
        monday += timedelta(days=7)
