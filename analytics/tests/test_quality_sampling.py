"""Which replies come into the review queue, with what probability, and which never do."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from accounts.models import User
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_guest, make_user
from analytics import tasks
from analytics.quality import sampling
from analytics.quality.models import QualityDraw, QualityItem, Stratum
from analytics.tests.replies import make_item, make_reply
from conversations.models import Citation, Conversation, Feedback, Message
from conversations.safety.models import ModerationItem
from personas.models import Persona
from personas.tests.factories import make_persona

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def drawn_daily(settings: Any) -> None:
    settings.QUALITY_RANDOM, settings.QUALITY_UNSURE, settings.QUALITY_DISLIKED = 10, 5, 5


def test_unless_the_operator_says_how_many_nothing_is_drawn() -> None:
    told = {name: value for name, value in os.environ.items() if not name.startswith("QUALITY_")}
    program = "from django.conf import settings as s; print(s.QUALITY_RANDOM, s.QUALITY_UNSURE, s.QUALITY_DISLIKED)"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=told,
        cwd=django_settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["0", "0", "0"]


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


def drawn(day: date = DAY, stratum: Stratum = Stratum.RANDOM, seed: int = 1) -> list[Any]:
    sampling.draw(day, stratum, Random(seed))
    field = QualityItem.CHANCES[stratum]
    return list(QualityItem.objects.exclude(**{field: None}).values_list("message", flat=True))


def test_each_reply_of_a_day_is_as_likely_and_remembers_how_likely(owner: User, persona: Persona, settings) -> None:
    settings.QUALITY_RANDOM = 3
    replies = [make_reply(owner, persona, NOON + timedelta(minutes=n)).pk for n in range(10)]
    make_reply(owner, persona, NOON + timedelta(days=1))
    times: Counter[Any] = Counter()
    for seed in range(400):
        times.update(drawn(seed=seed))
        assert set(QualityItem.objects.values_list("chance_random", flat=True)) == {0.3}
        QualityItem.objects.all().delete()
        QualityDraw.objects.all().delete()
    assert set(times) == set(replies)
    # 120 expected, with a standard deviation of 9: beyond five of them is no chance.
    assert all(75 <= count <= 165 for count in times.values())


def test_the_same_day_is_drawn_once(owner: User, persona: Persona) -> None:
    make_reply(owner, persona, NOON)
    assert sampling.draw(DAY, Stratum.RANDOM) == 1
    make_reply(owner, persona, NOON)
    assert sampling.draw(DAY, Stratum.RANDOM) == 0
    assert QualityItem.objects.count() == 1
    assert QualityDraw.objects.get().population == 1


@pytest.mark.django_db(transaction=True)
def test_of_several_who_draw_at_once_one_does(settings) -> None:
    settings.QUALITY_RANDOM = 5
    owner, persona = make_user(), make_persona()
    for number in range(20):
        make_reply(owner, persona, NOON + timedelta(minutes=number))

    def half_drawn() -> None:
        QualityDraw.objects.create(day=DAY, stratum=Stratum.UNSURE, population=0, drawn=0)
        QualityDraw.objects.create(day=DAY, stratum=Stratum.RANDOM, population=0, drawn=0).delete()

    results = at_a_lock(4, half_drawn, lambda _n: sampling.draw(DAY, Stratum.RANDOM))
    assert sorted(results) == [0, 0, 0, 5]
    assert QualityItem.objects.count() == 5


def test_a_reply_that_two_strata_draw_is_one_item_with_both_chances(owner: User, persona: Persona) -> None:
    reply = make_reply(owner, persona, NOON)
    Feedback.objects.create(message=reply, value=-1)
    Feedback.objects.update(updated_at=NOON + timedelta(days=3))
    assert drawn() == [reply.pk]
    assert drawn(DAY, Stratum.DISLIKED) == []  # it was disliked later
    assert drawn(DAY + timedelta(days=3), Stratum.DISLIKED) == [reply.pk]
    item = QualityItem.objects.get()
    assert item.day == DAY
    assert item.strata == [Stratum.RANDOM, Stratum.DISLIKED]


def test_unsure_are_replies_whose_best_source_is_a_poor_one(owner: User, persona: Persona) -> None:
    sure, unsure, without, unknown, plain = (
        make_reply(owner, persona, NOON, source=source) for source in ("model", "model", "model", "unknown", None)
    )
    for reply, scores in ((sure, [0.4, 0.9]), (unsure, [0.55, 0.6])):
        for number, score in enumerate(scores, 1):
            Citation.objects.create(message=reply, number=number, question="?", score=score)
    assert set(drawn(stratum=Stratum.UNSURE)) == {unsure.pk, without.pk}
    assert unknown.pk != plain.pk


def paused(reply: Message) -> None:
    User.objects.filter(pk=reply.owner_id).update(restricted_at=timezone.now())


def suspended(reply: Message) -> None:
    User.objects.filter(pk=reply.owner_id).update(is_active=False)


def deleted(reply: Message) -> None:
    Conversation.objects.filter(pk=reply.conversation_id).update(deleted_at=timezone.now())


def passing(reply: Message) -> None:
    Conversation.objects.filter(pk=reply.conversation_id).update(expires_at=timezone.now() + timedelta(days=1))


def held_back(reply: Message) -> None:
    ModerationItem.objects.create(message=reply, owner=reply.owner, action="block", category="other")


def question_flagged(reply: Message) -> None:
    assert reply.parent is not None
    ModerationItem.objects.create(message=reply.parent, owner=reply.owner, action="flag", category="other")


def unfinished(reply: Message) -> None:
    Message.objects.filter(pk=reply.pk).update(status="stopped")


def empty(reply: Message) -> None:
    Message.objects.filter(pk=reply.pk).update(text="")


@pytest.mark.parametrize(
    "why",
    [paused, suspended, deleted, passing, held_back, question_flagged, unfinished, empty],
    ids=lambda f: f.__name__,
)
def test_what_may_not_be_shown_is_not_drawn(why: Any, persona: Persona, owner: User, other: User) -> None:
    reply, shown = make_reply(owner, persona, NOON), make_reply(other, persona, NOON)
    assert set(sampling.reviewable()) == {reply, shown}
    why(reply)
    assert drawn() == [shown.pk]


def test_what_is_older_than_conversations_are_kept_is_not_drawn(persona: Persona, owner: User, settings) -> None:
    make_reply(owner, persona, NOON)
    settings.RETENTION_CONTENT_DAYS = 1
    assert drawn() == []


def test_guests_are_drawn_only_where_the_operator_says_so(persona: Persona, settings) -> None:
    reply = make_reply(make_guest(), persona, NOON)
    assert not sampling.reviewable().exists()
    settings.QUALITY_GUESTS = True
    assert drawn() == [reply.pk]


def test_the_task_draws_days_that_are_over_and_makes_up_for_missed_ones(
    owner: User, persona: Persona, settings
) -> None:
    settings.QUALITY_UNSURE = settings.QUALITY_DISLIKED = 0
    now = timezone.now()
    for days in range(6):
        make_reply(owner, persona, now - timedelta(days=days))
    tasks.sample_replies()
    tasks.sample_replies()
    last = (now - timedelta(hours=1)).date() - timedelta(days=1)
    days = [last - timedelta(days=back) for back in range(3)]
    assert sorted(QualityDraw.objects.values_list("day", flat=True)) == sorted(days)
    assert set(QualityItem.objects.values_list("day", flat=True)) <= set(days)
    assert QualityItem.objects.count() >= 2


def test_nothing_is_drawn_where_the_sizes_are_zero(owner: User, persona: Persona, settings) -> None:
    settings.QUALITY_RANDOM = settings.QUALITY_UNSURE = settings.QUALITY_DISLIKED = 0
    make_reply(owner, persona, timezone.now() - timedelta(days=1))
    tasks.sample_replies()
    assert not QualityDraw.objects.exists()


def test_the_queue_lets_go_of_what_is_old_or_gone(owner: User, persona: Persona) -> None:
    now = timezone.now()
    old = make_item(make_reply(owner, persona, now - timedelta(days=40)))
    gone = make_item(make_reply(owner, persona, now))
    QualityItem.objects.filter(pk=gone.pk).update(message=None)
    verdict = make_item(make_reply(owner, persona, now - timedelta(days=50)), state="settled", verdict="yes")
    fresh = make_item(make_reply(owner, persona, now))
    assert sampling.clear_queue(now) == 2
    assert set(QualityItem.objects.all()) == {verdict, fresh}
    assert old.pk not in QualityItem.objects.values_list("pk", flat=True)
