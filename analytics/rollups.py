"""Keeps rollups (models.py) in step with what is counted (facts.py). Whatever is added up again comes out the same.

A day is the unit of work: its hours are added up from the facts, all longer spans from shorter ones (usage.py); people
are counted from the facts (people.py). One run at a time: each holds the lock of the one row of RollupState.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from analytics.models import Cohort, FAQUsage, Grain, Occurrence, People, RollupState, StaleHour, Usage
from analytics.occurrences import count_occurrences
from analytics.people import count_people
from analytics.period import start_of
from analytics.usage import count_days, sum_months, sum_weeks

log = structlog.get_logger(__name__)

#: Changes may be committed this long after the time that they bear.
MARGIN = timedelta(minutes=10)
#: Each night, so many days are added up again: what no sign told of is in the figures a day later.
AGAIN_DAYS = 35

_KNOWN = """
    SELECT min(at), max(at) FROM (
        SELECT min(created_at) AS at FROM conversations_message
        UNION ALL SELECT max(created_at) FROM conversations_message
        UNION ALL SELECT min(created_at) FROM conversations_conversation
        UNION ALL SELECT max(created_at) FROM conversations_conversation
        UNION ALL SELECT min(at) FROM conversations_tally UNION ALL SELECT max(at) FROM conversations_tally
        UNION ALL SELECT min(start) FROM analytics_usage WHERE grain = 'day'
        UNION ALL SELECT max(start) FROM analytics_usage WHERE grain = 'day'
    ) known
"""
_CHANGED = """
    WITH taken AS (DELETE FROM analytics_stalehour RETURNING hour),
    active AS (SELECT id, created_at FROM conversations_conversation WHERE updated_at >= %(since)s)
    SELECT created_at FROM active
    UNION ALL
    SELECT m.created_at FROM active JOIN conversations_message m ON m.conversation_id = active.id
    WHERE m.created_at >= %(since)s OR m.finished_at >= %(since)s
    UNION ALL
    SELECT start FROM analytics_usage WHERE grain = 'hour' AND live > 0
    UNION ALL
    SELECT hour FROM taken
"""


def reporting_zone() -> ZoneInfo:
    """Whose days are counted."""
    return ZoneInfo(settings.REPORT_TIME_ZONE)


def refresh(*, progress: Callable[[date], None] | None = None) -> int:
    """Add up again the days on which something changed since the last run, and today; how many days.

    The first run, and one after the time zone has changed, adds up all there is. Nothing where another run is at work.
    """
    with transaction.atomic():
        state = _locked_state(wait=False)
        if state is None:
            return 0
        zone, now = reporting_zone(), timezone.now()
        if state.counted_until is None or state.time_zone != zone.key:
            days = _all_days(zone, now)
            _forget_all()
        else:
            days = _changed_days(state.counted_until - MARGIN, zone, now)
        _add_up(days, zone, progress)
        _count_until(state, zone, now)
    log.info("rollups.refreshed", days=len(days))
    return len(days)


def rebuild(since: date | None = None, *, lower: bool = False, progress: Callable[[date], None] | None = None) -> int:
    """Add up every day from ``since`` (from the first on) again; how many days. Waits for a run that is at work.

    What happened beside conversations is never lowered, but where ``lower`` says so.
    """
    with transaction.atomic():
        state = _locked_state(wait=True)
        assert state is not None
        zone, now = reporting_zone(), timezone.now()
        days = [day for day in _all_days(zone, now) if since is None or day >= since]
        if since is None or state.time_zone != zone.key:
            days = _all_days(zone, now)
            _forget_all()
        if since is None and lower:
            Occurrence.objects.all().delete()
        _add_up(days, zone, progress, lower=lower)
        _count_until(state, zone, max(now, state.counted_until or now))
    log.info("rollups.rebuilt", days=len(days))
    return len(days)


def _locked_state(*, wait: bool) -> RollupState | None:
    RollupState.objects.bulk_create([RollupState(pk=1)], ignore_conflicts=True)
    return RollupState.objects.select_for_update(skip_locked=not wait).filter(pk=1).first()


def _count_until(state: RollupState, zone: ZoneInfo, until: datetime) -> None:
    state.counted_until, state.time_zone = until, zone.key
    state.save()


def _forget_all() -> None:
    for model in (Usage, FAQUsage, People, Cohort):
        model._default_manager.all()._raw_delete("default")


def _all_days(zone: ZoneInfo, now: datetime) -> list[date]:
    """From the first on which anything was said or begun, or that the rollups know, to the last, or today."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN)
        known = [at.astimezone(zone).date() for at in cursor.fetchone() if at]
    today = now.astimezone(zone).date()
    first, last = min([*known, today]), max([*known, today])
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _changed_days(since: datetime, zone: ZoneInfo, now: datetime) -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, {"since": since})
        days = {at.astimezone(zone).date() for (at,) in cursor.fetchall()}
    today = now.astimezone(zone).date()
    again = AGAIN_DAYS if since.astimezone(zone).date() < today else 0  # the first run of a day
    return sorted(days | {today - timedelta(days=number) for number in range(again + 1)})


class Span(NamedTuple):
    """A day, week or month: its first day, and the first one after it."""

    first: date
    after: date


def between(first: date, after: date, zone: ZoneInfo) -> dict[str, Any]:
    """Parameters of SQL for the days from ``first`` up to ``after``."""
    return {"start": start_of(first, zone), "end": start_of(after, zone), "zone": zone.key}


def span_of(grain: str, day: date) -> Span:
    """The span of that grain that ``day`` is in. Weeks begin on Mondays."""
    if grain == Grain.DAY:
        return Span(day, day + timedelta(days=1))
    if grain == Grain.WEEK:
        first = day - timedelta(days=day.weekday())
        return Span(first, first + timedelta(days=7))
    first = day.replace(day=1)
    return Span(first, (first + timedelta(days=32)).replace(day=1))


def _add_up(
    days: Sequence[date], zone: ZoneInfo, progress: Callable[[date], None] | None, *, lower: bool = False
) -> None:
    """A month at a time, so that what is held at once is bounded."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
    for _month, those in groupby(sorted(days), key=lambda day: (day.year, day.month)):
        of_month = list(those)
        for run in _runs(of_month):
            count_days(between(run[0], run[-1] + timedelta(days=1), zone))
        _count_longer(of_month, zone)
        if progress:
            progress(of_month[-1])
    count_occurrences(between(days[0], days[-1] + timedelta(days=1), zone), lower=lower)


def _runs(days: Sequence[date]) -> Iterator[list[date]]:
    """Those that follow each other."""
    for _key, run in groupby(enumerate(days), key=lambda each: each[1].toordinal() - each[0]):
        yield [day for _number, day in run]


def _count_longer(days: Sequence[date], zone: ZoneInfo) -> None:
    """The weeks and the month that ``days`` of one month are in, and the people of all of them."""
    spans = {grain: sorted({span_of(grain, day) for day in days}) for grain in (Grain.DAY, Grain.WEEK, Grain.MONTH)}
    weeks, (month,) = spans[Grain.WEEK], spans[Grain.MONTH]
    sum_weeks(between(weeks[0].first, weeks[-1].after, zone))
    sum_months(between(month.first, month.after, zone))
    first, after = min(month.first, weeks[0].first), max(month.after, weeks[-1].after)
    starts = {grain.value: [start_of(span.first, zone) for span in each] for grain, each in spans.items()}
    count_people(between(first, after, zone), starts)


def mark_stale(times: Iterable[datetime]) -> None:
    """Have the hours of ``times`` added up again by the next run. In the caller's transaction."""
    hours = {at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) for at in times}
    StaleHour.objects.bulk_create(StaleHour(hour=hour) for hour in sorted(hours))
