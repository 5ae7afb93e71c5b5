"""A question that is being stored in the very moment in which its person's processing is paused."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from accounts import restriction
from accounts.models import User
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_user
from conversations import completions, services
from conversations.models import Conversation, Message

from .factories import ask, make_exchange, make_persona

pytestmark = pytest.mark.django_db(transaction=True)
Way = Callable[[], Any]


@pytest.fixture
def person() -> User:
    return make_user()


@pytest.fixture(params=["a new conversation", "one more question", "an edit", "another reply", "a program's"])
def way(request: pytest.FixtureRequest, person: User) -> Way:
    """One way to have a reply queued, past every gate."""
    persona = make_persona()
    asked = make_exchange(person, persona=persona)
    common = {"user": person, "client_id": str(uuid4())}
    ways: dict[str, Way] = {
        "a new conversation": lambda: services.send_message(**common, text="New?", persona_slug=persona.slug),
        "one more question": lambda: services.send_message(
            **common, text="More?", conversation_id=asked.conversation.pk
        ),
        "an edit": lambda: services.edit_message(**common, message_id=asked.question.pk, text="Else?"),
        "another reply": lambda: services.regenerate_reply(**common, reply_id=asked.reply.pk),
        "a program's": lambda: completions.ask_whole(
            user=person, persona_slug=persona.slug, asking=completions.Asking(question="Program?")
        ),
    }
    return ways[request.param]


def test_what_comes_after_the_pause_is_refused_and_stores_nothing(person: User, way: Way) -> None:
    before = (Conversation.objects.count(), Message.objects.count())

    def store(_number: int) -> str:
        with pytest.raises(restriction.ProcessingRestricted):
            way()
        return "refused"

    assert at_a_lock(1, lambda: restriction.restrict(actor=person, user=person), store) == ["refused"]
    assert (Conversation.objects.count(), Message.objects.count()) == before


def test_what_was_first_is_stored_and_stopped_by_the_pause(person: User, way: Way) -> None:
    at_a_lock(1, way, lambda _number: restriction.restrict(actor=person, user=person))
    assert Message.objects.filter(owner=person, status=Message.Status.STOPPED).count() == 1
    assert not Message.objects.filter(owner=person, status__in=Message.LIVE).exists()


def test_others_are_neither_refused_nor_kept_waiting(person: User) -> None:
    persona = make_persona()
    with transaction.atomic():
        restriction.restrict(actor=person, user=person)
        assert ask(make_user(), persona=persona).reply.status == Message.Status.QUEUED
