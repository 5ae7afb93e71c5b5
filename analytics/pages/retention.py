"""Who comes back: of the people who began in a week or month, the share that asked something in those after it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from analytics.models import Grain
from analytics.pages.asking import Asked, short_day
from analytics.period import start_of
from analytics.rollups import span_of
from analytics.suppression import Suppressed, shown_cohorts

#: The newest ones.
MOST_COHORTS = 13
#: Weeks up to so many days, else months.
MOST_DAYS_OF_WEEKS = 92
SHADES = 5


class Return(NamedTuple):
    """``part`` of the cohort (of 1); None where it is not shown or not over."""

    text: str
    part: float | None
    shade: int


class Line(NamedTuple):
    began: datetime
    name: str
    people: str
    returns: Sequence[Return]


@dataclass(frozen=True, slots=True)
class Retention:
    """``ages``: how many weeks or months after the beginning each column is."""

    key: str
    head: str
    unit: str
    ages: Sequence[int]
    lines: Sequence[Line]
    csv_url: str = ""

    def sheet(self) -> Iterable[Sequence[Any]]:
        yield [self.head, _("People"), *self.ages]
        for line in self.lines:
            parts = [back.part for back in line.returns]
            yield [line.name, line.people, *parts, *[None] * (len(self.ages) - len(parts))]


def retention(asked: Asked, csv_url: str = "") -> Retention:
    """Of the cohorts that began in the days that are asked for, up to their last day. Of all: people are not told apart
    by what they asked for here."""
    zone = asked.period.zone
    grain = Grain.WEEK if asked.days <= MOST_DAYS_OF_WEEKS else Grain.MONTH
    since = start_of(span_of(grain, asked.period.first).first, zone)
    cohorts = shown_cohorts(grain, since, asked.period.end)
    newest = sorted(cohorts)[-MOST_COHORTS:]
    lines = [_line(grain, began, cohorts[began], zone) for began in newest]
    ages = range(1, max((len(line.returns) for line in lines), default=0) + 1)
    head, unit = (_("Week"), _("Weeks later")) if grain == Grain.WEEK else (_("Month"), _("Months later"))
    return Retention("retention", head, unit, ages, lines, csv_url)


def _line(grain: str, began: datetime, people: Any, zone: Any) -> Line:
    day = began.astimezone(zone).date()
    name = short_day(day) if grain == Grain.WEEK else date_format(day, "YEAR_MONTH_FORMAT")
    size = people.get(began, 0)
    returns = [_return(number, size) for start, number in sorted(people.items()) if start > began]
    return Line(began, name, str(size) if isinstance(size, Suppressed) else number_format(size), returns)


def _return(number: Any, size: Any) -> Return:
    if isinstance(number, Suppressed) or isinstance(size, Suppressed):
        return Return("–", None, 0)
    part = number / size if size else 0
    return Return(number_format(part * 100, 0), part, -(-int(part * 100) * SHADES // 100) if part else 0)
