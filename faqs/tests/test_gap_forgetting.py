"""Somebody's questions are taken out of the gaps: their words, and what was made of them."""

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType

from accounts.models import Consent
from accounts.privacy import consents
from accounts.tests.factories import agree, make_user
from chatbot_project.lib.ids import uuid7
from faqs.gap_forgetting import forget_questions
from faqs.gaps import record_gap_question, refresh_gap_vectors
from faqs.models import Gap, GapQuestion
from faqs.tests.factories import make_faq, make_index

pytestmark = pytest.mark.django_db


def record(text: str, person=None) -> Gap:
    found = record_gap_question(text=text, language="en", source="below_floor", source_id=uuid7(), person=person)
    assert found is not None
    return found.gap


def test_a_gap_goes_with_its_last_question() -> None:
    person = agree(make_user())
    record("Where is the moon base?", person)
    assert forget_questions(person) == 1
    assert not Gap.objects.exists()
    assert forget_questions(person) == 0


def test_a_gap_of_several_takes_the_words_and_the_vector_of_the_others() -> None:
    make_faq(question="Where is the office?")
    make_index()
    person, other = agree(make_user()), agree(make_user())
    record("How do I reset my secret PIN?", person)
    record("How do I reset my secret PIN?", person)
    gap = record("How do I reset my secret PIN", other)
    assert (Gap.objects.count(), gap.count) == (1, 3)
    assert forget_questions(person) == 2
    gap.refresh_from_db()
    assert (gap.question, gap.count, gap.vector) == ("How do I reset my secret PIN", 1, None)
    assert GapQuestion.objects.get().person == other
    assert refresh_gap_vectors() == 1


def test_one_call_takes_them_out_of_one_gap() -> None:
    person = agree(make_user())
    record("Where is the moon base?", person)
    record("May I bring my dog to lunch?", person)
    assert [forget_questions(person) for _ in range(3)] == [1, 1, 0]


def test_what_the_admin_noted_of_the_gap_goes_too() -> None:
    person, editor = agree(make_user()), make_user()
    gap = record("Where is the moon base?", person)
    kind = ContentType.objects.get_for_model(Gap)
    LogEntry.objects.create(
        user=editor, content_type=kind, object_id=str(gap.pk), object_repr=str(gap), action_flag=CHANGE
    )
    forget_questions(person)
    assert not LogEntry.objects.exists()


def test_others_questions_stay() -> None:
    record("Where is the moon base?", agree(make_user()))
    assert forget_questions(make_user()) == 0
    assert Gap.objects.get().count == 1


def test_without_consent_nothing_is_kept_and_a_withdrawal_takes_out_what_was() -> None:
    person, other = make_user(), agree(make_user())
    assert record_gap_question(text="A?", language="en", source="below_floor", source_id=uuid7(), person=person) is None
    agree(person)
    record("Where is the moon base?", person)
    record("May I bring my dog to lunch?", other)
    consents.decide(user=person, purpose="improvement", granted=False, version=1, source=Consent.Source.PAGE)
    assert [each.person for each in GapQuestion.objects.all()] == [other]
    assert Gap.objects.get().question == "May I bring my dog to lunch?"
    assert record_gap_question(text="A?", language="en", source="below_floor", source_id=uuid7(), person=person) is None
