"""Adds up what is counted (facts.py) into rollups (models.py). Whatever is added up again comes out the same.

A day is the unit of work: its hours are added up from the facts, the day from its hours, the month from its days.
People are counted from the facts for each day, week and month: they cannot be added up. One run at a time: each holds
the lock of the one row of RollupState.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from analytics.facts import BEGUN, CITED, FIRST_BEGUN, SAID
from analytics.histograms import BUCKET_SQL
from analytics.models import Cohort, FAQUsage, Grain, Occurrence, People, RollupState, StaleHour, Usage
from analytics.occurrences import count_occurrences
from analytics.period import start_of

log = structlog.get_logger(__name__)

#: Changes may be committed this long after the time that they bear.
MARGIN = timedelta(minutes=10)
#: Each night, so many days are added up again: what no sign told of is in the figures a day later.
AGAIN_DAYS = 35

DIMENSIONS = ("persona", "version", "model", "language", "channel")
#: SQL over SAID for each sum of Usage.
SUMS = {
    "questions": "count(*) FILTER (WHERE role = 'user')",
    "completed": "count(*) FILTER (WHERE status = 'completed')",
    "stopped": "count(*) FILTER (WHERE status = 'stopped')",
    "interrupted": "count(*) FILTER (WHERE status = 'interrupted')",
    "failed": "count(*) FILTER (WHERE status = 'failed')",
    "live": "count(*) FILTER (WHERE status IN ('queued', 'streaming'))",
    "from_model": "count(*) FILTER (WHERE source = 'model')",
    "from_faq": "count(*) FILTER (WHERE source = 'faq')",
    "from_faq_offline": "count(*) FILTER (WHERE source = 'faq_offline')",
    "unknown": "count(*) FILTER (WHERE source = 'unknown')",
    "prompt_tokens": "coalesce(sum(prompt_tokens), 0)",
    "completion_tokens": "coalesce(sum(completion_tokens), 0)",
    "prompt_estimated": "coalesce(sum(prompt_tokens) FILTER (WHERE usage_estimated), 0)",
    "completion_estimated": "coalesce(sum(completion_tokens) FILTER (WHERE usage_estimated), 0)",
    "helpful": "count(*) FILTER (WHERE feedback = 1)",
    "not_helpful": "count(*) FILTER (WHERE feedback = -1)",
    "comments": "count(*) FILTER (WHERE commented)",
    "handed_over": "count(*) FILTER (WHERE handed_over)",
    "fell_back": "count(*) FILTER (WHERE fell_back)",
}  # fmt: skip
COUNTERS = ("conversations", *SUMS)
#: Of replies, as they come from the facts; and of conversations, whose bucket is the number itself.
TIMES = ("first_token", "whole", "waited")
HISTOGRAMS = (*TIMES, "turns")
MOST_TURNS = 1000

_DIMENSIONS = ", ".join(DIMENSIONS)
_ARRAYS = ", ".join(f"{kind}_{part}" for kind in HISTOGRAMS for part in ("buckets", "counts"))
_PACKED = ",\n           ".join(
    f"coalesce(array_agg({column} ORDER BY bucket) FILTER (WHERE kind = '{kind}'), '{{}}') AS {kind}_{part}"
    for kind in HISTOGRAMS
    for part, column in (("buckets", "bucket"), ("counts", "number"))
)
_INTO = f"INSERT INTO analytics_usage (grain, start, {_DIMENSIONS}, {', '.join(COUNTERS)}, {_ARRAYS})"
_ZEROS = ", ".join(f"coalesce({name}, 0)" for name in COUNTERS)
_EMPTY = ", ".join(f"coalesce({kind}_{part}, '{{}}')" for kind in HISTOGRAMS for part in ("buckets", "counts"))
_SAME = " AND ".join(f"{{left}}.{name} IS NOT DISTINCT FROM {{right}}.{name}" for name in ("start", *DIMENSIONS))

_HOURS = f"""
    {_INTO}
    WITH said AS MATERIALIZED (
        SELECT date_trunc('hour', at, %(zone)s) AS start, * FROM ({SAID}) said
    ),
    begun AS MATERIALIZED (
        SELECT date_trunc('hour', at, %(zone)s) AS start, '' AS model, * FROM ({BEGUN}) begun
    ),
    counted AS (
        SELECT start, {_DIMENSIONS}, 0 AS conversations, {", ".join(f"{sql} AS {name}" for name, sql in SUMS.items())}
        FROM said GROUP BY start, {_DIMENSIONS}
        UNION ALL
        SELECT start, {_DIMENSIONS}, count(*), {", ".join("0" for _ in SUMS)} FROM begun GROUP BY start, {_DIMENSIONS}
    ),
    summed AS (
        SELECT start, {_DIMENSIONS}, {", ".join(f"sum({name}) AS {name}" for name in COUNTERS)}
        FROM counted GROUP BY start, {_DIMENSIONS}
    ),
    spread AS (
        SELECT start, {_DIMENSIONS}, kind, {BUCKET_SQL.format(value="seconds")} AS bucket, count(*) AS number
        FROM said CROSS JOIN LATERAL
             (VALUES {", ".join(f"('{kind}', {kind})" for kind in TIMES)}) AS time(kind, seconds)
        WHERE role = 'assistant' AND seconds IS NOT NULL
        GROUP BY start, {_DIMENSIONS}, kind, bucket
        UNION ALL
        SELECT start, {_DIMENSIONS}, 'turns', least(turns, {MOST_TURNS}), count(*)
        FROM begun WHERE turns IS NOT NULL GROUP BY start, {_DIMENSIONS}, least(turns, {MOST_TURNS})
    ),
    packed AS (
        SELECT start, {_DIMENSIONS}, {_PACKED} FROM spread GROUP BY start, {_DIMENSIONS}
    )
    SELECT 'hour', summed.start, {", ".join(f"summed.{name}" for name in DIMENSIONS)}, {_ZEROS}, {_EMPTY}
    FROM summed LEFT JOIN packed ON {_SAME.format(left="summed", right="packed")}
"""  # noqa: S608  texts of ours, no input
_FOLD = f"""
    {_INTO}
    WITH finer AS MATERIALIZED (
        SELECT *, %(start)s::timestamptz AS whole_start FROM analytics_usage
        WHERE grain = %(finer)s AND start >= %(start)s AND start < %(end)s
    ),
    summed AS (
        SELECT whole_start AS start, {_DIMENSIONS}, {", ".join(f"sum({name}) AS {name}" for name in COUNTERS)}
        FROM finer GROUP BY whole_start, {_DIMENSIONS}
    ),
    spread AS (
        SELECT whole_start AS start, {_DIMENSIONS}, kind, bucket, sum(number) AS number
        FROM ({
    " UNION ALL ".join(
        f"SELECT whole_start, {_DIMENSIONS}, '{kind}' AS kind, b AS bucket, n AS number "
        f"FROM finer CROSS JOIN LATERAL unnest({kind}_buckets, {kind}_counts) AS h(b, n)"
        for kind in HISTOGRAMS
    )
}) each
        GROUP BY whole_start, {_DIMENSIONS}, kind, bucket
    ),
    packed AS (
        SELECT start, {_DIMENSIONS}, {_PACKED} FROM spread GROUP BY start, {_DIMENSIONS}
    )
    SELECT %(grain)s, summed.start, {", ".join(f"summed.{name}" for name in DIMENSIONS)}, {_ZEROS}, {_EMPTY}
    FROM summed LEFT JOIN packed ON {_SAME.format(left="summed", right="packed")}
"""  # noqa: S608
_FAQS = f"""
    INSERT INTO analytics_faqusage (start, faq, cited, direct, helpful, not_helpful)
    SELECT %(start)s, faq, count(*), count(*) FILTER (WHERE source IN ('faq', 'faq_offline')),
           count(*) FILTER (WHERE feedback = 1), count(*) FILTER (WHERE feedback = -1)
    FROM ({CITED}) cited GROUP BY faq
"""  # noqa: S608
_PEOPLE = f"""
    INSERT INTO analytics_people (grain, start, persona, language, channel, active, new)
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT persona, language, channel, person FROM ({SAID}) said WHERE role = 'user'
    ),
    came AS MATERIALIZED (
        SELECT person, {FIRST_BEGUN.format(person="person")} >= %(start)s AS new
        FROM (SELECT DISTINCT person FROM asked) each
    )
    SELECT %(grain)s, %(start)s, persona, CASE WHEN grouping(language) = 0 THEN language ELSE '*' END,
           CASE WHEN grouping(channel) = 0 THEN channel ELSE '*' END,
           count(DISTINCT person), count(DISTINCT person) FILTER (WHERE new)
    FROM asked JOIN came USING (person)
    GROUP BY CUBE (persona, language, channel)
    HAVING count(*) > 0
"""  # noqa: S608
_COHORTS = f"""
    INSERT INTO analytics_cohort (grain, began, start, people)
    WITH asked AS MATERIALIZED (SELECT DISTINCT person FROM ({SAID}) said WHERE role = 'user')
    SELECT %(grain)s, date_trunc(%(grain)s, {FIRST_BEGUN.format(person="person")}, %(zone)s), %(start)s, count(*)
    FROM asked GROUP BY 2
"""  # noqa: S608
_DAYS = """
    SELECT DISTINCT date_trunc('day', at, %(zone)s) FROM (
        SELECT created_at AS at FROM conversations_message
        UNION ALL SELECT created_at FROM conversations_conversation
        UNION ALL SELECT at FROM conversations_tally
        UNION ALL SELECT start FROM analytics_usage WHERE grain = 'day'
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
    """Those on which anything was said or begun, and those that the rollups know; and today."""
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, {"zone": zone.key})
        days = {at.astimezone(zone).date() for (at,) in cursor.fetchall()}
    return sorted(days | {now.astimezone(zone).date()})


def _changed_days(since: datetime, zone: ZoneInfo, now: datetime) -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, {"since": since})
        days = {at.astimezone(zone).date() for (at,) in cursor.fetchall()}
    today = now.astimezone(zone).date()
    again = AGAIN_DAYS if since.astimezone(zone).date() < today else 0  # the first run of a day
    return sorted(days | {today - timedelta(days=number) for number in range(again + 1)})


@dataclass(frozen=True, slots=True)
class Span:
    """A day, week or month: its first day, and the first one after it."""

    grain: str
    first: date
    after: date

    def parameters(self, zone: ZoneInfo) -> dict[str, Any]:
        return {
            "grain": self.grain,
            "start": start_of(self.first, zone),
            "end": start_of(self.after, zone),
            "zone": zone.key,
        }


def span_of(grain: str, day: date) -> Span:
    """The span of that grain that ``day`` is in. Weeks begin on Mondays."""
    if grain == Grain.DAY:
        return Span(grain, day, day + timedelta(days=1))
    if grain == Grain.WEEK:
        first = day - timedelta(days=day.weekday())
        return Span(grain, first, first + timedelta(days=7))
    first = day.replace(day=1)
    return Span(grain, first, (first + timedelta(days=32)).replace(day=1))


def _spans(grain: str, days: Iterable[date]) -> list[Span]:
    return sorted({span_of(grain, day) for day in days}, key=lambda span: span.first)


def _add_up(
    days: Sequence[date], zone: ZoneInfo, progress: Callable[[date], None] | None, *, lower: bool = False
) -> None:
    for span in _spans(Grain.DAY, days):
        _count_day(span.parameters(zone))
        if progress:
            progress(span.first)
    between = {"start": start_of(days[0], zone), "end": start_of(days[-1] + timedelta(days=1), zone), "zone": zone.key}
    count_occurrences(between, lower=lower)
    for span in _spans(Grain.MONTH, days):
        _fold(span.parameters(zone), finer=Grain.DAY)
    for grain in (Grain.DAY, Grain.WEEK, Grain.MONTH):
        for span in _spans(grain, days):
            _count_people(span.parameters(zone))


def _count_day(day: dict[str, Any]) -> None:
    Usage.objects.filter(grain=Grain.HOUR, start__gte=day["start"], start__lt=day["end"])._raw_delete("default")
    _run(_HOURS, day)
    _fold(day, finer=Grain.HOUR)
    FAQUsage.objects.filter(start=day["start"])._raw_delete("default")
    _run(_FAQS, day)


def _fold(span: dict[str, Any], *, finer: str) -> None:
    Usage.objects.filter(grain=span["grain"], start=span["start"])._raw_delete("default")
    _run(_FOLD, {**span, "finer": finer})


def _count_people(span: dict[str, Any]) -> None:
    People.objects.filter(grain=span["grain"], start=span["start"])._raw_delete("default")
    _run(_PEOPLE, span)
    if span["grain"] != Grain.DAY:
        Cohort.objects.filter(grain=span["grain"], start=span["start"])._raw_delete("default")
        _run(_COHORTS, span)


def _run(sql: str, parameters: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def mark_stale(times: Iterable[datetime]) -> None:
    """Have the hours of ``times`` added up again by the next run. In the caller's transaction."""
    hours = {at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) for at in times}
    StaleHour.objects.bulk_create(StaleHour(hour=hour) for hour in sorted(hours))
