"""Figures of one person, counted directly from what was said and what those that are gone have left: rollups know
nobody. Nothing of what was said."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.models import User
from analytics.facts import BEGUN_BY_ONE, SAID_BY_ONE
from analytics.histograms import BUCKET_SQL
from analytics.period import Period
from analytics.totals import By, Totals
from analytics.usage import COUNTERS, HISTOGRAMS, MOST_TURNS, SUMS, TIMES

_POINT = "date_trunc(%(grain)s, at, %(zone)s)"
_SAID = f"""
    SELECT {_POINT} AS point, {", ".join(SUMS.values())}
    FROM ({SAID_BY_ONE}) said GROUP BY GROUPING SETS ((), (point))
"""  # noqa: S608  texts of ours, no input
_BEGUN = f"""
    SELECT {_POINT} AS point, count(*) FROM ({BEGUN_BY_ONE}) begun GROUP BY GROUPING SETS ((), (point))
"""  # noqa: S608
_SPREAD = f"""
    WITH each AS (
        SELECT {_POINT} AS point, kind, {BUCKET_SQL.format(value="seconds")} AS bucket
        FROM ({SAID_BY_ONE}) said
             CROSS JOIN LATERAL (VALUES {", ".join(f"('{kind}', {kind})" for kind in TIMES)}) AS time(kind, seconds)
        WHERE role = 'assistant' AND seconds IS NOT NULL
        UNION ALL
        SELECT {_POINT}, 'turns', least(turns, {MOST_TURNS}) FROM ({BEGUN_BY_ONE}) begun WHERE turns IS NOT NULL
    )
    SELECT point, kind, bucket, count(*) FROM each GROUP BY GROUPING SETS ((kind, bucket), (point, kind, bucket))
"""  # noqa: S608


def read_person(person: User, period: Period, grain: By = By.DAY) -> tuple[Totals, Mapping[datetime, Totals]]:
    """The sums of the whole ``period``, and of each hour, day, week or month in which the person asked or was answered
    anything, by its start (UTC). What models cost is not among them. Three queries."""
    parameters = {
        "start": period.start,
        "end": period.end,
        "zone": period.zone.key,
        "grain": grain.value,
        "owner": person.pk,
    }
    counts: dict[datetime | None, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTERS, 0))
    spread: dict[datetime | None, dict[str, dict[int, int]]] = defaultdict(lambda: {kind: {} for kind in HISTOGRAMS})
    for point, *sums in _rows(_SAID, parameters):
        counts[point] |= zip(SUMS, sums, strict=True)
    for point, number in _rows(_BEGUN, parameters):
        counts[point]["conversations"] = number
    for point, kind, bucket, number in _rows(_SPREAD, parameters):
        spread[point][kind][bucket] = number
    found = {point: Totals(of, spread[point]) for point, of in counts.items()}
    whole = found.pop(None)
    return whole, {point: of for point, of in found.items() if point is not None}


def _rows(sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
