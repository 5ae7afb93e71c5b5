"""Who the demo people are, and on which days each of them comes back. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from random import Random

from analytics.demo.rhythm import WEEKDAYS
from analytics.demo.texts import LANGUAGES

DOMAIN = "demo.invalid"
_FIRST = (
    "anna", "ben", "carla", "david", "emma", "finn", "greta", "hugo", "ida", "jonas", "klara", "leo", "mia",
    "noah", "olga", "paul", "quinn", "rosa", "sam", "tilda", "uwe", "vera", "wim", "xenia", "yara", "zoe",
    "aline", "bas", "camille", "dirk", "elif", "fatma",
)  # fmt: skip
_LAST = (
    "arnold", "becker", "claes", "dubois", "engel", "fischer", "garcia", "haas", "ivanov", "jansen", "keller",
    "lambert", "moreau", "nagel", "okoye", "peters", "rossi", "schmidt", "tanaka", "visser", "weber",
    "yilmaz", "zimmer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Habit:
    """How somebody uses the assistant: conversations on a usual working day, how likely they stay away for good after
    each, and which share of people are so."""

    name: str
    share: float
    a_day: float
    leaves: float


HABITS = (
    Habit("once", 0.33, 0.0, 1.0),
    Habit("now and then", 0.34, 0.22, 0.05),
    Habit("regular", 0.25, 1.3, 0.008),
    Habit("power", 0.08, 5.0, 0.0015),
)


@dataclass(frozen=True, slots=True)
class Person:
    username: str
    email: str
    language: str
    habit: Habit
    consents: bool | None  # to learning from unanswered questions; None: never asked
    days: Sequence[date]  # of their conversations, in order; a day as often as they began one. At least one


def draw_people(count: int, days: Sequence[date], chance: Random) -> list[Person]:
    """``count`` people who come to know the assistant on one of ``days``: some on the first, the others faster and
    faster."""
    names = [f"{first}.{last}" for first, last in product(_FIRST, _LAST)]
    chance.shuffle(names)
    people = []
    for number in range(count):
        name = names[number % len(names)] + (f".{number // len(names) + 1}" if number >= len(names) else "")
        habit = chance.choices(HABITS, [each.share for each in HABITS])[0]
        joined = int(len(days) * (0.0 if chance.random() < 0.12 else chance.random() ** 0.7))
        people.append(
            Person(
                username=f"{name}.demo",
                email=f"{name}@{DOMAIN}",
                language=chance.choices(list(LANGUAGES), list(LANGUAGES.values()))[0],
                habit=habit,
                consents=chance.choices([True, False, None], [0.55, 0.2, 0.25])[0],
                days=_draw_days(habit, days[joined:], chance),
            )
        )
    return people


def _draw_days(habit: Habit, days: Sequence[date], chance: Random) -> list[date]:
    """The first of ``days``, or the working day after it, and those on which they come back until they leave."""
    found = [days[0]]
    if days[0].weekday() >= 5 and len(days) > 2 and chance.random() < 0.7:
        found = [days[2]]
    begun = days.index(found[0])
    if habit.leaves == 1.0:
        return found * chance.choice([1, 1, 1, 2])
    for day in days[begun + 1 :]:
        expected = habit.a_day * WEEKDAYS[day.weekday()]
        times = int(expected) + (chance.random() < expected % 1)
        for _time in range(times):
            found.append(day)
            if chance.random() < habit.leaves:
                return found
    return found
