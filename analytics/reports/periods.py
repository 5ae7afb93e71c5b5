"""Which days, weeks and months a report can be of: those of the organisation, and when they are over."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics.models import Grain, Report, RollupState
from analytics.period import Period
from analytics.rollups import MARGIN, reporting_zone, span_of

REPORTED = (Grain.DAY, Grain.WEEK, Grain.MONTH)
#: How many periods a late run goes back: what is older is made by the command alone.
CATCH_UP: Mapping[str, int] = {Grain.DAY: 7, Grain.WEEK: 4, Grain.MONTH: 3}


def period_of(grain: str, day: date, zone: ZoneInfo | None = None) -> Period:
    """The whole day, week (from Monday) or month that ``day`` is in."""
    span = span_of(grain, day)
    return Period(span.first, span.after - timedelta(days=1), zone or reporting_zone())


def one_before(grain: str, period: Period) -> Period:
    """The day, week or month before: of months, the calendar's, whatever its length."""
    return period_of(grain, period.first - timedelta(days=1), period.zone)


def last_over(grain: str, now: datetime) -> Period:
    """The newest one that is over."""
    zone = reporting_zone()
    return one_before(grain, period_of(grain, now.astimezone(zone).date(), zone))


def lately_over(grain: str, now: datetime) -> list[Period]:
    """Those that a late run makes up for, oldest first."""
    found = [last_over(grain, now)]
    while len(found) < CATCH_UP[grain]:
        found.append(one_before(grain, found[-1]))
    return found[::-1]


def is_added_up(period: Period) -> bool:
    """Whether all that happened in it is in the rollups, and these are of its time zone. One query."""
    state = RollupState.objects.first()
    if state is None or state.counted_until is None or state.time_zone != period.zone.key:
        return False
    return state.counted_until >= period.end + MARGIN


def period_of_report(report: Report) -> Period:
    """In the time zone in which it was made."""
    zone = ZoneInfo(report.time_zone)
    return period_of(report.grain, report.start.astimezone(zone).date(), zone)


def is_final(report: Report) -> bool:
    """Whether it is kept, so that it does not change any more: one that is computed alone has no row."""
    return not report._state.adding
