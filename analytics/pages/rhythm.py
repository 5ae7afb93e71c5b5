"""When in the week people ask: a table of seven days and 24 hours, shaded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from analytics.pages.asking import Asked
from analytics.suppression import Suppressed, shown_groups
from analytics.totals import By, Totals

SHADES = 5
HOURS = range(24)


@dataclass(frozen=True, slots=True)
class Hour:
    """``shade`` is 0 for nothing up to SHADES for the most; None of the number where it is not shown."""

    hour: int
    number: int | None
    shade: int

    @property
    def text(self) -> str:
        return "–" if self.number is None else number_format(self.number, force_grouping=True)


@dataclass(frozen=True, slots=True)
class Week:
    """``days``: name, short name and hours, from Monday."""

    key: str
    days: Sequence[tuple[str, str, Sequence[Hour]]]
    note: str = ""
    csv_url: str = ""

    @property
    def hours(self) -> Sequence[int]:
        return HOURS

    @property
    def is_empty(self) -> bool:
        return not any(hour.number for _day, _short, hours in self.days for hour in hours)

    def sheet(self) -> Iterable[Sequence[Any]]:
        yield [_("Day"), *HOURS]
        for name, _short, hours in self.days:
            yield [name, *(hour.number for hour in hours)]


def week_of(asked: Asked, csv_url: str = "") -> Week:
    """Questions by hour of the week in the organisation's zone."""
    groups = shown_groups(asked.period, By.HOUR_OF_WEEK, asked.filters)
    numbers = [_number(groups.get(hour)) for hour in range(7 * 24)]
    most = max((number for number in numbers if number), default=0)
    days = [
        (
            str(WEEKDAYS[day]),
            str(WEEKDAYS_ABBR[day]),
            [Hour(hour, numbers[day * 24 + hour], _shade(numbers[day * 24 + hour], most)) for hour in HOURS],
        )
        for day in range(7)
    ]
    note = _("Hours of fewer than five people are left out.") if None in numbers else ""
    return Week("rhythm", days, note, csv_url)


def _number(totals: Totals | Suppressed | None) -> int | None:
    if totals is None:
        return 0
    return None if isinstance(totals, Suppressed) else totals.questions


def _shade(number: int | None, most: int) -> int:
    return -(-number * SHADES // most) if number else 0
