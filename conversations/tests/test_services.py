"""Every rule about conversations, at the one place where all surfaces ask for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH, MAX_CACHED_STATEMENT_PARAMS

from accounts.models import User
from accounts.tests.factories import make_guest, make_moderator, make_user
from chatbot_project.lib.correlation import bound
from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.tests.counting import refusals
from conversations import keeping, services, store
from conversations.models import Conversation, Feedback, Message
from personas.models import Persona, PersonaVersion

from .factories import ask, end, make_conversation, make_exchange, make_persona

pytestmark = pytest.mark.django_db


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ApplicationError) as refused:
        call()
    return refused.value.code


def test_a_question_starts_a_conversation_with_the_personas_published_version(owner: User, persona: Persona) -> None:
    accepted = ask(owner, "  What is\nnono? ", persona=persona)
    conversation = Conversation.objects.get()
    assert (conversation.owner, conversation.persona_version) == (owner, persona.published)
    assert (conversation.title, conversation.active_leaf_id) == ("What is nono?", accepted.reply.pk)
    question, reply = Message.objects.order_by("pk")
    assert (question.role, question.status, question.text) == ("user", "sent", "What is\nnono?")
    assert (reply.role, reply.status, reply.text, reply.parent, reply.epoch) == ("assistant", "queued", "", question, 0)
    assert (reply.provider, reply.owner) == ("fake", owner)


def test_a_conversation_keeps_the_version_it_began_with(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner)
    before = conversation.persona_version_id
    newer = PersonaVersion.objects.get(pk=before)
    newer.pk, newer.number, newer._state.adding = None, 2, True
    newer.save()
    Persona.objects.filter(pk=persona.pk).update(published=newer)
    ask(owner, conversation_id=conversation.pk)
    conversation.refresh_from_db()
    assert conversation.persona_version_id == before


@pytest.mark.parametrize("visibility", ["guests", "users", "staff"])
def test_a_persona_is_there_for_whom_it_is_meant(visibility: str) -> None:
    persona = make_persona(visibility=visibility)
    allowed = {"guests": 3, "users": 2, "staff": 1}[visibility]
    people = [make_moderator(), make_user(), make_guest()]
    for person in people[:allowed]:
        assert ask(person, persona=persona).reply.status == "queued"
    for person in people[allowed:]:
        assert code_of(lambda person=person: ask(person, persona=persona)) == "not_found"


def test_without_a_persona_or_with_one_that_is_not_published_nothing_starts(owner: User) -> None:
    assert code_of(lambda: ask(owner)) == "not_found"
    unpublished = make_persona()
    Persona.objects.filter(pk=unpublished.pk).update(published=None)
    assert code_of(lambda: ask(owner, persona=unpublished)) == "not_found"
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u202e\u2066", "\x00"])
def test_a_message_needs_text(owner: User, persona: Persona, text: str) -> None:
    assert code_of(lambda: ask(owner, text)) == "empty_text"
    question = make_exchange(owner).question
    edit = {"user": owner, "client_id": "e", "message_id": question.pk, "text": text}
    assert code_of(lambda: services.edit_message(**edit)) == "empty_text"


def test_the_same_client_id_again_gives_the_same_answer(owner: User, persona: Persona) -> None:
    arguments = {"user": owner, "client_id": "once", "persona_slug": persona.slug}
    first = services.send_message(text="Hello", **arguments)
    end(first.reply)
    for text in ("Hello", "Other words", ""):
        again = services.send_message(text=text, **arguments)
        assert (again.conversation, again.question, again.reply) == (first.conversation, first.question, first.reply)
        assert (first.again, again.again) == (False, True)
    assert again.reply.text == "A reply."
    assert Message.objects.count() == 2
    for repeated in (
        lambda: services.edit_message(user=owner, client_id="edit", message_id=first.question.pk, text="New"),
        lambda: services.regenerate_reply(user=owner, client_id="again", reply_id=first.reply.pk),
    ):
        done = repeated()
        assert repeated().reply == done.reply
        end(done.reply)
        assert repeated().reply == done.reply


def test_two_people_may_use_the_same_client_id(owner: User, other: User, persona: Persona) -> None:
    for person in (owner, other):
        services.send_message(user=person, client_id="1", text="Hi", persona_slug=persona.slug)
    assert Conversation.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_same_client_id_at_once_is_stored_once(owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner)

    def send(number: int) -> tuple[object, object]:
        try:
            target = None if number % 2 else conversation.pk
            sent = services.send_message(
                user=owner, client_id=f"new-{number % 2}", text="Hi", conversation_id=target, persona_slug=persona.slug
            )
            return sent.question.pk, sent.reply.pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(20)))
    assert len(set(answers[::2])) == len(set(answers[1::2])) == 1
    assert Message.objects.count() == 2 + 2 + 2


def test_while_a_reply_is_live_its_branch_waits(owner: User, persona: Persona) -> None:
    accepted = ask(owner)
    mine = {"user": owner, "client_id": "x"}
    refused = [
        lambda: ask(owner, conversation_id=accepted.conversation.pk),
        lambda: services.edit_message(**mine, message_id=accepted.question.pk, text="New"),
        lambda: services.regenerate_reply(**mine, reply_id=accepted.reply.pk),
    ]
    for status in ("queued", "streaming"):
        Message.objects.filter(pk=accepted.reply.pk).update(status=status)
        assert [code_of(call) for call in refused] == ["reply_in_progress"] * 3
    end(accepted.reply)
    assert refused[0]().reply.status == "queued"


def test_a_person_has_a_bounded_number_of_live_replies(owner: User, other: User, persona: Persona) -> None:
    first = make_exchange(owner)
    cut = end(ask(owner).reply, "Half", "interrupted")
    replies = [ask(owner).reply for _ in range(services.MAX_LIVE_REPLIES)]
    mine, before = {"user": owner, "client_id": "x"}, refusals("replies")
    for call in (
        lambda: ask(owner),
        lambda: ask(owner, conversation_id=first.conversation.pk),
        lambda: services.edit_message(**mine, message_id=first.question.pk, text="New"),
        lambda: services.regenerate_reply(**mine, reply_id=first.reply.pk),
        lambda: services.continue_reply(**mine, reply_id=cut.pk),
    ):
        assert code_of(call) == "too_many_replies"
    assert refusals("replies") == before + 5
    assert ask(other).reply.status == "queued"
    end(replies[0])
    assert ask(owner).reply.status == "queued"


def test_a_question_follows_a_reply_of_its_own_conversation(owner: User, persona: Persona) -> None:
    first, second = make_exchange(owner), make_exchange(owner)
    here = {"conversation_id": first.conversation.pk}
    assert code_of(lambda: ask(owner, **here, parent_id=first.question.pk)) == "bad_parent"
    assert code_of(lambda: ask(owner, **here, parent_id=second.reply.pk)) == "not_found"
    assert code_of(lambda: ask(owner, **here, parent_id=uuid4())) == "not_found"
    later = make_exchange(owner, **here)
    branch = ask(owner, **here, parent_id=first.reply.pk)
    assert branch.question.parent_id == later.question.parent_id == first.reply.pk


def test_editing_and_regenerating_branch_and_move_the_active_leaf(owner: User, persona: Persona) -> None:
    first = make_exchange(owner)
    edited = services.edit_message(user=owner, client_id="e", message_id=first.question.pk, text="New words")
    end(edited.reply)
    again = services.regenerate_reply(user=owner, client_id="r", reply_id=edited.reply.pk)
    assert (edited.question.parent_id, again.question) == (first.question.parent_id, edited.question)
    assert again.reply.parent_id == edited.question.pk
    assert Conversation.objects.get().active_leaf_id == again.reply.pk
    assert Message.objects.get(pk=first.question.pk).text == "Hello?"
    wrong = {"user": owner, "client_id": "w"}
    assert code_of(lambda: services.edit_message(**wrong, message_id=first.reply.pk, text="x")) == "not_found"
    assert code_of(lambda: services.regenerate_reply(**wrong, reply_id=first.question.pk)) == "not_found"


@pytest.mark.parametrize(
    ("status", "finish_reason", "allowed"),
    [
        ("interrupted", "", True), ("stopped", "", True), ("completed", "length", True), ("completed", "stop", False),
        ("failed", "", False),
    ],
)  # fmt: skip
def test_only_what_was_cut_goes_on(
    owner: User, persona: Persona, status: str, finish_reason: str, allowed: bool
) -> None:
    reply = end(ask(owner).reply, "Half a", status, finish_reason=finish_reason, error_code="x", stop_requested=True)
    call = {"user": owner, "client_id": "c", "reply_id": reply.pk}
    if not allowed:
        assert code_of(lambda: services.continue_reply(**call)) == "not_continuable"
        return
    for _twice in range(2):
        going_on = services.continue_reply(**call).reply
        assert (going_on.pk, going_on.status, going_on.text) == (reply.pk, "queued", "Half a")
        assert (going_on.stop_requested, going_on.error_code, going_on.finished_at) == (False, "", None)


def test_a_continuation_that_was_asked_for_is_not_made_again_once_it_has_ended(owner: User, persona: Persona) -> None:
    reply = end(ask(owner).reply, "Half a", "interrupted")
    call = {"user": owner, "reply_id": reply.pk}
    services.continue_reply(**call, client_id="c")
    end(reply, "Half a reply", "interrupted", epoch=2)
    again = services.continue_reply(**call, client_id="c")
    assert (again.again, again.reply.status, again.reply.text) == (True, "interrupted", "Half a reply")
    anew = services.continue_reply(**call, client_id="d")
    assert (anew.again, anew.reply.status) == (False, "queued")


def test_a_reply_knows_the_request_that_queued_it_last(owner: User, persona: Persona) -> None:
    with bound(request_id="request-asking"):
        reply = ask(owner).reply
    end(reply, "Half a", "interrupted")
    assert Message.objects.get(pk=reply.pk).request_id == "request-asking"
    with bound(request_id="request-going-on"):
        services.continue_reply(user=owner, reply_id=reply.pk, client_id="c")
    assert Message.objects.get(pk=reply.pk).request_id == "request-going-on"


def test_what_a_first_question_stores_is_parsed_once(owner: User, persona: Persona, monkeypatch: Any) -> None:
    sizes: list[tuple[int, int]] = []

    def counted(sql: str, parameters: Any) -> Any:
        sizes.append((len(parameters), len(sql)))
        return fetch_prepared(sql, parameters)

    monkeypatch.setattr(store, "fetch_prepared", counted)
    with bound(request_id="request-asking"):
        services.send_message(user=owner, client_id="c", text="Hi?", channel="api", bypass_cache=True)
    parameters, length = max(sizes)
    assert 40 < parameters <= MAX_CACHED_STATEMENT_PARAMS
    assert length <= MAX_CACHED_STATEMENT_LENGTH


def test_stopping_ends_what_waits_asks_what_streams_and_leaves_what_has_ended(owner: User, persona: Persona) -> None:
    waiting = ask(owner).reply
    stopped = services.request_stop(user=owner, reply_id=waiting.pk)
    assert (stopped.status, stopped.epoch, stopped.finish_reason) == ("stopped", 1, "stop_requested")
    streaming = ask(owner).reply
    Message.objects.filter(pk=streaming.pk).update(status="streaming", epoch=1)
    for _twice in range(2):
        asked = services.request_stop(user=owner, reply_id=streaming.pk)
        assert (asked.status, asked.stop_requested, asked.epoch) == ("streaming", True, 1)
    done = make_exchange(owner).reply
    assert services.request_stop(user=owner, reply_id=done.pk).status == "completed"
    assert not Message.objects.get(pk=done.pk).stop_requested


def calls(conversation: Any, question: Any, reply: Any, user: User) -> list[Callable[[], Any]]:
    by, named = {"user": user}, {"user": user, "client_id": uuid4().hex}
    return [
        lambda: services.send_message(**named, text="x", conversation_id=conversation),
        lambda: services.edit_message(**named, message_id=question, text="x"),
        lambda: services.regenerate_reply(**named, reply_id=reply),
        lambda: services.continue_reply(**named, reply_id=reply),
        lambda: services.request_stop(**by, reply_id=reply),
        lambda: keeping.change_conversation(**by, conversation_id=conversation, title="x"),
        lambda: keeping.change_conversation(**by, conversation_id=conversation, pinned=True),
        lambda: keeping.change_conversation(**by, conversation_id=conversation, archived=True),
        lambda: keeping.select_branch(**by, conversation_id=conversation, message_id=reply),
        lambda: services.give_feedback(**by, message_id=reply, value=1),
        lambda: keeping.delete_conversation(**by, conversation_id=conversation),
    ]


@pytest.mark.parametrize("stranger", [make_user, make_guest, make_moderator])
def test_anothers_conversation_is_absent_for_every_service(
    owner: User, persona: Persona, stranger: Callable[[], User]
) -> None:
    theirs = make_exchange(owner)
    person = stranger()
    ids = theirs.conversation.pk, theirs.question.pk, theirs.reply.pk
    before = Conversation.objects.values().get(), list(Message.objects.order_by("pk").values())
    for call in (*calls(*ids, person), *calls(uuid4(), uuid4(), uuid4(), person)):
        with pytest.raises(NotFound) as refused:
            call()
        assert str(refused.value) == str(NotFound())
    with pytest.raises(NotFound):
        keeping.restore_conversation(user=person, conversation_id=theirs.conversation.pk)
    assert before == (Conversation.objects.values().get(), list(Message.objects.order_by("pk").values()))


def test_a_deleted_conversation_is_absent_until_it_is_restored(owner: User, persona: Persona) -> None:
    kept = make_exchange(owner)
    live = ask(owner, conversation_id=kept.conversation.pk).reply
    gone = keeping.delete_conversation(user=owner, conversation_id=kept.conversation.pk)
    assert gone.deleted_at
    assert Message.objects.get(pk=live.pk).status == "stopped"
    for call in calls(kept.conversation.pk, kept.question.pk, kept.reply.pk, owner):
        assert code_of(call) == "not_found"
    keeping.restore_conversation(user=owner, conversation_id=kept.conversation.pk)
    assert ask(owner, conversation_id=kept.conversation.pk).reply.status == "queued"


def test_every_change_raises_the_revision(owner: User, persona: Persona) -> None:
    made = make_exchange(owner)
    pk, by = made.conversation.pk, {"user": owner, "conversation_id": made.conversation.pk}
    changes: list[Callable[[], Any]] = [
        lambda: keeping.change_conversation(**by, title=" A\nname "),
        lambda: keeping.change_conversation(**by, pinned=True),
        lambda: keeping.change_conversation(**by, archived=True),
        lambda: keeping.change_conversation(**by, archived=False),
        lambda: ask(owner, conversation_id=pk),
        lambda: keeping.delete_conversation(**by),
        lambda: keeping.restore_conversation(**by),
        lambda: keeping.select_branch(**by, message_id=made.question.pk),
    ]
    for number, change in enumerate(changes, start=2):
        change()
        assert Conversation.objects.get().revision == number
    conversation = Conversation.objects.get()
    assert (conversation.title, conversation.title_source, conversation.pinned) == ("A name", "person", True)
    assert code_of(lambda: keeping.change_conversation(**by, title=" \n ")) == "empty_title"
    assert len(keeping.change_conversation(**by, title="x" * 500).title) <= 120


def test_selecting_a_branch_shows_its_newest_leaf(owner: User, persona: Persona) -> None:
    first = make_exchange(owner)
    here = {"conversation_id": first.conversation.pk}
    later = make_exchange(owner, **here)
    edited = services.edit_message(user=owner, client_id="e", message_id=first.question.pk, text="New")
    end(edited.reply)
    select = {"user": owner, "conversation_id": first.conversation.pk}
    for chosen in (first.question, first.reply, later.question, later.reply):
        assert keeping.select_branch(**select, message_id=chosen.pk).active_leaf_id == later.reply.pk
    assert keeping.select_branch(**select, message_id=edited.question.pk).active_leaf_id == edited.reply.pk
    elsewhere = make_exchange(owner)
    assert code_of(lambda: keeping.select_branch(**select, message_id=elsewhere.reply.pk)) == "not_found"


def test_feedback_is_one_per_reply_and_can_be_taken_back(owner: User, persona: Persona) -> None:
    made = make_exchange(owner)
    by = {"user": owner, "message_id": made.reply.pk}
    services.give_feedback(**by, value=1)
    services.give_feedback(**by, value=-1, comment="Wrong\x00 " + "x" * 3000)
    feedback = Feedback.objects.get()
    assert (feedback.value, feedback.comment[:7], len(feedback.comment)) == (-1, "Wrong x", 2000)
    assert code_of(lambda: services.give_feedback(**by, value=2)) == "bad_feedback"
    assert code_of(lambda: services.give_feedback(user=owner, message_id=made.question.pk, value=1)) == "not_found"
    services.give_feedback(**by, value=0)
    assert not Feedback.objects.exists()
