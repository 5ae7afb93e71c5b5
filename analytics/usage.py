"""Adds up what was said (facts.py) into Usage: hours from the facts, days from hours, weeks and months from days."""

from collections.abc import Mapping
from typing import Any

from django.db import connection

from analytics.cuboids import CUBOID_SQL, DIMENSIONS, EVERYTHING, SUMMED, grouping_sets
from analytics.facts import BEGUN, CITED, SAID
from analytics.histograms import BUCKET_SQL

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
    "from_cache": "count(*) FILTER (WHERE cached)",
}  # fmt: skip
COUNTERS = ("conversations", *SUMS)
#: Of replies, as they come from the facts; of conversations, whose bucket is the number itself; and when questions were
#: asked, whose bucket is the hour of the week ((weekday from 0 for Monday) * 24 + hour, as the clock shows it).
TIMES = ("first_token", "whole", "waited")
HISTOGRAMS = (*TIMES, "turns", "asked")
MOST_TURNS = 1000

_NIL = "'00000000-0000-0000-0000-000000000000'::uuid"  # in place of NULL, which no join finds
_DIMENSIONS = ", ".join(DIMENSIONS)
_TOLD = ", ".join(
    f"coalesce({name}, {_NIL if name in ('persona', 'version') else repr('')}) AS {name}" for name in DIMENSIONS
)
_KEY = f"start, cuboid, {_DIMENSIONS}"
_CLOCK = "start AT TIME ZONE %(zone)s"
_HOUR_OF_WEEK = f"(extract(isodow FROM {_CLOCK})::int - 1) * 24 + extract(hour FROM {_CLOCK})::int"
_ARRAYS = ", ".join(f"{kind}_{part}" for kind in HISTOGRAMS for part in ("buckets", "counts"))
_PACKED = ",\n           ".join(
    f"coalesce(array_agg({column}) FILTER (WHERE kind = '{kind}'), '{{}}') AS {kind}_{part}"
    for kind in HISTOGRAMS
    for part, column in (("buckets", "bucket"), ("counts", "number"))
)


def _inserted(rows: str) -> str:
    """SQL that makes rows of Usage of what ``rows`` have in ``summed`` (a row for each key, its sums) and in ``spread``
    (key, kind, bucket, number)."""
    arrays = ", ".join(f"coalesce({kind}_{part}, '{{}}')" for kind in HISTOGRAMS for part in ("buckets", "counts"))
    return f"""
    INSERT INTO analytics_usage (grain, {_KEY}, {", ".join(COUNTERS)}, {_ARRAYS})
    WITH {rows},
    packed AS (
        SELECT {_KEY}, {_PACKED} FROM spread GROUP BY {_KEY}
    )
    SELECT %(grain)s, start, cuboid, nullif(persona, {_NIL}), nullif(version, {_NIL}), model, language, channel,
           {", ".join(COUNTERS)}, {arrays}
    FROM summed LEFT JOIN packed USING ({_KEY})
"""  # noqa: S608  texts of ours, no input


_FROM_FACTS = _inserted(
    f"""
    said AS MATERIALIZED (
        SELECT date_trunc('hour', at, %(zone)s) AS start, {EVERYTHING} AS cuboid, {_TOLD}, role, status, source,
               prompt_tokens, completion_tokens, usage_estimated, feedback, commented, handed_over, fell_back, cached,
               {", ".join(TIMES)}
        FROM ({SAID}) said
    ),
    begun AS MATERIALIZED (
        SELECT date_trunc('hour', at, %(zone)s) AS start, {EVERYTHING} AS cuboid, {_TOLD}, turns
        FROM (SELECT *, '' AS model FROM ({BEGUN}) each) begun
    ),
    counted AS (
        SELECT {_KEY}, 0 AS conversations, {", ".join(f"{sql} AS {name}" for name, sql in SUMS.items())}
        FROM said GROUP BY {_KEY}
        UNION ALL
        SELECT {_KEY}, count(*), {", ".join("0" for _ in SUMS)} FROM begun GROUP BY {_KEY}
    ),
    summed AS (
        SELECT {_KEY}, {", ".join(f"sum({name}) AS {name}" for name in COUNTERS)} FROM counted GROUP BY {_KEY}
    ),
    spread AS (
        SELECT {_KEY}, kind, {BUCKET_SQL.format(value="seconds")} AS bucket, count(*) AS number
        FROM said CROSS JOIN LATERAL
             (VALUES {", ".join(f"('{kind}', {kind})" for kind in TIMES)}) AS time(kind, seconds)
        WHERE role = 'assistant' AND seconds IS NOT NULL
        GROUP BY {_KEY}, kind, bucket
        UNION ALL
        SELECT {_KEY}, 'turns', least(turns, {MOST_TURNS}), count(*)
        FROM begun WHERE turns IS NOT NULL GROUP BY {_KEY}, least(turns, {MOST_TURNS})
        UNION ALL
        SELECT {_KEY}, 'asked', {_HOUR_OF_WEEK}, count(*) FROM said WHERE role = 'user' GROUP BY {_KEY}
    )"""  # noqa: S608  texts of ours, no input
)


def _from_finer(cuboid: str, told: str, grouped: str, chosen: str = "true") -> str:
    """SQL that sums the ``chosen`` rows of ``%(finer)s`` into those of ``%(grain)s``, ``grouped`` by what ``cuboid``
    and ``told`` select."""
    each = " UNION ALL ".join(
        f"SELECT start, {_DIMENSIONS}, cuboid, '{kind}' AS kind, b AS bucket, n AS number "  # noqa: S608
        f"FROM finer CROSS JOIN LATERAL unnest({kind}_buckets, {kind}_counts) AS h(b, n)"
        for kind in HISTOGRAMS
    )
    return _inserted(
        f"""
    finer AS MATERIALIZED (
        SELECT date_trunc(%(grain)s, start, %(zone)s) AS start, cuboid, {_TOLD}, {", ".join(COUNTERS)}, {_ARRAYS}
        FROM analytics_usage
        WHERE grain = %(finer)s AND start >= %(start)s AND start < %(end)s AND {chosen}
    ),
    summed AS (
        SELECT start, {cuboid} AS cuboid, {told}, {", ".join(f"sum({name}) AS {name}" for name in COUNTERS)}
        FROM finer GROUP BY start{grouped}
    ),
    spread AS (
        SELECT start, {cuboid} AS cuboid, {told}, kind, bucket, sum(number) AS number
        FROM ({each}) each GROUP BY start{grouped}, kind, bucket
    )"""  # noqa: S608
    )


_ALL = f"cuboid = {EVERYTHING}"
_ALIKE = _from_finer("cuboid", _DIMENSIONS, f", cuboid, {_DIMENSIONS}", "cuboid = ANY(%(cuboids)s)")
_CUBOIDS = {
    grain: _from_finer(CUBOID_SQL, _TOLD, f", {grouping_sets(SUMMED[grain])}", _ALL) for grain in ("day", "month")
}
_FAQS = f"""
    INSERT INTO analytics_faqusage (start, faq, cited, direct, helpful, not_helpful)
    SELECT date_trunc('day', at, %(zone)s), faq, count(*), count(*) FILTER (WHERE source IN ('faq', 'faq_offline')),
           count(*) FILTER (WHERE feedback = 1), count(*) FILTER (WHERE feedback = -1)
    FROM ({CITED}) cited GROUP BY 1, 2
"""  # noqa: S608


def count_days(span: Mapping[str, Any]) -> None:
    """Add up the hours and the days from ``start`` to ``end`` (those of ``zone``), and what FAQs did on them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM analytics_usage WHERE grain IN ('hour', 'day') AND start >= %(start)s AND start < %(end)s",
            span,
        )
        cursor.execute("DELETE FROM analytics_faqusage WHERE start >= %(start)s AND start < %(end)s", span)
        cursor.execute(_FROM_FACTS, {**span, "grain": "hour"})
        cursor.execute(_ALIKE, {**span, "grain": "day", "finer": "hour", "cuboids": [EVERYTHING]})
        cursor.execute(_CUBOIDS["day"], {**span, "grain": "day", "finer": "day"})
        cursor.execute(_FAQS, span)


def sum_weeks(span: Mapping[str, Any]) -> None:
    """Add up the weeks from ``start`` to ``end``, which are whole ones, from their days."""
    _sum_days("week", span, SUMMED["week"])


def sum_months(span: Mapping[str, Any]) -> None:
    """The same of months."""
    _sum_days("month", span, [EVERYTHING])
    with connection.cursor() as cursor:
        cursor.execute(_CUBOIDS["month"], {**span, "grain": "month", "finer": "month"})


def _sum_days(grain: str, span: Mapping[str, Any], cuboids: list[int]) -> None:
    parameters = {**span, "grain": grain, "finer": "day", "cuboids": cuboids}
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM analytics_usage WHERE grain = %(grain)s AND start >= %(start)s AND start < %(end)s", parameters
        )
        cursor.execute(_ALIKE, parameters)
