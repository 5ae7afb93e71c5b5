"""Mood and topic of conversations as a page and as a file. Every number on it is of five people or more."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from io import StringIO

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.models import User
from analytics.charts import Chart, Kind, Series, Tone
from analytics.metrics import METRICS
from analytics.moods.figures import Moods, Numbers, Row, read_moods, read_rows
from analytics.moods.models import MoodWeek
from analytics.moods.sentiment import ACCURACY, Sentiment
from analytics.pages.access import staff_page
from analytics.pages.asking import Asked, read_asked, short_day
from analytics.pages.overview import page_context
from analytics.pages.series import on_axis
from analytics.period import Period
from analytics.reports import shown
from analytics.suppression import FEWEST_PEOPLE
from chatbot_project.lib.cells import escape
from faqs.reading import language_name

TONES = {
    Sentiment.NEGATIVE: Tone.BAD,
    Sentiment.NEUTRAL: Tone.PLAIN,
    Sentiment.POSITIVE: Tone.GOOD,
    Sentiment.UNKNOWN: Tone.SECOND,
}
#: What these numbers cannot be narrowed by: the more they were told apart, the fewer people would be in each.
NOT_TOLD_APART = frozenset({"version", "model", "language", "channel"})


@require_GET
@never_cache
@staff_page()
def moods(request: HttpRequest, user: User) -> HttpResponse:
    asked = _asked(request)
    found = read_moods(asked.period, asked.filters.persona)
    context = {
        "is_on": settings.CONVERSATION_INSIGHTS,
        "is_known": settings.CONVERSATION_INSIGHTS or MoodWeek.objects.exists(),
        "found": found,
        "chart": over_weeks(asked, found),
        "tables": [
            (_("By topic"), _("Topic"), [_cells(row) for row in found.topics]),
            (_("By persona"), _("Persona"), [_cells(row) for row in found.personas]),
        ],
        "sentiments": [each.label for each in Sentiment],
        "least": FEWEST_PEOPLE,
        "accuracy": [(language_name(code), shown_share(share)) for code, share in ACCURACY.items()],
        "csv_url": f"{reverse('analytics:moods_csv')}?{asked.query}",
        "is_alone": True,
    }
    return render(request, "analytics/moods.html", page_context(asked, tab="moods") | context)


@require_GET
@never_cache
@staff_page()
def moods_csv(request: HttpRequest, user: User) -> HttpResponse:
    asked = _asked(request)
    out = StringIO()
    lines = csv.writer(out)
    lines.writerow(["week", "persona", "topic", "sentiment", "conversations"])
    for row in read_rows(asked.period, asked.filters.persona):
        lines.writerow([escape(str(cell)) for cell in row])
    response = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="moods-{asked.period.last.isoformat()}.csv"'
    return response


def over_weeks(asked: Asked, found: Moods) -> Chart:
    """How conversations sounded, week by week; nothing for weeks that were not counted."""
    mondays = list(_mondays(asked.period))
    numbers: Sequence[Numbers | None] = [found.weeks.get(monday) for monday in mondays]
    metric = METRICS["conversations"]
    return Chart(
        key="moods",
        title=_("Conversations by mood"),
        kind=Kind.BARS,
        labels=[_("week of %(day)s") % {"day": date_format(monday)} for monday in mondays],
        ticks=[short_day(monday) for monday in mondays],
        series=[
            Series(str(each.label), [None if of is None else of.get(each, 0) for of in numbers], TONES[each])
            for each in Sentiment
        ],
        shown=lambda value: shown(metric, value),
        axis=lambda value: on_axis(metric, value),
        head=_("Week"),
        csv_url=f"{reverse('analytics:moods_csv')}?{asked.query}",
    )


def shown_share(share: float | None) -> str:
    return shown(METRICS["failed_rate"], share)


def _cells(row: Row) -> tuple[str, list[str]]:
    """The row's label, and its cells as they are shown: each mood, all, and the share of what sounded negative."""
    metric = METRICS["conversations"]
    numbers = [shown(metric, number) for number in [*row.counts, row.total]]
    return row.label, [*numbers, shown_share(row.negative_share)]


def _asked(request: HttpRequest) -> Asked:
    asked = read_asked(request.GET)
    return replace(asked, fixed=asked.fixed | NOT_TOLD_APART)


def _mondays(period: Period) -> Iterator[date]:
    """The first days of the weeks that ``period`` touches."""
    monday = period.first - timedelta(days=period.first.weekday())
    while monday <= period.last:
        yield monday
        monday += timedelta(days=7)
