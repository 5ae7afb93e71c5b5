"""Counts people from the facts, for each day, week and month: they cannot be added up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import Any

from django.db import connection

from analytics.facts import BEGUN_BY_ALL, SAID
from analytics.models import Cohort, Grain, People

_SPANS = "grain, start"
_TOLD = [told for size in range(4) for told in combinations(("persona", "language", "channel"), size)]
_SETS = ", ".join(f"({', '.join([_SPANS, 'number', 'is_new', *told])})" for told in [*_TOLD, ("version",)])
_PERSONS = "count(*), count(*) FILTER (WHERE is_new)"
_COUNT = f"""
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT date_trunc('day', at, %(zone)s) AS day, persona, version, model, language, channel, person,
               role = 'user' AS asks
        FROM ({SAID}) said
    ),
    came AS MATERIALIZED (
        SELECT person, row_number() OVER () AS number, min(at) AS first
        FROM (SELECT DISTINCT person FROM asked) each LEFT JOIN ({BEGUN_BY_ALL}) begun USING (person) GROUP BY person
    ),
    active AS MATERIALIZED (
        SELECT *, first >= start AS is_new FROM ({
    " UNION ALL ".join(
        f"SELECT DISTINCT '{grain}' AS grain, date_trunc('{grain}', day, %(zone)s) AS start, persona, version, "
        f"model, language, channel, number, asks, first FROM asked JOIN came USING (person) "
        f"WHERE date_trunc('{grain}', day, %(zone)s) = ANY(%({grain})s)"
        for grain in (Grain.DAY.value, Grain.WEEK.value, Grain.MONTH.value)
    )
}) each
    ),
    told AS (
        SELECT {_SPANS}, is_new, persona, CASE WHEN grouping(language) = 0 THEN language ELSE '*' END AS language,
               CASE WHEN grouping(channel) = 0 THEN channel ELSE '*' END AS channel, version,
               grouping(version) = 0 AS by_version
        FROM active WHERE asks GROUP BY GROUPING SETS ({_SETS})
    ),
    counted AS (
        INSERT INTO analytics_people ({_SPANS}, persona, language, channel, version, model, active, new)
        SELECT {_SPANS}, persona, language, channel, version, '*', {_PERSONS}
        FROM told WHERE NOT by_version OR version IS NOT NULL
        GROUP BY {_SPANS}, persona, language, channel, version, by_version
        UNION ALL
        SELECT {_SPANS}, NULL, '*', '*', NULL, model, {_PERSONS}
        FROM (SELECT DISTINCT {_SPANS}, model, number, is_new FROM active) each GROUP BY {_SPANS}, model
    )
    INSERT INTO analytics_cohort (grain, began, start, people)
    SELECT grain, date_trunc(grain, first, %(zone)s), start, count(DISTINCT number)
    FROM active WHERE asks AND grain <> 'day' GROUP BY 1, 2, 3
"""  # noqa: S608  texts of ours, no input


def count_people(span: Mapping[str, Any], starts: Mapping[str, Sequence[datetime]]) -> None:
    """Count those of the days, weeks and months that begin at ``starts`` (by grain), all of them from ``start`` to
    ``end``."""
    for grain, begun in starts.items():
        for model in (People, Cohort):
            model._default_manager.filter(grain=grain, start__in=begun)._raw_delete("default")
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {**span, **{grain: list(begun) for grain, begun in starts.items()}})
