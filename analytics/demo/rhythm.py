"""When people ask: days of the week, hours of the day, both as the organisation's clocks show them. Pure."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

#: Monday to Sunday, against a usual working day.
WEEKDAYS = (1.1, 1.05, 1.0, 1.0, 0.85, 0.4, 0.28)
_WORKING = (2, 1, 1, 1, 1, 3, 8, 22, 55, 85, 95, 88, 62, 74, 88, 84, 72, 56, 44, 40, 38, 30, 16, 6)
_WEEKEND = (5, 3, 2, 1, 1, 1, 3, 8, 20, 42, 60, 64, 56, 52, 58, 60, 56, 50, 46, 48, 50, 42, 26, 12)
_HOURS = range(24)
_BY_HOUR = (list(accumulate(_WORKING)), list(accumulate(_WEEKEND)))


def moment_of(day: date, zone: ZoneInfo, chance: Random) -> datetime:
    """A moment of ``day`` in ``zone``, in UTC: likelier when many ask. Of hours that the clocks skip or repeat, one
    that there is."""
    weights = _BY_HOUR[day.weekday() >= 5]
    hour = chance.choices(_HOURS, cum_weights=weights)[0]
    local = datetime.combine(day, time(hour), zone)
    return local.astimezone(UTC) + timedelta(seconds=chance.random() * 3600)


def days_before(last: date, count: int) -> list[date]:
    """``count`` days, of which ``last`` is the last."""
    return [last - timedelta(days=number) for number in reversed(range(count))]
