"""Questions without a good answer go when their time is over; how often something was asked stays as it was told."""

from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.models import RetentionRun, User
from accounts.retention import holds, policies, runs
from accounts.tasks import expire_guests
from accounts.tests.factories import agree, make_admin, make_guest, make_user
from faqs import gap_tasks, gaps
from faqs.gap_forgetting import drop_questions
from faqs.models import Gap, GapQuestion
from faqs.tests.factories import make_faq, make_index
from faqs.tests.test_gap_forgetting import record

pytestmark = pytest.mark.django_db
WORDS = "How do I reset my secret PIN?"


def age(days: float, *people: User) -> None:
    GapQuestion.objects.filter(person__in=people).update(created_at=timezone.now() - timedelta(days=days))


def planned() -> int:
    return next(each.count for each in runs.plan(timezone.now()) if each.key == "gap_questions")


def test_what_is_over_goes_and_the_count_stays() -> None:
    make_faq(question="Where is the office?")
    make_index()
    early, late = agree(make_user()), agree(make_user())
    record(WORDS, early)
    gap = record("How do I reset my secret PIN", late)
    age(366, early)
    assert planned() == 1
    assert runs.apply().removed == {"gap_questions": 1}
    gap.refresh_from_db()
    assert (gap.question, gap.count, gap.vector) == ("How do I reset my secret PIN", 2, None)
    assert GapQuestion.objects.get().person == late
    gap_tasks.refresh_gaps()
    gap.refresh_from_db()
    assert gap.vector is not None


def test_a_gap_goes_with_its_last_question_and_the_policy_says_when() -> None:
    person = agree(make_user())
    record(WORDS, person)
    age(20, person)
    runs.apply()
    assert Gap.objects.exists()
    policies.set_policy(actor=make_admin(), data_class="question", days=10, reason="x")
    assert planned() == 1
    runs.apply()
    assert not Gap.objects.exists()


def test_what_is_held_stays_and_is_reported() -> None:
    person, other = agree(make_user()), agree(make_user())
    record(WORDS, person)
    record(WORDS, other)
    age(400, person, other)
    holds.place(actor=make_admin(), person=person, reason="court")
    runs.apply()
    assert GapQuestion.objects.get().person == person
    assert RetentionRun.objects.get().kept == {"gap_questions": 1}


def test_a_guest_leaves_no_words_behind_in_a_gap() -> None:
    guest, other = agree(make_guest()), agree(make_user())
    record("How do I reset my secret PIN", other)
    gap = record(WORDS, guest)
    record("Where is the moon base?", guest)
    User.objects.filter(pk=guest.pk).update(last_seen_at=timezone.now() - timedelta(days=30))
    Gap.objects.filter(pk=gap.pk).update(question=WORDS)
    assert expire_guests() == 1
    assert set(Gap.objects.values_list("question", flat=True)) <= {"How do I reset my secret PIN"}
    assert not GapQuestion.objects.filter(person=guest.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_a_gap_that_somebody_is_at_is_left_for_the_next_run() -> None:
    person = agree(make_user())
    gap = record(WORDS, person)
    age(400, person)
    locked, done = Event(), Event()

    def work_on_it() -> None:
        with transaction.atomic():
            Gap.objects.select_for_update().get(pk=gap.pk)
            locked.set()
            done.wait(30)
        connection.close()

    thread = Thread(target=work_on_it)
    thread.start()
    assert locked.wait(10)
    with pytest.raises(OperationalError), transaction.atomic():
        drop_questions([GapQuestion.objects.get().pk])
    found = runs.apply()
    done.set()
    thread.join()
    assert (found.removed, found.skipped) == ({}, {"gap_questions": 1})
    assert runs.apply().removed == {"gap_questions": 1}


def test_vectors_are_made_anew_as_long_as_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    make_faq(question="Where is the office?")
    make_index()
    for text in ("Where is the moon base?", "May I bring my dog to lunch?", WORDS):
        record(text, agree(make_user()))
    Gap.objects.update(vector=None, model=None)
    clock: Any = iter(range(100))
    monkeypatch.setattr(gaps, "monotonic", lambda: next(clock))
    assert gaps.refresh_gap_vectors(seconds=1.5) == 1
    assert gaps.refresh_gap_vectors() == Gap.objects.count() - 1
