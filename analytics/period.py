"""Days as people mean them: from midnight to midnight where they are."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of a time zone, from ``first`` to ``last``, both included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def start(self) -> datetime:
        """In UTC, as ``end``."""
        return start_of(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """Where the last day ends."""
        return start_of(self.last + timedelta(days=1), self.zone)

    @property
    def bounds(self) -> list[datetime]:
        """Where each day begins, and at the end where the last one ends. In UTC: a day may have 23 or 25 hours."""
        return [start_of(day, self.zone) for day in [*self.days, self.last + timedelta(days=1)]]


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of ``day`` in ``zone``, in UTC; also where the clocks skip or repeat midnight."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
