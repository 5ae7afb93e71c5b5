"""What FAQs did: how often they were used, how well they helped, and which of them want an editor's eye."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.db.models.functions import Trunc
from django.utils import timezone

from analytics.intervals import Z
from analytics.models import FAQUsage
from analytics.period import Period
from analytics.totals import By, Totals
from faqs.models import FAQ, FAQFeedback, Gap, GapQuestion

#: Used, and not looked after for so long: an editor should read it again.
STALE_AFTER: Final = timedelta(days=180)
#: One that is newer may just not have been asked for yet.
SETTLED_AFTER: Final = timedelta(days=30)
SUMS = ("cited", "direct", "helpful", "not_helpful")
_NOTHING = dict.fromkeys((*SUMS, "page_helped", "page_did_not_help"), 0)


class State(StrEnum):
    """Of a published FAQ. ``STALE``: used in these days and last changed long ago. ``NEVER_USED``: by no reply, though
    it was published a while ago."""

    STALE = "stale"
    NEVER_USED = "never-used"
    FINE = ""


class Sort(StrEnum):
    """Which FAQs a list shows, and which of them first."""

    MOST_USED = "most-used"
    LEAST_HELPFUL = "least-helpful"  # those of which it is surest
    STALE = "stale"
    NEVER_USED = "never-used"


class FAQLine(NamedTuple):
    """An FAQ in a list: what it is, when it was last used (None for never), and its sums in these days."""

    id: UUID
    question: str
    language: str
    status: str
    updated_at: datetime
    published_at: datetime | None
    last_used: datetime | None
    totals: Totals

    @property
    def state(self) -> State:
        return state_of(self.status, self.updated_at, self.published_at, self.last_used, self.totals)


def state_of(
    status: str, updated_at: datetime, published_at: datetime | None, last_used: datetime | None, totals: Totals
) -> State:
    if status != FAQ.Status.PUBLISHED:
        return State.FINE
    if last_used is None:
        is_settled = published_at is not None and published_at < timezone.now() - SETTLED_AFTER
        return State.NEVER_USED if is_settled else State.FINE
    return State.STALE if totals.cited and updated_at < timezone.now() - STALE_AFTER else State.FINE


# How sure it is that few are helped: the upper end of Wilson's interval (intervals.py).
_HELPED = f"""
    (helpful / thumbs + {Z**2} / (2 * thumbs)
     + {Z} * sqrt((helpful / thumbs * (1 - helpful / thumbs) + {Z**2} / (4 * thumbs)) / thumbs)) / (1 + {Z**2} / thumbs)
"""
_CHOSEN: Mapping[Sort, tuple[str, str]] = {
    Sort.MOST_USED: ("cited > 0", "cited DESC, direct DESC, question, id"),
    Sort.LEAST_HELPFUL: ("thumbs > 0", f"{_HELPED}, thumbs DESC, question, id"),
    Sort.STALE: (
        "cited > 0 AND status = 'published' AND updated_at < %(stale)s",
        "cited DESC, updated_at, question, id",
    ),
    Sort.NEVER_USED: (
        "status = 'published' AND published_at < %(settled)s"
        " AND NOT EXISTS (SELECT FROM analytics_faqusage u WHERE u.faq = line.id)",
        "published_at, question, id",
    ),
}
_LINES = """
    WITH used AS (
        SELECT faq, sum(cited)::bigint AS cited, sum(direct)::bigint AS direct, sum(helpful)::bigint AS helpful,
               sum(not_helpful)::bigint AS not_helpful
        FROM analytics_faqusage WHERE start >= %(start)s AND start < %(end)s GROUP BY faq
    ),
    line AS (
        SELECT f.id, f.question, f.language, f.status, f.updated_at, f.published_at,
               coalesce(cited, 0) AS cited, coalesce(direct, 0) AS direct, coalesce(helpful, 0) AS helpful,
               coalesce(not_helpful, 0) AS not_helpful,
               coalesce(helpful + not_helpful, 0)::float8 AS thumbs
        FROM faqs_faq f LEFT JOIN used ON used.faq = f.id
    )
"""


def count_faqs(period: Period, sort: Sort) -> int:
    """How many FAQs a list has."""
    chosen, _order = _CHOSEN[sort]
    ((number,),) = _rows(f"{_LINES} SELECT count(*) FROM line WHERE {chosen}", period)  # noqa: S608  texts of ours
    return int(number)


def list_faqs(period: Period, sort: Sort, *, first: int = 0, most: int | None = None) -> Sequence[FAQLine]:
    """The FAQs of a list from ``first`` on (0 is the first), ``most`` of them or all."""
    chosen, order = _CHOSEN[sort]
    rows = _rows(
        f"""{_LINES}, page AS (
            SELECT *, row_number() OVER (ORDER BY {order}) AS place
            FROM line WHERE {chosen} ORDER BY place LIMIT %(most)s OFFSET %(first)s
        )
        SELECT id, question, language, status, updated_at, published_at,
               (SELECT max(u.start) FROM analytics_faqusage u WHERE u.faq = page.id),
               cited, direct, helpful, not_helpful
        FROM page ORDER BY place""",  # noqa: S608  texts of ours
        period,
        first=first,
        most=most,
    )
    return [FAQLine._make((*row[:7], _totals(dict(zip(SUMS, row[7:], strict=True))))) for row in rows]


def read_faq(faq: UUID, period: Period) -> Totals:
    """Its sums: the names of SUMS, and of those who said on its page whether it helped, how many it did and did not."""
    sums = _used(faq, period).aggregate(**{name: Sum(name) for name in SUMS})
    votes = FAQFeedback.objects.filter(faq=faq, created_at__gte=period.start, created_at__lt=period.end).aggregate(
        page_helped=Count("pk", filter=Q(helpful=True)), page_did_not_help=Count("pk", filter=Q(helpful=False))
    )
    return _totals({**sums, **votes})


def read_faq_by(faq: UUID, period: Period, grain: By) -> Mapping[datetime, Totals]:
    """Its sums of each day, week or month in which it was used, by the start of each (UTC)."""
    rows = (
        _used(faq, period)
        .annotate(point=Trunc("start", grain.value, tzinfo=period.zone))
        .values("point")
        .annotate(**{f"all_{name}": Sum(name) for name in SUMS})
        .values_list("point", *(f"all_{name}" for name in SUMS))
    )
    return {point.astimezone(UTC): _totals(dict(zip(SUMS, sums, strict=True))) for point, *sums in rows}


def _used(faq: UUID, period: Period) -> QuerySet[FAQUsage]:
    return FAQUsage.objects.filter(faq=faq, start__gte=period.start, start__lt=period.end)


def last_used(faq: UUID) -> datetime | None:
    """The start of the last day on which a reply cited it."""
    found: datetime | None = FAQUsage.objects.filter(faq=faq).aggregate(last=Max("start"))["last"]
    return found


def gaps_near(faq: UUID, *, most: int = 5) -> Sequence[Gap]:
    """Open gaps of questions which the FAQ was shown for and did not help, and those that it was drafted for; the most
    asked first."""
    near = Q(pk__in=GapQuestion.objects.filter(faq=faq).values("gap")) | Q(faq=faq)
    return list(Gap.objects.filter(near, status__in=[Gap.Status.OPEN, Gap.Status.DRAFTED]).defer("vector")[:most])


def _rows(sql: str, period: Period, **more: Any) -> list[tuple[Any, ...]]:
    bounds = period.bounds
    now = timezone.now()
    times = {"start": bounds[0], "end": bounds[-1], "stale": now - STALE_AFTER, "settled": now - SETTLED_AFTER}
    with connection.cursor() as cursor:
        cursor.execute(sql, {**times, **more})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _totals(sums: Mapping[str, int | None]) -> Totals:
    return Totals({**_NOTHING, **{name: number or 0 for name, number in sums.items()}})
