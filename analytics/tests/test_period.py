"""A day goes from midnight to midnight where somebody is, whatever the clocks do there."""

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.period import Period

# St John's turned its clocks back over midnight until 2011: an hour of one day lay within the next.
MOMENTS = st.datetimes(datetime(2012, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))


@given(moment=MOMENTS, zone=st.sampled_from(sorted(available_timezones())), before=st.integers(0, 40))
def test_every_moment_lies_in_the_day_that_a_clock_there_shows(moment: datetime, zone: str, before: int) -> None:
    there = ZoneInfo(zone)
    today = moment.astimezone(there).date()
    period = Period(today - timedelta(days=before), today + timedelta(days=3), there)
    number = bisect_right(period.bounds, moment)
    assert period.days[number - 1] == today


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),  # midnight is skipped
        ("America/Havana", date(2026, 11, 1), 25),  # midnight comes twice
        ("Pacific/Apia", date(2011, 12, 30), 0),  # never was
        ("Asia/Kolkata", date(2026, 3, 29), 24),
    ],
)
def test_a_day_is_as_long_as_it_is_there(zone: str, day: date, hours: int) -> None:
    first, last = Period(day, day, ZoneInfo(zone)).bounds
    assert last - first == timedelta(hours=hours)
