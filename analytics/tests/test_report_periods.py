"""Which days, weeks and months are over, in the organisation's time zone."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics.models import RollupState
from analytics.period import Period
from analytics.reports.periods import CATCH_UP, is_added_up, last_over, lately_over, one_before, period_of
from analytics.rollups import MARGIN

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("grain", "now", "first", "last"),
    [
        ("day", datetime(2026, 3, 8, 9, 59, tzinfo=UTC), date(2026, 3, 7), date(2026, 3, 7)),
        ("day", datetime(2026, 3, 8, 10, tzinfo=UTC), date(2026, 3, 8), date(2026, 3, 8)),
        ("week", datetime(2026, 3, 8, 9, 59, tzinfo=UTC), date(2026, 2, 23), date(2026, 3, 1)),
        ("week", datetime(2026, 3, 8, 10, tzinfo=UTC), date(2026, 3, 2), date(2026, 3, 8)),
        ("month", datetime(2026, 2, 28, 9, 59, tzinfo=UTC), date(2026, 1, 1), date(2026, 1, 31)),
        ("month", datetime(2026, 2, 28, 10, tzinfo=UTC), date(2026, 2, 1), date(2026, 2, 28)),
    ],
)
def test_the_last_one_is_over_where_the_organisation_is(
    settings: Any, grain: str, now: datetime, first: date, last: date
) -> None:
    settings.REPORT_TIME_ZONE = "Pacific/Kiritimati"  # 14 hours ahead
    period = last_over(grain, now)
    assert (period.first, period.last) == (first, last)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 1), 24)])
def test_a_day_on_which_the_clocks_change_is_as_long_as_it_is(day: date, hours: int) -> None:
    begin, end = period_of("day", day, BERLIN).bounds
    assert end - begin == timedelta(hours=hours)


def test_before_a_month_is_that_of_the_calendar() -> None:
    march = period_of("month", date(2024, 3, 31), BERLIN)
    assert one_before("month", march) == Period(date(2024, 2, 1), date(2024, 2, 29), BERLIN)
    assert one_before("month", period_of("month", date(2026, 1, 5), BERLIN)).first == date(2025, 12, 1)


@pytest.mark.parametrize("grain", CATCH_UP)
def test_a_late_run_goes_back_so_far_and_no_further(grain: str) -> None:
    now = datetime(2026, 3, 30, 12, tzinfo=UTC)
    periods = lately_over(grain, now)
    assert len(periods) == CATCH_UP[grain]
    assert periods[-1] == last_over(grain, now)
    for earlier, later in pairwise(periods):
        assert later.first - earlier.last == timedelta(days=1)


@pytest.mark.django_db
def test_it_is_added_up_once_the_rollups_are_past_its_end_by_their_margin(settings: Any) -> None:
    settings.REPORT_TIME_ZONE = "Europe/Berlin"
    week = period_of("week", date(2026, 3, 29))
    end = week.bounds[-1]
    assert not is_added_up(week)
    for until, zone, added_up in (
        (end + MARGIN - timedelta(seconds=1), "Europe/Berlin", False),
        (end + MARGIN, "Europe/Berlin", True),
        (end + MARGIN, "UTC", False),  # of other days
    ):
        RollupState.objects.update_or_create(pk=1, defaults={"counted_until": until, "time_zone": zone})
        assert is_added_up(week) is added_up
