"""What the assistant did not know, and what people found not helpful, lands in the editors' list: once, redacted."""

from collections.abc import Iterator

import pytest
from celery import current_app as app
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import User
from accounts.tests.factories import agree, make_user
from conversations import services, tasks
from conversations.models import Citation, Feedback, Message
from conversations.replies import background
from conversations.replies.queue import Ending
from conversations.replies.work import claim_of, load_work
from faqs.models import GapQuestion
from faqs.tests.factories import make_faq
from personas.models import Persona

from .factories import end, make_exchange

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """Tasks run where they are queued."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.fixture
def owner(db: None) -> User:
    return agree(make_user())


def noted() -> list[tuple[str, str]]:
    return sorted(GapQuestion.objects.values_list("source", "text"))


def after(reply: Message, source: str) -> None:
    background.after_reply(load_work([claim_of(reply)])[reply.pk], Ending("completed", "x", source=source), 0)


@pytest.mark.parametrize(("source", "count"), [("unknown", 1), ("model", 0), ("faq", 0), ("faq_offline", 0), ("", 0)])
def test_only_what_was_not_known_is_noted_when_a_reply_ends(
    owner: User, persona: Persona, source: str, count: int
) -> None:
    reply = make_exchange(owner, "Do you sell kayaks?", persona=persona).reply
    work = load_work([claim_of(reply)])[reply.pk]
    assert background.is_due(work, Ending("completed", "x", source=source), 0) == bool(count)
    after(reply, source)
    assert GapQuestion.objects.count() == count


def test_a_reply_is_noted_once_and_without_personal_data(owner: User, persona: Persona) -> None:
    reply = make_exchange(owner, "Do you sell kayaks to jane.doe@example.com?", persona=persona).reply
    for _ in range(2):
        after(reply, "unknown")
    found = GapQuestion.objects.get()
    assert (found.source, found.source_id, found.person) == ("below_floor", reply.pk, owner)
    assert "kayaks" in found.text
    assert "jane" not in found.text


def test_a_thumb_down_is_noted_with_the_faq_that_was_shown(owner: User, persona: Persona) -> None:
    reply = make_exchange(owner, "Where is my invoice?", persona=persona).reply
    faq = make_faq("Where is page seven?")
    Citation.objects.create(message=reply, faq=faq, number=1, question=faq.question, score=0.7)
    for value in (1, -1, 0, -1):
        services.give_feedback(user=owner, message_id=reply.pk, value=value)
    assert noted() == [("thumbs_down", "Where is my invoice?")]
    assert GapQuestion.objects.get().faq == faq


def test_what_was_lost_with_the_broker_is_made_up_for(owner: User, persona: Persona) -> None:
    unknown = make_exchange(owner, "Do you sell kayaks?", persona=persona).reply
    end(unknown, "I do not know.", source="unknown", finished_at=timezone.now())
    old = make_exchange(owner, "Do you rent bicycles?", persona=persona).reply
    end(old, "I do not know.", source="unknown", finished_at=timezone.now() - 2 * tasks.MISSED_WITHIN)
    disliked = make_exchange(owner, "Where is my invoice?", persona=persona).reply
    Feedback.objects.create(message=disliked, value=-1)
    make_exchange(owner, "What can you do?", persona=persona)
    for _ in range(2):
        tasks.record_missed_gaps()
        assert noted() == [("below_floor", "Do you sell kayaks?"), ("thumbs_down", "Where is my invoice?")]


def test_what_others_asked_or_somebody_asked_before_they_agreed_is_not_made_up_for(
    other: User, persona: Persona
) -> None:
    unknown = make_exchange(other, "Do you sell kayaks?", persona=persona).reply
    end(unknown, "I do not know.", source="unknown", finished_at=timezone.now())
    tasks.record_missed_gaps()
    agree(other)
    tasks.record_missed_gaps()
    assert not GapQuestion.objects.exists()


def test_a_question_that_is_gone_is_not_noted(owner: User, persona: Persona) -> None:
    reply = make_exchange(owner, "Where is my invoice?", persona=persona).reply
    pk = str(reply.pk)
    reply.conversation.delete()
    tasks.record_gap(pk, "below_floor")
    assert not GapQuestion.objects.exists()


def test_without_a_broker_feedback_is_stored_all_the_same(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise OperationalError

    monkeypatch.setattr(tasks.record_gap, "apply_async", away)
    reply = make_exchange(owner, "Where is my invoice?", persona=persona).reply
    services.give_feedback(user=owner, message_id=reply.pk, value=-1)
    after(reply, "unknown")
    reply.refresh_from_db()
    assert reply.feedback.value == -1
    assert not GapQuestion.objects.exists()
