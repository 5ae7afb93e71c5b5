"""The conversations of demo people, as trees of turns. Pure: a seed and a day give the same ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from analytics.demo.answers import Answer, Asked, draw_answer
from analytics.demo.ids import uuid7_at
from analytics.demo.people import Person
from analytics.demo.quality import PERSONAS, PersonaPlan
from analytics.demo.rhythm import moment_of
from analytics.demo.texts import Topic, Unanswered, texts

GOES_ON = 0.76  # so likely does another question follow: lengths are geometric
MOST_TURNS = 40
CHANNELS = {"web": 0.86, "api": 0.08, "openai": 0.06}


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its replies: more than one where it was answered anew, of which the last goes on."""

    id: UUID
    at: datetime
    text: str
    gap: Unanswered | None
    replies: Sequence[tuple[UUID, datetime, Answer]]
    is_flagged: bool


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation. ``version`` is the place of its persona's version, from 0."""

    id: UUID
    person: Person
    plan: PersonaPlan
    version: int
    channel: str
    turns: list[Turn] = field(default_factory=list)

    @property
    def began_at(self) -> datetime:
        return self.turns[0].at

    @property
    def last_at(self) -> datetime:
        _id, at, answer = self.turns[-1].replies[-1]
        return at + timedelta(seconds=whole(answer))


def whole(answer: Answer) -> float:
    """Seconds from being queued to the end."""
    return answer.waited + (answer.first_token or 0.0) + answer.writing


def draw_talks(
    people: Sequence[Person], days: Sequence[date], zone: ZoneInfo, until: datetime, chance: Random
) -> Iterator[Talk]:
    """All conversations that ended before ``until``, in the order of their beginning."""
    outages = _draw_outages(days, zone, chance)
    begun = [(moment_of(day, zone, chance), person) for person in people for day in person.days]
    begun.sort(key=lambda each: (each[0], each[1].username))
    for at, person in begun:
        talk = _draw_talk(person, at, days, zone, outages, chance)
        if talk.last_at < until:
            yield talk


def version_of(plan: PersonaPlan, day: date, days: Sequence[date]) -> int:
    """Which of its versions is in force on ``day``: each for an equal part of ``days``."""
    past = max(0, (day - days[0]).days)
    return min(len(plan.versions) - 1, past * len(plan.versions) // len(days))


def _draw_outages(days: Sequence[date], zone: ZoneInfo, chance: Random) -> list[tuple[datetime, datetime]]:
    """An afternoon a month on which the provider is away for some two hours."""
    found = []
    for _month in range(max(1, len(days) // 30)):
        at = moment_of(chance.choice(days), zone, chance)
        found.append((at, at + timedelta(hours=chance.uniform(1, 3))))
    return found


def _draw_talk(
    person: Person,
    at: datetime,
    days: Sequence[date],
    zone: ZoneInfo,
    outages: Sequence[tuple[datetime, datetime]],
    chance: Random,
) -> Talk:
    plan = chance.choices(PERSONAS, [each.share for each in PERSONAS])[0]
    local = at.astimezone(zone)
    version = version_of(plan, local.date(), days)
    channel = "web" if person.habit.name == "once" else chance.choices(list(CHANNELS), list(CHANNELS.values()))[0]
    talk = Talk(uuid7_at(at, chance), person, plan, version, channel)
    outage = any(begin <= at < end for begin, end in outages)
    crowd = 6.0 if outage else 2.5 if local.hour in (9, 10, 11, 14) and local.weekday() < 5 else 1.0
    topic: Topic | None = None
    while len(talk.turns) < MOST_TURNS:
        said, topic, gap = _draw_question(plan, person.language, len(talk.turns), topic, chance)
        if talk.turns:
            said = _draw_feeling(talk.turns[-1].replies[0][2], person.language, chance) + said
        asked = Asked(
            plan, plan.versions[version], person.language, texts().phrases[person.language],
            topic, gap, len(talk.turns), outage, crowd,
        )  # fmt: skip
        talk.turns.append(_draw_turn(asked, said, at, chance))
        if chance.random() > GOES_ON:
            break
        read = chance.lognormvariate(math.log(35), 0.8)
        at = talk.last_at + timedelta(seconds=read)
    return talk


def _draw_question(
    plan: PersonaPlan, language: str, turn: int, topic: Topic | None, chance: Random
) -> tuple[str, Topic | None, Unanswered | None]:
    """The words, the topic that the talk is at, and what there is no answer to."""
    phrases = texts().phrases[language]
    if turn and chance.random() < 0.55:
        return chance.choice(phrases.follow_ups), topic, None
    opener = "" if turn else chance.choice(phrases.openers)
    if not plan.categories:
        return opener + chance.choice(texts().study[language]), None, None
    if chance.random() < 0.07:
        unanswered = texts().unanswered
        gap = chance.choices(unanswered, [each.weight for each in unanswered])[0]
        return opener + chance.choice(gap.asked[language]), None, gap
    topics = [each for each in texts().topics if each.category in plan.categories]
    topic = chance.choices(topics, [each.weight for each in topics])[0]
    return opener + chance.choice(topic.asked[language]), topic, None


def _draw_feeling(last: Answer, language: str, chance: Random) -> str:
    """What is said of the answer before: seldom anything, and more often of one that was judged."""
    helped = {1: 0.95, -1: 0.03}.get(last.value, {"unknown": 0.1, "faq": 0.85}.get(last.source or "", 0.6))
    if last.status == "failed":
        helped = 0.0
    if chance.random() > (0.6 if last.value else 0.12):
        return ""
    phrases = texts().phrases[language]
    return chance.choice(phrases.glad if chance.random() < helped else phrases.annoyed)


def _draw_turn(asked: Asked, said: str, at: datetime, chance: Random) -> Turn:
    replies = [_reply(asked, at + timedelta(milliseconds=2), chance)]
    _id, first_at, first = replies[0]
    is_unsatisfied = first.value < 0 or first.status in {"failed", "interrupted"}
    if is_unsatisfied and chance.random() < 0.3:
        seconds = whole(first) + chance.uniform(3, 20)
        replies.append(_reply(asked, first_at + timedelta(seconds=seconds), chance))
    return Turn(uuid7_at(at, chance), at, said, asked.gap, replies, chance.random() < 0.0008)


def _reply(asked: Asked, at: datetime, chance: Random) -> tuple[UUID, datetime, Answer]:
    return uuid7_at(at, chance), at, draw_answer(asked, chance)
