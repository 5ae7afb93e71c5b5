"""Reads rollups: sums of a range of days, by whatever they are grouped by and narrowed to. Figures are made of them in
metrics.py."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from analytics.cuboids import DIMENSIONS, smallest
from analytics.histograms import Histogram
from analytics.models import Grain, People, Price
from analytics.period import Period, start_of
from analytics.rollups import span_of
from analytics.usage import COUNTERS, HISTOGRAMS


@dataclass(frozen=True, slots=True)
class Filters:
    """What figures are narrowed to; None is all. A persona's or a version's id, "provider/name", ISO 639-1 ("" is not
    known), a channel."""

    persona: UUID | None = None
    version: UUID | None = None
    model: str | None = None
    language: str | None = None
    channel: str | None = None

    @property
    def given(self) -> Mapping[str, Any]:
        named = {name: getattr(self, name) for name in ("persona", "version", "model", "language", "channel")}
        return {name: value for name, value in named.items() if value is not None}


EVERYTHING = Filters()


class By(StrEnum):
    """What figures can be grouped by: one key for each start (aware, UTC), id, name or code; or hour of the week
    ((weekday from 0 for Monday) * 24 + hour, as the clock shows it), of which only ``questions`` are known."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    HOUR_OF_WEEK = "hour_of_week"
    PERSONA = "persona"
    VERSION = "version"
    MODEL = "model"
    LANGUAGE = "language"
    CHANNEL = "channel"


class Cost(NamedTuple):
    """In the currency of the price list. ``unknown`` tokens are of models without a price."""

    exact: Decimal = Decimal(0)
    estimated: Decimal = Decimal(0)  # of tokens that the provider did not count itself
    unknown: int = 0


NO_COST = Cost()


class Persons(NamedTuple):
    """``daily``: people active on each day, added up. ``new``: those that began their first conversation on one of
    them. ``weekly``, ``monthly``: those active in the week and the month of the range's last day."""

    days: int = 0
    daily: int = 0
    new: int = 0
    weekly: int = 0
    monthly: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """What is summed up of one group. ``counts`` has every name of COUNTERS (see By.HOUR_OF_WEEK), ``histograms`` every
    one of HISTOGRAMS. ``happened`` are numbers by name and label of occurrences.py, of the whole range alone, as are
    ``persons``."""

    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    histograms: Mapping[str, Histogram] = field(default_factory=lambda: {kind: {} for kind in HISTOGRAMS})
    cost: Cost = NO_COST
    persons: Persons | None = None
    happened: Mapping[tuple[str, str], int] | None = None

    def __getattr__(self, name: str) -> int:
        try:
            return self.counts[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def replies(self) -> int:
        """Those that have ended."""
        return self.completed + self.stopped + self.interrupted + self.failed

    def happened_of(self, name: str, *labels: str) -> int | None:
        """How often; of all labels where none is given. None where only conversations are counted."""
        if self.happened is None:
            return None
        return sum(
            number for (of, label), number in self.happened.items() if of == name and (not labels or label in labels)
        )


def keys_of(at: str) -> Mapping[By, str]:
    """SQL for the key by which each groups rows whose time is in the column ``at``."""
    clock = f"({at} AT TIME ZONE %(zone)s)"
    return {
        By.HOUR_OF_WEEK: f"((extract(isodow FROM {clock})::int - 1) * 24 + extract(hour FROM {clock})::int)",
        **{grain: f"date_trunc('{grain}', {at}, %(zone)s)" for grain in (By.HOUR, By.DAY, By.WEEK, By.MONTH)},
        **{dimension: dimension.value for dimension in (By.PERSONA, By.VERSION, By.MODEL, By.LANGUAGE, By.CHANNEL)},
    }


_KEYS = keys_of("start")
_SUMS = ", ".join(f"sum({name})::bigint" for name in COUNTERS)
_SPREAD = " UNION ALL ".join(
    f"SELECT key, '{kind}', array_agg(b), array_agg(n) FROM (SELECT key, b, sum(n)::bigint AS n FROM chosen "  # noqa: S608
    f"CROSS JOIN LATERAL unnest({kind}_buckets, {kind}_counts) AS h(b, n) GROUP BY key, b) each GROUP BY key"
    for kind in HISTOGRAMS
)
# The nearest line of the price list: of the model itself before one of its provider's, then the newest.
_COST = """
    WITH used AS MATERIALIZED (
        SELECT {key} AS key, model, (start AT TIME ZONE %(zone)s)::date AS day,
               sum(prompt_tokens - prompt_estimated) AS prompt,
               sum(completion_tokens - completion_estimated) AS completion,
               sum(prompt_estimated) AS prompt_estimated, sum(completion_estimated) AS completion_estimated
        FROM analytics_usage WHERE {where} AND prompt_tokens + completion_tokens > 0
        GROUP BY 1, 2, 3
    ),
    priced AS MATERIALIZED (
        SELECT model, day, p.prompt AS per_prompt, p.completion AS per_completion
        FROM (SELECT DISTINCT model, day FROM used) each JOIN LATERAL (
            SELECT prompt, completion FROM analytics_price
            WHERE model IN (each.model, split_part(each.model, '/', 1) || '/*') AND valid_from <= each.day
            ORDER BY model = each.model DESC, valid_from DESC LIMIT 1
        ) p ON true
    )
    SELECT key, sum(prompt * per_prompt + completion * per_completion) / 1000000,
           sum(prompt_estimated * per_prompt + completion_estimated * per_completion) / 1000000,
           sum(CASE WHEN per_prompt IS NULL
               THEN prompt + completion + prompt_estimated + completion_estimated ELSE 0 END)::bigint
    FROM used LEFT JOIN priced USING (model, day)
    GROUP BY key
"""


def read_totals(period: Period, filters: Filters = EVERYTHING) -> Totals:
    """Of the whole of ``period``, people and occurrences included."""
    whole = _grouped(period, filters, None).get(None, Totals())
    return Totals(whole.counts, whole.histograms, whole.cost, _persons(period, filters), _happened(period, filters))


def read_groups(period: Period, by: By, filters: Filters = EVERYTHING) -> Mapping[Any, Totals]:
    """The groups in which anything was counted, by their key. At most four queries."""
    if by == By.HOUR_OF_WEEK:
        asked = _grouped(period, filters, None).get(None, Totals()).histograms["asked"]
        return {hour: Totals({"questions": number}) for hour, number in sorted(asked.items())}
    return _grouped(period, filters, by)


def read_keys(period: Period, by: By, filters: Filters = EVERYTHING) -> list[Any]:
    """Of ``read_groups``, the keys alone, which cost less. One query."""
    if by == By.HOUR_OF_WEEK:
        return list(read_groups(period, by, filters))
    where, parameters = _chosen(period, by, filters)
    return [key for (key,) in _rows(f"SELECT DISTINCT {_KEYS[by]} FROM analytics_usage WHERE {where}", parameters)]  # noqa: S608


def read_tokens_by_model(period: Period, grain: By) -> Mapping[tuple[str, datetime], int]:
    """Tokens that each model read and wrote in each day, week or month of the whole organisation. One query."""
    where, parameters = _chosen(period, grain, EVERYTHING, priced=True)
    rows = _rows(
        f"SELECT model, {_KEYS[grain]}, sum(prompt_tokens + completion_tokens)::bigint FROM analytics_usage "  # noqa: S608
        f"WHERE {where} AND model <> '' GROUP BY 1, 2",
        parameters,
    )
    return {(model, start): tokens for model, start, tokens in rows if tokens}


def _grouped(period: Period, filters: Filters, by: By | None) -> Mapping[Any, Totals]:
    key = "NULL::text" if by is None else _KEYS[by]
    where, parameters = _chosen(period, by, filters)
    counts = _rows(f"SELECT {key} AS key, {_SUMS} FROM analytics_usage WHERE {where} GROUP BY 1", parameters)  # noqa: S608
    spread = _rows(
        f"WITH chosen AS (SELECT {key} AS key, * FROM analytics_usage WHERE {where}) {_SPREAD}",  # noqa: S608
        parameters,
    )
    histograms: dict[Hashable, dict[str, dict[int, int]]] = defaultdict(lambda: {kind: {} for kind in HISTOGRAMS})
    for of, kind, buckets, numbers in spread:
        histograms[of][kind] = dict(zip(buckets, numbers, strict=True))
    where, parameters = _chosen(period, By.DAY if by == By.WEEK else by, filters, priced=True)
    cost = _rows(_COST.format(key=key, where=where), parameters)
    costs = {of: Cost(exact or Decimal(0), estimated or Decimal(0), unknown) for of, exact, estimated, unknown in cost}
    return {
        of: Totals(dict(zip(COUNTERS, sums, strict=True)), histograms[of], costs.get(of, NO_COST))
        for of, *sums in counts
    }


def _chosen(period: Period, by: By | None, filters: Filters, *, priced: bool = False) -> tuple[str, dict[str, Any]]:
    """As SQL, the rows to be read, and its parameters. ``priced``: they tell models apart, and months in which a price
    changes are told by days."""
    told = {*filters.given, *({by.value} if by in DIMENSIONS else ()), *({"model"} if priced else ())}
    where, more = _rows_of(period, by, told, _price_changes(period) if priced else ())
    narrowed = "".join(f" AND {name} = %({name})s" for name in filters.given)
    return f"({where}){narrowed}", {**_bounds(period), **filters.given, **more}


_WITHIN = "start >= %(start)s AND start < %(end)s"


def _bounds(period: Period) -> dict[str, Any]:
    return {"start": period.start, "end": period.end, "zone": period.zone.key}


def _rows_of(
    period: Period, by: By | None, told: set[str], apart: Sequence[datetime] = ()
) -> tuple[str, Mapping[str, Any]]:
    """As SQL, the rows that make up ``period`` and tell apart what is ``told``, as few as can be: hours or days where
    these are asked for, else weeks or months where they are whole and days at both ends; and its parameters. Of the
    months that begin at ``apart``, days."""
    if by == By.HOUR:
        return f"grain = 'hour' AND cuboid = {smallest('hour', told)} AND {_WITHIN}", {}
    days = f"grain = 'day' AND cuboid = {smallest('day', told)}"
    longer = Grain.WEEK if by == By.WEEK else Grain.MONTH
    cuboid = smallest(longer, told)
    first, end = span_of(longer, period.first), span_of(longer, period.last + timedelta(days=1)).first
    begin = first.first if first.first == period.first else first.after
    if by == By.DAY or cuboid is None or begin >= end:
        return f"{days} AND {_WITHIN}", {}
    where = (
        f"grain = '{longer}' AND cuboid = {cuboid} AND start >= %(whole)s AND start < %(rest)s{{but}}"
        f" OR {days} AND (start >= %(start)s AND start < %(whole)s OR start >= %(rest)s AND start < %(end)s{{and_}})"
    )
    but = and_ = ""
    if apart:
        but = " AND start <> ALL(%(apart)s)"
        and_ = f" OR {_WITHIN} AND date_trunc('{longer}', start, %(zone)s) = ANY(%(apart)s)"
    return where.format(but=but, and_=and_), {
        "whole": start_of(begin, period.zone),
        "rest": start_of(end, period.zone),
        "apart": list(apart),
    }


def _price_changes(period: Period) -> Sequence[datetime]:
    """Where the months begin in the midst of which a price changes."""
    days = Price.objects.filter(valid_from__range=(period.first, period.last)).values_list("valid_from", flat=True)
    return [start_of(month, period.zone) for month in {day.replace(day=1) for day in days if day.day > 1}]


def people_by(period: Period, grain: str, filters: Filters = EVERYTHING) -> Mapping[datetime, tuple[int, int]]:
    """How many were active, and how many of them new, in each day, week or month that begins in ``period``. Empty
    where ``filters`` name a model or a version: by these, people count only to judge what is shown (persons.py)."""
    return {row.start: (row.active, row.new) for row in _people(period.start, period.end, [grain], filters)}


def _people(start: datetime, end: datetime, grains: Sequence[str], filters: Filters) -> Sequence[People]:
    if filters.model is not None or filters.version is not None:
        return []
    return list(
        People.objects.filter(
            grain__in=grains,
            start__gte=start,
            start__lt=end,
            persona=filters.persona,
            language=People.ALL if filters.language is None else filters.language,
            channel=People.ALL if filters.channel is None else filters.channel,
            version=None,
            model=People.ALL,
        )
    )


def _persons(period: Period, filters: Filters) -> Persons | None:
    if filters.model is not None or filters.version is not None:
        return None
    days = people_by(period, Grain.DAY, filters).values()
    last = {}
    for grain in (Grain.WEEK, Grain.MONTH):
        start = start_of(span_of(grain, period.last).first, period.zone)
        last[grain] = sum(row.active for row in _people(start, start + timedelta(seconds=1), [grain], filters))
    return Persons(
        days=len(period.days),
        daily=sum(active for active, _new in days),
        new=sum(new for _active, new in days),
        weekly=last[Grain.WEEK],
        monthly=last[Grain.MONTH],
    )


def _happened(period: Period, filters: Filters) -> Mapping[tuple[str, str], int] | None:
    """Nothing of it is known by persona, model, language or channel."""
    if filters.given:
        return None
    rows = _rows(
        "SELECT name, label, sum(number)::bigint FROM analytics_occurrence"
        " WHERE start >= %(start)s AND start < %(end)s GROUP BY name, label",
        {"start": period.start, "end": period.end},
    )
    return {(name, label): number for name, label, number in rows}


def _rows(sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def before(period: Period) -> Period:
    """The period of the same length that ends where ``period`` begins."""
    length = period.last - period.first + timedelta(days=1)
    return Period(period.first - length, period.first - timedelta(days=1), period.zone)


def last_days(number: int, today: date, zone: Any) -> Period:
    """``number`` days up to ``today``, which counts so far."""
    return Period(today - timedelta(days=number - 1), today, zone)
