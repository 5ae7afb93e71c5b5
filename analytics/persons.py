"""How many persons stand behind each cell of a reading, at least. Never more than there were; fewer where it would take
too long to know."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from analytics.facts import SAID
from analytics.models import Grain, People
from analytics.period import Period, start_of
from analytics.rollups import span_of
from analytics.totals import EVERYTHING, By, Filters, keys_of

#: Of a longer period, so many of its days are looked at where people are not counted by what is asked for.
MOST_DAYS = 31

_UNCOUNTED = (By.HOUR, By.HOUR_OF_WEEK)
#: Spans that lie within one of these as a whole.
_WITHIN = {By.DAY: (Grain.DAY,), By.WEEK: (Grain.DAY, Grain.WEEK), By.MONTH: (Grain.DAY, Grain.MONTH)}
_KEYS = keys_of("at")
_COUNT = """
    SELECT {key}, count(DISTINCT person)
    FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS looked_at(first, after)
         CROSS JOIN LATERAL ({said}) said
    WHERE {chosen} GROUP BY 1
"""


def persons_by(period: Period, by: By, filters: Filters = EVERYTHING) -> Mapping[Any, int]:
    """By the keys of ``totals.read_groups``; a key that is missing stands for none. One query."""
    if _is_counted(by, filters):
        return _from_people(period, by, filters)
    return _from_facts(period, by, filters)


def _is_counted(by: By, filters: Filters) -> bool:
    """Whether People has rows of all these cells. Of versions it has those of all personas."""
    narrowed = set(filters.given)
    if by == By.VERSION:
        return narrowed <= {By.PERSONA.value}
    if by == By.MODEL:
        return not narrowed
    return by not in _UNCOUNTED and not narrowed & {By.VERSION.value, By.MODEL.value}


def _from_people(period: Period, by: By, filters: Filters) -> Mapping[Any, int]:
    """The most that were active in any one day, week or month that lies within both the period and the cell."""
    rows = _people(period, by, by, filters)
    if by not in _WITHIN:
        return dict(rows.values_list(by.value).annotate(Max("active")))
    found: dict[Any, int] = defaultdict(int)
    for start, active in rows.values_list("start", "active"):
        key = _cell_of(start, by, period)
        found[key] = max(found[key], active)
    return found


def persons_by_model(period: Period, grain: By) -> Mapping[tuple[str, datetime], int]:
    """By model and day, week or month, of the whole organisation: the most that were active with the model in any one
    day, week or month that lies within both the period and the cell. One query."""
    found: dict[tuple[str, datetime], int] = defaultdict(int)
    for model, start, active in _people(period, grain, By.MODEL, EVERYTHING).values_list("model", "start", "active"):
        cell = model, _cell_of(start, grain, period)
        found[cell] = max(found[cell], active)
    return found


def _cell_of(start: datetime, grain: By, period: Period) -> datetime:
    return start_of(span_of(grain, start.astimezone(period.zone).date()).first, period.zone)


def _people(period: Period, within: By, by: By, filters: Filters) -> QuerySet[People]:
    """Of the days, weeks and months that lie within the period, all that is to come of it included, and within each of
    ``within``; told apart ``by`` a dimension."""
    today = timezone.now().astimezone(period.zone).date()
    whole = Q(grain=Grain.DAY)
    for grain in _WITHIN.get(within, (Grain.DAY, Grain.WEEK, Grain.MONTH))[1:]:
        last = span_of(grain, period.last + timedelta(days=1)).first
        ended = Q() if period.last >= today else Q(start__lt=start_of(last, period.zone))
        whole |= Q(grain=grain) & ended
    rows = People.objects.filter(whole, start__gte=period.start, start__lt=period.end)
    given = {} if by == By.VERSION else filters.given
    every = {"persona": None, "version": None, "model": People.ALL, "language": People.ALL, "channel": People.ALL}
    for name, all_of_it in every.items():
        wanted = given.get(name, all_of_it)
        if by.value == name and name not in given:
            rows = rows.exclude(**{name: all_of_it})
        else:
            rows = rows.filter(**{name: wanted})
    return rows


def _from_facts(period: Period, by: By, filters: Filters) -> Mapping[Any, int]:
    """Counted from the rows themselves, of ``_days_of`` the period."""
    spans = _days_of(period, by)
    sql = _COUNT.format(
        key=_KEYS[by],
        said=SAID % {"start": "looked_at.first", "end": "looked_at.after"},
        chosen=" AND ".join(["true", *(f"{name} = %({name})s" for name in filters.given)]),
    )
    parameters = {
        "starts": [first for first, _after in spans],
        "ends": [after for _first, after in spans],
        "zone": period.zone.key,
        **filters.given,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return dict(cursor.fetchall())


def _days_of(period: Period, by: By) -> Sequence[tuple[datetime, datetime]]:
    """Every day, where each is a cell; else at most MOST_DAYS that are spread over the period and the week."""
    days = list(zip(period.bounds, period.bounds[1:], strict=False))
    if by in (By.HOUR, By.DAY) or len(days) <= MOST_DAYS:
        return days
    step = -(-len(days) // MOST_DAYS)
    return days[:: step + 1 if step % 7 == 0 else step]
