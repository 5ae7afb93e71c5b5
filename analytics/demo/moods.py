"""How the demo's conversations sounded and what they were about, counted week by week as those of real people are.

Nobody of the demo is asked for consent, so no real count holds them: their weeks stand beside the real ones, marked.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings

from accounts.models import User
from analytics.demo.ids import fixed
from analytics.demo.talks import Talk
from analytics.moods.grouping import Cell, Talks, merge_small
from analytics.moods.models import Mood, MoodWeek
from analytics.moods.sentiment import sentiment_of
from analytics.period import start_of
from analytics.suppression import FEWEST_PEOPLE
from faqs.models import Category


def write_weeks(talks: Iterable[Talk], people: Mapping[str, User], now: datetime, zone: ZoneInfo) -> int:
    """Count the weeks that are over; how many numbers that came to."""
    weeks: dict[date, dict[Cell, Talks]] = {}
    for talk in talks:
        day = talk.began_at.astimezone(zone).date()
        cells = weeks.setdefault(day - timedelta(days=day.weekday()), {})
        cells.setdefault(_cell(talk), Talks()).add(Talks({people[talk.person.username].pk}, 1))
    parents = dict(Category.objects.values_list("pk", "parent"))
    rows = []
    for monday, cells in sorted(weeks.items()):
        if start_of(monday + timedelta(days=7), zone) > now:
            continue
        week = MoodWeek.objects.create(
            start=start_of(monday, zone), time_zone=zone.key, is_demo=True, counted_at=now
        )  # fmt: skip
        kept = merge_small(cells, parents, least=FEWEST_PEOPLE)
        rows += [Mood(week=week, **cell._asdict(), conversations=number) for cell, number in kept.items()]
    return len(Mood.objects.bulk_create(rows))


def _cell(talk: Talk) -> Cell:
    questions = [turn.text for turn in talk.turns]
    return Cell(fixed(f"persona:{talk.plan.slug}"), _topic(talk), sentiment_of(questions, talk.person.language))


def _topic(talk: Talk) -> UUID | None:
    """The category of the first approved answer that one of its replies drew on, well enough."""
    for turn in talk.turns:
        for _id, _at, answer in turn.replies:
            if answer.cited is not None and answer.score >= settings.FAQ_FLOOR:
                return fixed(f"category:{answer.cited.category}")
    return None


def remove_weeks() -> None:
    """Those of the demo; what was counted of real people stays."""
    MoodWeek.objects.filter(is_demo=True).delete()
