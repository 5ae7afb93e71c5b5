"""Counting a week's conversations by topic and sentiment, once it is over: of people who agree, on this machine.

Nothing is kept but the numbers. Who agreed is asked before anything is read, and again in the transaction that writes
the numbers: whoever has withdrawn, paused or left by then is in none. No model is asked but the embedded one.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from time import monotonic
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from accounts.audience import visibilities_for
from accounts.models import Consent, Purpose, User
from accounts.privacy.consents import held_by_consent
from accounts.privacy.policies import policy_of
from analytics.moods.grouping import Cell, Talks, merge_small
from analytics.moods.models import Mood, MoodWeek
from analytics.moods.sentiment import sentiment_of
from analytics.moods.topics import topic_of
from analytics.period import Period, start_of
from analytics.suppression import FEWEST_PEOPLE
from conversations.models import Conversation
from faqs.models import Category

log = structlog.get_logger(__name__)

#: Conversations of a week that are looked at, and how long they are; of more, a random sample.
MOST = 20_000
SECONDS = 300.0
BATCH = 200
QUESTIONS = 20  # of a conversation, the first

_READ = """
    SELECT c.id, c.owner_id, v.persona_id, coalesce(c.language, ''),
           ARRAY(SELECT left(m.text, 2000) FROM conversations_message m
                 WHERE m.conversation_id = c.id AND m.role = 'user' ORDER BY m.created_at, m.id LIMIT %(questions)s),
           (SELECT f.category_id
            FROM conversations_message m
            JOIN conversations_citation ci ON ci.message_id = m.id AND ci.score >= %(floor)s
            JOIN faqs_faq f ON f.id = ci.faq_id AND f.category_id IS NOT NULL
            WHERE m.conversation_id = c.id ORDER BY m.created_at, m.id, ci.number LIMIT 1)
    FROM conversations_conversation c JOIN personas_personaversion v ON v.id = c.persona_version_id
    WHERE c.id = ANY(%(ids)s)
"""


class _Talk(NamedTuple):
    id: UUID
    owner: UUID
    persona: UUID
    language: str
    questions: Sequence[str]
    cited: UUID | None  # the category of the first FAQ that a reply drew on


def count_week(period: Period) -> MoodWeek | None:
    """Count the week ``period``, unless it was counted already; None then, and where the operator has this off."""
    start = start_of(period.first, period.zone)
    if not settings.CONVERSATION_INSIGHTS or MoodWeek.objects.filter(start=start, is_demo=False).exists():
        return None
    ids = list(counted_conversations(period).order_by("?").values_list("pk", flat=True)[: MOST + 1])
    cells, is_whole = _cells(ids[:MOST])
    try:
        week = _keep(cells, start=start, period=period, is_sample=len(ids) > MOST or not is_whole)
    except IntegrityError:  # another run was faster
        return None
    log.info("moods.counted", week=start.isoformat(), rows=week.moods.count())
    return week


def counted_conversations(period: Period) -> QuerySet[Conversation]:
    """Those that began in ``period`` by people who agree, and did then; but of nobody whose processing is paused or
    whose account is closed, nor what is deleted, over, or was asked in passing."""
    first, *_, end = period.bounds
    found = Conversation.objects.filter(created_at__gte=first, created_at__lt=end, deleted_at=None, expires_at=None)
    found = found.filter(owner__is_active=True, owner__restricted_at=None).kept()
    return found.filter(held_by_consent(Purpose.INSIGHTS, person="owner", at="created_at"))


def _cells(ids: Sequence[UUID]) -> tuple[dict[UUID, list[Cell]], bool]:
    """What each person's conversations are counted as, and whether all of them were looked at in time."""
    found: dict[UUID, list[Cell]] = {}
    until = monotonic() + SECONDS
    for place in range(0, len(ids), BATCH):
        if monotonic() > until:
            return found, False
        for talk, person in _read(ids[place : place + BATCH]):
            topic = talk.cited or topic_of(
                talk.questions, visibilities=visibilities_for(person), language=talk.language
            )
            cell = Cell(talk.persona, topic, sentiment_of(talk.questions, talk.language))
            found.setdefault(talk.owner, []).append(cell)
    return found, True


def _read(ids: Sequence[UUID]) -> Iterator[tuple[_Talk, User]]:
    """Those that are still there, and somebody asked something in."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"ids": list(ids), "questions": QUESTIONS, "floor": settings.FAQ_FLOOR})
        talks = [_Talk(*row) for row in cursor.fetchall()]
    people = User.objects.in_bulk({talk.owner for talk in talks})
    for talk in talks:
        if talk.questions and talk.owner in people:
            yield talk, people[talk.owner]


@transaction.atomic
def _keep(cells: dict[UUID, list[Cell]], *, start: datetime, period: Period, is_sample: bool) -> MoodWeek:
    """Raises IntegrityError where the week was counted meanwhile."""
    week = MoodWeek.objects.create(start=start, time_zone=period.zone.key, is_sample=is_sample)
    together: dict[Cell, Talks] = {}
    for person in _still_agreeing(cells):
        for cell in cells[person]:
            together.setdefault(cell, Talks()).add(Talks({person}, 1))
    parents = dict(Category.objects.values_list("pk", "parent"))
    kept = merge_small(together, parents, least=FEWEST_PEOPLE)
    Mood.objects.bulk_create(Mood(week=week, **cell._asdict(), conversations=number) for cell, number in kept.items())
    return week


def _still_agreeing(people: Iterable[UUID]) -> list[UUID]:
    """Those of ``people`` who still agree. Their rows are held until the transaction ends: a withdrawal waits, and then
    comes after."""
    held = User.objects.filter(pk__in=list(people), is_active=True, restricted_at=None).order_by("pk")
    there = set(held.select_for_update(no_key=True).values_list("pk", flat=True))
    newest = Consent.objects.filter(purpose=Purpose.INSIGHTS, user__in=there).order_by("user", "-id").distinct("user")
    version = policy_of(Purpose.INSIGHTS).version
    return [each.user_id for each in newest if each.granted and each.version == version]
