"""Charts over time out of grouped sums: a point for each hour, day or week of what is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import formats
from django.utils.translation import gettext as _

from analytics.charts import TONES, Chart, Kind, Series, Tone
from analytics.metrics import METRICS, Metric, Unit, Value
from analytics.pages.asking import Asked
from analytics.reports import shown
from analytics.suppression import Suppressed
from analytics.totals import By, Totals

NOTHING = Totals()
Groups = Mapping[datetime, Totals | Suppressed]


def over_time(
    asked: Asked,
    groups: Groups,
    *,
    key: str,
    title: str,
    names: Sequence[str],
    kind: Kind = Kind.LINES,
    tones: Sequence[Tone] = TONES,
) -> Chart:
    """The figures of those ``names``, all of one unit, in each point of what is asked."""
    metrics = [METRICS[name] for name in names]
    columns = [(str(metric.label), metric.of, tone) for metric, tone in zip(metrics, tones, strict=False)]
    return counted(asked, groups, key=key, title=title, of=columns, metric=metrics[0], kind=kind)


def counted(
    asked: Asked,
    groups: Groups,
    *,
    key: str,
    title: str,
    of: Sequence[tuple[str, Callable[[Totals], Value], Tone]],
    metric: Metric = METRICS["questions"],
    kind: Kind = Kind.BARS,
) -> Chart:
    """What ``of`` (name, value, tone) says of the sums of each point; written like ``metric``."""
    totals = [groups.get(point.start, NOTHING) for point in asked.points]
    series = [
        Series(name, [None if isinstance(each, Suppressed) else value(each) for each in totals], tone)
        for name, value, tone in of
    ]
    hidden = any(isinstance(each, Suppressed) for each in totals)
    return of_points(asked, key=key, title=title, series=series, metric=metric, kind=kind, hidden=hidden)


def of_points(
    asked: Asked,
    *,
    key: str,
    title: str,
    series: Sequence[Series],
    metric: Metric,
    kind: Kind,
    hidden: bool = False,
) -> Chart:
    """A chart of values that are there already, one for each point of what is asked. ``hidden``: some are not shown."""
    points = asked.points
    chart = Chart(
        key=key,
        title=title,
        kind=kind,
        labels=[point.label for point in points],
        ticks=[point.tick for point in points],
        names=[
            point.start.astimezone(asked.period.zone).isoformat() if asked.grain == By.HOUR else point.day.isoformat()
            for point in points
        ],
        series=series,
        unit=f"{metric.unit} {settings.PRICE_CURRENCY}",
        shown=lambda value: shown(metric, value),
        axis=lambda value: on_axis(metric, value),
        head={By.HOUR: _("Hour"), By.DAY: _("Day"), By.WEEK: _("Week")}[asked.grain],
        note=_("Points of fewer than five people are left out.") if hidden else "",
        links=_links(asked),
    )
    return replace(chart, csv_url=csv_url(asked, key))


def csv_url(asked: Asked, key: str) -> str:
    return f"?{asked.query_with(format='csv', part=key)}"


def _links(asked: Asked) -> list[str]:
    """From a week to its days, from a day to its hours."""
    if asked.grain == By.HOUR:
        return []
    length = timedelta(days=6 if asked.grain == By.WEEK else 0)
    return [
        f"?{asked.query_of_days(max(point.day, asked.period.first), min(point.day + length, asked.period.last))}"
        for point in asked.points
    ]


def on_axis(metric: Metric, value: float) -> str:
    """A number beside an axis: as short as can be."""
    if metric.unit == Unit.SHARE:
        return f"{_short(value * 100)} %"
    if metric.unit == Unit.SECONDS:
        return f"{_short(value)} s"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size:
            return f"{_short(value / size)} {letter}"
    return _short(value)


def _short(value: float) -> str:
    value = round(float(value), 3)
    return formats.number_format(int(value) if value.is_integer() else value, force_grouping=True)
