"""Moments in charts over time: when a version was published, when an answer was changed."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from analytics.charts import Mark
from analytics.pages.asking import Asked


def marks(asked: Asked, moments: Iterable[tuple[datetime, int]], told: str) -> Sequence[Mark]:
    """Of the ``moments`` (when, and the number of the version) that lie in the days that are asked for, the first of
    them first. ``told`` says what happened to ``%(version)s`` on ``%(day)s``."""
    within = sorted(moment for moment in moments if asked.period.start <= moment[0] < asked.period.end)
    found = []
    for at, number in within:
        label = _("v%(number)d") % {"number": number}
        day = date_format(at.astimezone(asked.period.zone).date())
        found.append(Mark(_place(asked, at), label, told % {"version": label, "day": day}))
    return found


def _place(asked: Asked, at: datetime) -> float:
    starts = [point.start for point in asked.points]
    number = max((place for place, start in enumerate(starts) if start <= at), default=0)
    end = starts[number + 1] if number + 1 < len(starts) else asked.period.end
    return number - 0.5 + (at - starts[number]) / (end - starts[number])
