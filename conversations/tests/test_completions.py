"""A conversation that a program holds itself: stored whole with its question, exactly once, in no list unless asked."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from accounts.models import RetentionPolicy, User
from chatbot_project.lib.errors import ApplicationError
from conversations import completions, doorbell
from conversations.completions import Asking, Key, ask_whole, find_asked
from conversations.models import Conversation, Message
from conversations.replies.prompt import Turn
from conversations.replies.work import take_up
from conversations.services import MAX_LIVE_REPLIES, Accepted
from conversations.transcript import read_transcript
from personas.models import Persona

from .factories import ask, make_persona

pytestmark = pytest.mark.django_db

HISTORY = (
    Turn("user", "Hi"),
    Turn("assistant", "Hello!"),
    Turn("user", "Who are you?"),
    Turn("assistant", "A helper."),
)
KEY = Key("v1-key", "v1-key-and-body")


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which doorbells rang."""
    heard: list[str] = []
    monkeypatch.setattr(doorbell, "ring_workers", lambda: heard.append("workers"))
    monkeypatch.setattr(doorbell, "tell_user", lambda *_said, reply_waits: heard.append(f"tabs, workers {reply_waits}"))
    return heard


@pytest.fixture
def complete(owner: User, persona: Persona) -> Callable[..., Accepted]:
    def call(question: str = "What for?", *, key: Key | None = None, user: User = owner, slug: str = "", **more: Any):
        return ask_whole(user=user, persona_slug=slug or persona.slug, asking=Asking(question, **more), key=key)

    return call


def refusal(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ApplicationError) as refused:
        call()
    return refused.value.code, refused.value.status


def test_what_was_said_elsewhere_is_stored_as_a_branch_and_the_question_waits(
    complete: Callable[..., Accepted], owner: User, persona: Persona
) -> None:
    accepted = complete(history=HISTORY, instructions=" Rhyme. ", max_tokens=50, metadata={"case": "7"})
    stored = Conversation.objects.get()
    assert (stored.owner, stored.persona_version, stored.title) == (owner, persona.published, "Hi")
    assert (stored.instructions, stored.metadata, stored.active_leaf_id) == ("Rhyme.", {"case": "7"}, accepted.reply.pk)
    shown = read_transcript(stored).messages
    assert [(m.role, m.status, m.text) for m in shown] == [
        ("user", "sent", "Hi"), ("assistant", "completed", "Hello!"),
        ("user", "sent", "Who are you?"), ("assistant", "completed", "A helper."),
        ("user", "sent", "What for?"), ("assistant", "queued", ""),
    ]  # fmt: skip
    assert [m.parent for m in shown] == [None, *(m.id for m in shown[:-1])]
    assert sorted(shown, key=lambda m: m.created_at) == shown
    ((claim, work),) = take_up("w", {"fake": 5}, 0, 8.0)
    assert work.turns == [*HISTORY, Turn("user", "What for?")]
    assert (claim.reply, work.instructions, work.max_tokens, work.in_passing) == (accepted.reply.pk, "Rhyme.", 50, True)


def test_it_is_kept_for_a_day_in_no_list_and_only_workers_hear_of_it(
    complete: Callable[..., Accepted], owner: User, rung: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        complete()
    kept = Conversation.objects.get()
    assert timedelta(hours=23) < kept.expires_at - timezone.now() <= timedelta(days=1)
    assert not Conversation.objects.visible_to(owner).listed().exists()
    assert (kept.metadata, kept.instructions) == (None, None)
    assert rung == ["workers"]


def test_one_that_is_to_be_stored_is_a_conversation_as_any(
    complete: Callable[..., Accepted], owner: User, rung: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        accepted = complete(store=True, history=HISTORY)
    assert list(Conversation.objects.visible_to(owner).listed()) == [accepted.conversation]
    assert rung == ["tabs, workers True"]


def test_it_costs_two_statements_and_one_for_a_history_however_long(
    complete: Callable[..., Accepted], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(2 + 2):  # and the savepoint, which is the transaction here
        complete()
    with django_assert_num_queries(3 + 2):
        complete(history=HISTORY * 50)
    assert Message.objects.count() == 2 + 202


def test_a_talk_may_begin_with_the_assistant(complete: Callable[..., Accepted]) -> None:
    accepted = complete(history=[Turn("assistant", "Welcome!")])
    assert accepted.conversation.title == "What for?"
    assert [m.role for m in read_transcript(accepted.conversation).messages] == ["assistant", "user", "assistant"]


def test_a_persona_that_is_not_for_this_person_is_absent(complete: Callable[..., Accepted]) -> None:
    hidden = make_persona(visibility="staff")
    for slug in (hidden.slug, "nobody"):
        assert refusal(lambda slug=slug: complete(slug=slug)) == ("not_found", 404)
    assert not Conversation.objects.exists()


def test_what_cannot_be_asked_is_refused(complete: Callable[..., Accepted], owner: User, persona: Persona) -> None:
    assert refusal(lambda: complete(" \u202e\n")) == ("empty_text", 400)
    for _ in range(MAX_LIVE_REPLIES):
        ask(owner)
    assert refusal(complete) == ("too_many_replies", 429)


def test_instructions_have_to_leave_room_for_the_question(complete: Callable[..., Accepted]) -> None:
    tight = make_persona(context_budget=400).slug
    assert complete(slug=tight, instructions="x" * 300)
    assert refusal(lambda: complete(slug=tight, instructions="x" * 1200)) == ("context_length_exceeded", 400)
    assert refusal(lambda: complete("y" * 1200, slug=tight, instructions="x" * 300))[0] == "context_length_exceeded"
    knowing = make_persona(context_budget=700, faq_mode="context").slug
    assert refusal(lambda: complete(slug=knowing, instructions="x" * 300))[0] == "context_length_exceeded"
    assert complete("y" * 1200, slug=tight), "a question alone always goes, as everywhere"


def test_the_same_key_gives_the_same_reply(complete: Callable[..., Accepted], owner: User, other: User) -> None:
    first = complete(key=KEY)
    again = complete(key=KEY)
    assert (again.again, again.reply.pk, again.question.pk) == (True, first.reply.pk, first.question.pk)
    found = find_asked(user=owner, key=KEY)
    assert found is not None
    assert found.reply.pk == first.reply.pk
    assert find_asked(user=other, key=KEY) is None
    assert complete(key=KEY, user=other).reply.pk != first.reply.pk
    assert Message.objects.filter(owner=owner).count() == 2


def test_a_key_with_another_request_is_refused(complete: Callable[..., Accepted]) -> None:
    complete(key=KEY)
    assert refusal(lambda: complete("Other?", key=Key(KEY.client_id, "v1-other"))) == ("idempotency_key_reused", 422)
    assert Message.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_same_key_twenty_times_at_once_is_one_reply(complete: Callable[..., Accepted]) -> None:
    start = Barrier(20)

    def ask_once(_number: int) -> Any:
        try:
            start.wait(30)
            return complete(key=KEY, history=HISTORY).reply.pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        replies = set(pool.map(ask_once, range(20)))
    assert len(replies) == 1
    assert Conversation.objects.count() == 1
    assert Message.objects.count() == 6


def test_texts_are_made_safe_to_store(complete: Callable[..., Accepted]) -> None:
    accepted = complete(
        "a\u202eb", history=[Turn("user", "c\x00d"), Turn("assistant", "e\u2066f")],
        instructions="g\u202eh", metadata={"i\u202ej": "k\x01l"},
    )  # fmt: skip
    texts = set(Message.objects.exclude(text="").values_list("text", flat=True))
    assert texts == {"ab", "cd", "ef"}
    assert (accepted.conversation.instructions, accepted.conversation.metadata) == ("gh", {"ij": "kl"})


def test_nothing_is_left_of_one_that_was_refused_halfway(
    complete: Callable[..., Accepted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_arguments: Any) -> None:
        raise ApplicationError("broken", "Broken.", 503)

    monkeypatch.setattr(completions, "insert_conversation", break_off)
    assert refusal(lambda: complete(history=HISTORY)) == ("broken", 503)
    assert not Message.objects.exists()


def test_what_is_asked_in_passing_is_kept_as_long_as_the_policy_says(complete: Callable[..., Accepted]) -> None:
    RetentionPolicy.objects.create(data_class="passing", days=3)
    left = complete().conversation.expires_at - timezone.now()
    assert timedelta(days=3) - timedelta(minutes=5) < left <= timedelta(days=3)
