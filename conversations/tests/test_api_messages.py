"""Messages over the JSON API: the pages of a branch, one by its id, feedback, stopping, asking for a person."""

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import User
from accounts.tests.api_client import ApiClient, refusal
from conversations import services
from conversations.models import Conversation, Feedback, HandOver, Message
from conversations.transcript import message_info
from personas.models import Persona

from .factories import ask, end, make_conversation, make_exchange

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(owner: User) -> ApiClient:
    return ApiClient.of(owner)


def texts(client: ApiClient, conversation: Conversation, query: str = "") -> list[str]:
    """The branch as its pages give it."""
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        answer = client.get(f"conversations/{conversation.pk}/messages?{query}&cursor={cursor}")
        assert answer.status_code == 200, answer.content
        found += [each["text"] for each in answer.json()["items"]]
        cursor = answer.json()["next"]
    return found


# --- the pages of a branch


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
def test_the_pages_lead_from_the_newest_to_the_first_question(
    client: ApiClient, owner: User, persona: Persona, limit: int
) -> None:
    conversation = make_conversation(owner, turns=3)
    newest_first = ["Reply 3", "Question 3", "Reply 2", "Question 2", "Reply 1", "Question 1"]
    assert texts(client, conversation, f"limit={limit}") == newest_first


def test_new_messages_and_other_branches_shift_nothing(client: ApiClient, owner: User, persona: Persona) -> None:
    conversation = make_conversation(owner, turns=3)
    path = f"conversations/{conversation.pk}/messages?limit=2"
    first = client.get(path).json()
    make_exchange(owner, "Late", "Later", conversation_id=conversation.pk)
    question = Message.objects.get(text="Question 2")
    services.edit_message(user=owner, client_id="e", message_id=question.pk, text="Elsewhere")
    second = client.get(f"{path}&cursor={first['next']}").json()
    assert [each["text"] for each in second["items"]] == ["Reply 2", "Question 2"]


def test_a_branch_is_named_by_any_of_its_messages(client: ApiClient, owner: User, persona: Persona) -> None:
    first = make_exchange(owner, "One", "1")
    make_exchange(owner, "More", "2", conversation_id=first.conversation.pk)
    edited = services.edit_message(user=owner, client_id="e", message_id=first.question.pk, text="Two")
    end(edited.reply, "3")
    assert texts(client, first.conversation) == ["3", "Two"]
    for message in Message.objects.filter(text__in=("One", "1", "More", "2")):
        assert texts(client, first.conversation, f"branch={message.pk}&limit=3") == ["2", "More", "1", "One"]
    assert Conversation.objects.get().active_leaf_id == edited.reply.pk


def test_a_branch_of_another_conversation_is_absent(
    client: ApiClient, owner: User, other: User, persona: Persona
) -> None:
    here = make_conversation(owner)
    for message in (uuid4(), make_exchange(owner).reply.pk, make_exchange(other).reply.pk):
        assert refusal(client.get(f"conversations/{here.pk}/messages?branch={message}")) == (404, "not_found")


def test_a_cursor_of_another_conversation_is_refused(client: ApiClient, owner: User, persona: Persona) -> None:
    here, there = make_conversation(owner, turns=2), make_conversation(owner, turns=2)
    cursor = client.get(f"conversations/{there.pk}/messages?limit=1").json()["next"]
    for wrong in (cursor, "x", "a:b:c"):
        assert refusal(client.get(f"conversations/{here.pk}/messages?cursor={wrong}")) == (400, "invalid")


@pytest.mark.parametrize("query", ["branch=x", "branch=", "limit=0", "limit=101", "limit=-1"])
def test_a_page_that_cannot_be_asked_for_is_refused(
    client: ApiClient, owner: User, persona: Persona, query: str
) -> None:
    here = make_conversation(owner)
    assert refusal(client.get(f"conversations/{here.pk}/messages?{query}")) == (400, "invalid")


def test_a_message_tells_what_stands_beside_it(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_exchange(owner, "Hello?", "**Hi**")
    again = services.regenerate_reply(user=owner, client_id="r", reply_id=made.reply.pk)
    services.give_feedback(user=owner, message_id=made.reply.pk, value=-1, comment="Too short")
    Message.objects.filter(pk=made.reply.pk).update(prompt_tokens=7, completion_tokens=3, model="fake/echo")
    shown = client.get(f"messages/{made.reply.pk}").json()
    told = {
        "conversation": str(made.conversation.pk), "parent": str(made.question.pk), "role": "assistant",
        "status": "completed", "text": "**Hi**", "html": "<p><strong>Hi</strong></p>\n", "epoch": 1, "seq": 6,
        "siblings": [str(made.reply.pk), str(again.reply.pk)], "feedback": -1, "feedback_comment": "Too short",
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "estimated": False}, "model": "fake/echo",
    }  # fmt: skip
    assert {name: shown[name] for name in told} == told
    assert shown in client.get(f"conversations/{made.conversation.pk}/messages?branch={made.reply.pk}").json()["items"]
    question = client.get(f"messages/{made.question.pk}").json()
    assert (question["html"], question["usage"], question["status"]) == ("", None, "sent")


def test_a_message_is_shown_as_on_the_page_and_over_the_socket(
    client: ApiClient, owner: User, persona: Persona
) -> None:
    made = make_exchange(owner)
    names = set(client.get(f"messages/{made.reply.pk}").json())
    assert names == {*message_info(made.reply).__struct_fields__, "conversation", "usage"}
    schema = client.client.get("/api/schema/").json()["components"]["schemas"]
    assert set(schema["Message"]["properties"]) == names
    assert set(schema["Conversation"]["properties"]) == set(client.get(f"conversations/{made.conversation.pk}").json())


# --- feedback


@pytest.mark.parametrize("method", ["put", "post"])
def test_feedback_is_one_opinion_that_can_be_taken_back(
    client: ApiClient, owner: User, persona: Persona, method: str
) -> None:
    path = f"messages/{make_exchange(owner).reply.pk}"
    assert client.call(method, f"{path}/feedback", {"value": 1}).json() == {"value": 1, "comment": ""}
    answer = client.call(method, f"{path}/feedback", {"value": -1, "comment": " Wrong\u202e "})
    assert answer.json() == {"value": -1, "comment": "Wrong"}
    shown = client.get(path).json()
    assert (shown["feedback"], shown["feedback_comment"]) == (-1, "Wrong")
    assert Feedback.objects.count() == 1
    for _twice in range(2):
        assert client.delete(f"{path}/feedback").status_code == 204
    assert client.get(path).json()["feedback"] == 0


@pytest.mark.parametrize(
    "body", [{}, [], {"value": 0}, {"value": 2}, {"value": "x"}, {"value": None}, {"value": 1, "comment": "x" * 2001},
             {"value": 1, "comment": None}, {"value": 1, "comment": []}]
)  # fmt: skip
def test_feedback_that_is_none_is_refused(client: ApiClient, owner: User, persona: Persona, body: Any) -> None:
    reply = make_exchange(owner).reply
    assert refusal(client.call("put", f"messages/{reply.pk}/feedback", body)) == (400, "invalid")
    assert not Feedback.objects.exists()


def test_a_question_takes_no_feedback(client: ApiClient, owner: User, persona: Persona) -> None:
    question = make_exchange(owner).question
    assert refusal(client.post(f"messages/{question.pk}/feedback", {"value": 1})) == (404, "not_found")


# --- stopping, a person


def test_a_reply_is_stopped(client: ApiClient, owner: User, persona: Persona) -> None:
    waiting = ask(owner).reply
    assert client.post(f"messages/{waiting.pk}/stop").json()["status"] == "stopped"
    streaming = ask(owner).reply
    Message.objects.filter(pk=streaming.pk).update(status="streaming", epoch=1)
    assert client.post(f"messages/{streaming.pk}/stop").json()["status"] == "streaming"
    assert Message.objects.get(pk=streaming.pk).stop_requested
    done = make_exchange(owner)
    assert client.post(f"messages/{done.reply.pk}/stop").json()["status"] == "completed"
    assert refusal(client.post(f"messages/{done.question.pk}/stop")) == (404, "not_found")


def test_a_person_is_asked_for_where_the_reply_offers_it(client: ApiClient, owner: User, persona: Persona) -> None:
    made = make_exchange(owner)
    path = f"messages/{made.reply.pk}/hand-over"
    assert refusal(client.post(path)) == (409, "not_offered")
    Message.objects.filter(pk=made.reply.pk).update(
        source="unknown", offers=[{"kind": "handover", "text": "", "done": False}]
    )
    for _twice in range(2):
        assert client.post(path).json()["offers"] == [{"kind": "handover", "text": "", "done": True}]
    assert HandOver.objects.count() == 1
