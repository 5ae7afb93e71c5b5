"""Shares that were counted of few: a page shows how sure they are."""

from dataclasses import dataclass

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from analytics.intervals import Interval, wilson
from analytics.metrics import Metric
from analytics.pages.figures import Figure
from analytics.suppression import Suppressed
from analytics.totals import Totals

#: Whole percents would make one of its ends of a narrower interval.
NARROW = 0.03


@dataclass(frozen=True, slots=True)
class NotedFigure(Figure):
    """With a line below it."""

    note: str = ""


def noted(metric: Metric, now: Totals | Suppressed, before: Totals | Suppressed) -> NotedFigure:
    """The figure, and of a share that is counted its interval and of how many."""
    value, then = (each if isinstance(each, Suppressed) else metric.of(each) for each in (now, before))
    return NotedFigure(metric, value, then, "" if isinstance(now, Suppressed) else _note(metric, now))


def _note(metric: Metric, totals: Totals) -> str:
    if metric.parts is None:
        return ""
    part, whole = metric.parts(totals)
    interval = wilson(part, whole)
    if interval is None:
        return ""
    of = ngettext("of %(number)s", "of %(number)s", whole) % {
        "number": formats.number_format(whole, force_grouping=True)
    }
    return f"{interval_told(interval)} {of}"


def interval_told(interval: Interval) -> str:
    """As people read it: "81–93 %"; a narrow one with tenths."""
    places = 1 if interval.high - interval.low < NARROW else 0
    low, high = (formats.number_format(round(end * 100, places), places) for end in interval)
    return _("%(low)s–%(high)s %%") % {"low": low, "high": high}
