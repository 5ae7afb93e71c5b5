"""Counts people from the facts, for each day, week and month: they cannot be added up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from analytics.facts import FIRST_BEGUN, SAID
from analytics.models import Cohort, Grain, People

_PERSONS = "count(DISTINCT number), count(DISTINCT number) FILTER (WHERE first >= start)"
_COUNT = f"""
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT date_trunc('day', at, %(zone)s) AS day, persona, version, model, language, channel, person,
               role = 'user' AS asks
        FROM ({SAID}) said
    ),
    came AS MATERIALIZED (
        SELECT person, row_number() OVER () AS number, {FIRST_BEGUN.format(person="person")} AS first
        FROM (SELECT DISTINCT person FROM asked) each
    ),
    active AS MATERIALIZED (
        {
    " UNION ALL ".join(
        f"SELECT DISTINCT '{grain}' AS grain, date_trunc('{grain}', day, %(zone)s) AS start, persona, version, "
        f"model, language, channel, number, asks, first FROM asked JOIN came USING (person) "
        f"WHERE date_trunc('{grain}', day, %(zone)s) = ANY(%({grain})s)"
        for grain in (Grain.DAY.value, Grain.WEEK.value, Grain.MONTH.value)
    )
}
    ),
    counted AS (
        INSERT INTO analytics_people (grain, start, persona, language, channel, version, model, active, new)
        SELECT grain, start, persona, CASE WHEN grouping(language) = 0 THEN language ELSE '*' END,
               CASE WHEN grouping(channel) = 0 THEN channel ELSE '*' END, NULL::uuid, '*', {_PERSONS}
        FROM active WHERE asks GROUP BY grain, start, CUBE (persona, language, channel)
        UNION ALL
        SELECT grain, start, NULL, '*', '*', version, '*', {_PERSONS}
        FROM active WHERE asks AND version IS NOT NULL GROUP BY grain, start, version
        UNION ALL
        SELECT grain, start, NULL, '*', '*', NULL, model, {_PERSONS} FROM active GROUP BY grain, start, model
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
