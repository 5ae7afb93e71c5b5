"""Mood and topic as pages show them: sums of what counting.py keeps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.postgres.aggregates import BoolOr
from django.db.models import F, QuerySet, Sum
from django.utils.translation import gettext as _

from analytics.moods.models import Mood, MoodWeek
from analytics.moods.sentiment import Sentiment
from analytics.pages.asking import persona_names
from analytics.period import Period
from faqs.categories import category_paths

Numbers = Mapping[Sentiment, int]
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Row:
    """How many conversations of one kind sounded like what. ``is_rest``: of several kinds together."""

    label: str
    numbers: Numbers
    is_rest: bool = False

    @property
    def total(self) -> int:
        return sum(self.numbers.values())

    @property
    def counts(self) -> list[int]:
        """In the order of ``Sentiment``."""
        return [self.numbers.get(each, 0) for each in Sentiment]

    def share(self, sentiment: Sentiment) -> float | None:
        """Of those whose mood is told; None where there is none."""
        told = self.total - self.numbers.get(Sentiment.UNKNOWN, 0)
        return self.numbers.get(sentiment, 0) / told if told else None


@dataclass(frozen=True, slots=True)
class Moods:
    """Of the weeks that ``period`` touches. ``weeks`` holds those that were counted, by their first day."""

    weeks: Mapping[date, Numbers]
    topics: Sequence[Row]
    personas: Sequence[Row]
    total: Row
    has_samples: bool
    has_demo: bool


def read_moods(period: Period, persona: UUID | None = None) -> Moods:
    """Those of one persona, or of all. Six queries."""
    counted = list(weeks_of(period))
    moods = moods_of(period, persona)
    summed = _summed(moods, "week__start")
    by_week: dict[datetime, Numbers] = {week.start: summed.get(week.start, {}) for week in counted}
    paths = category_paths()
    by_topic = _summed(moods, "topic")
    topics = [Row(topic_label(topic, paths), numbers, topic is None) for topic, numbers in by_topic.items()]
    by_persona = _summed(moods, "persona")
    names = persona_names({each for each in by_persona if each is not None})
    personas = [
        Row(names[each] if each else _("several personas together"), numbers, each is None)
        for each, numbers in by_persona.items()
    ]
    return Moods(
        weeks={start.astimezone(period.zone).date(): numbers for start, numbers in by_week.items()},
        topics=_most_first(topics),
        personas=_most_first(personas),
        total=Row(_("all"), _total(by_week.values())),
        has_samples=any(week.is_sample for week in counted),
        has_demo=any(week.is_demo for week in counted),
    )


class Week(NamedTuple):
    """What was counted of a week: of a sample, and of made-up conversations too, or alone."""

    start: datetime
    is_sample: bool
    is_demo: bool


def weeks_of(period: Period) -> Iterator[Week]:
    """The counted ones that ``period`` touches, oldest first. One query."""
    weeks = _touching(period).values("start").annotate(sample=BoolOr("is_sample"), demo=BoolOr("is_demo"))
    return (Week(*row) for row in weeks.order_by("start").values_list("start", "sample", "demo"))


def moods_of(period: Period, persona: UUID | None) -> QuerySet[Mood]:
    """What these weeks consist of, of one persona or of all."""
    moods = Mood.objects.filter(week__in=_touching(period))
    return moods if persona is None else moods.filter(persona=persona)


def numbers_of(period: Period, persona: UUID | None) -> list[tuple[datetime, UUID | None, UUID | None, str, int]]:
    """Week, persona, topic, sentiment and how many conversations: each of them once. One query."""
    of = ("week__start", "persona", "topic", "sentiment")
    rows = moods_of(period, persona).values(*of).annotate(number=Sum("conversations"))
    return list(rows.order_by(*of).values_list(*of, "number"))


def _touching(period: Period) -> QuerySet[MoodWeek]:
    return MoodWeek.objects.filter(start__gt=period.start - WEEK, start__lt=period.end)


def topic_label(topic: UUID | None, paths: Mapping[UUID, Sequence[Any]]) -> str:
    """A category's name below those of the ones above it."""
    if topic is None:
        return _("other topics")
    return " › ".join(category.name for category in paths[topic]) if topic in paths else _("a topic that was removed")


def _summed(moods: QuerySet[Mood], field: str) -> dict[Any, dict[Sentiment, int]]:
    found: dict[Any, dict[Sentiment, int]] = {}
    rows = moods.values(key=F(field)).values_list("key", "sentiment", Sum("conversations"))
    for key, sentiment, number in rows:
        found.setdefault(key, {})[Sentiment(sentiment)] = number
    return found


def _total(of: Iterable[Numbers]) -> Numbers:
    total = dict.fromkeys(Sentiment, 0)
    for numbers in of:
        for sentiment, number in numbers.items():
            total[sentiment] += number
    return total


def _most_first(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.is_rest, -row.total, row.label))


def read_rows(period: Period, persona: UUID | None = None) -> Iterator[tuple[date, str, str, str, int]]:
    """Every number of these weeks, with the names of what it is of: week, persona, topic, sentiment, conversations."""
    rows = numbers_of(period, persona)
    paths = category_paths()
    names = persona_names({row[1] for row in rows if row[1] is not None})
    for start, of, topic, sentiment, number in rows:
        label = names[of] if of else _("several personas together")
        yield start.astimezone(period.zone).date(), label, topic_label(topic, paths), sentiment, number
