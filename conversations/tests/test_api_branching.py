"""Editing, regenerating and continuing over the JSON API, on real processes; an empty conversation's first question."""

import asyncio
from typing import Any

import pytest

from accounts.models import User
from accounts.tests.api_client import ApiClient, refusal
from chatbot_project.lib.db import run_db
from conversations import keeping, services
from conversations.models import Conversation, Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .factories import ask, end, make_exchange
from .http_client import HttpClient
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def program(live_stack: Stack, owner: User, persona: Persona) -> Any:
    client = await run_db(HttpClient.of, live_stack.url, owner)
    async with client:
        yield client


async def exchange(program: HttpClient, fake_model: FakeModelServer, answer: str = "1") -> services.Accepted:
    """A question that the worker has answered."""
    fake_model.enqueue(Script(tokens=[answer]))
    _, body = await program.call("post", "chat/send", {"text": "One"})
    reply = await run_db(Message.objects.select_related("parent", "conversation").get, pk=body["reply"]["id"])
    return services.Accepted(reply.conversation, reply.parent, reply)


async def count(owner: User) -> int:
    return await run_db(Message.objects.filter(owner=owner).count)


async def test_an_edited_question_is_a_branch_with_a_reply_of_its_own(
    program: HttpClient, fake_model: FakeModelServer, owner: User
) -> None:
    made = await exchange(program, fake_model)
    fake_model.enqueue(Script(tokens=["Two", "!"]))
    key = {"Idempotency-Key": "a key with spaces"}
    path = f"messages/{made.question.pk}/edit"
    status, first = await program.call("post", path, {"text": "Other words"}, **key)
    assert (status, first["reply"]["status"], first["reply"]["text"]) == (200, "completed", "Two!")
    assert first["message"]["siblings"] == [str(made.question.pk), first["message"]["id"]]
    assert first["conversation"]["active_leaf"] == first["reply"]["id"]
    _, again = await program.call("post", path, {"text": "Other words"}, **key)
    assert again["reply"]["id"] == first["reply"]["id"]
    status, refused = await program.call("post", path, {"text": "Yet others"}, **key)
    assert (status, refused["code"]) == (422, "idempotency_key_reused")
    assert await count(owner) == 4


async def test_regenerating_twenty_times_at_once_under_one_client_id_makes_one_reply(
    program: HttpClient, fake_model: FakeModelServer, owner: User
) -> None:
    made = await exchange(program, fake_model)
    body = {"client_id": "once"}
    calls = (program.call("post", f"messages/{made.reply.pk}/regenerate", body) for _ in range(20))
    answers = await asyncio.gather(*calls)
    assert {status for status, _ in answers} == {200}
    assert len({answer["reply"]["id"] for _, answer in answers}) == 1
    assert answers[0][1]["reply"]["siblings"] == [str(made.reply.pk), answers[0][1]["reply"]["id"]]
    assert await count(owner) == 3


async def test_a_stopped_reply_goes_on_in_a_stream_and_once(
    program: HttpClient, fake_model: FakeModelServer, owner: User
) -> None:
    made = await exchange(program, fake_model, "Half a ")
    await run_db(end, made.reply, "Half a ", "stopped")
    fake_model.enqueue(Script(tokens=["reply"]))
    path = f"messages/{made.reply.pk}/continue"
    async with program.stream("post", path, {"client_id": "on"}) as stream:
        seen = await stream.rest()
    assert (seen[0].name, seen[0].data["client_id"]) == ("message.accepted", "on")
    assert (seen[-1].name, stream.text) == ("reply.completed", "Half a reply")
    status, again = await program.call("post", path, {"client_id": "on"})
    assert (status, again["reply"]["text"]) == (200, "Half a reply")
    status, refused = await program.call("post", path, {"client_id": "further"})
    assert (status, refused["code"]) == (409, "not_continuable")


async def test_an_empty_conversation_is_asked_over_http_and_over_the_socket(
    program: HttpClient, live_stack: Stack, owner: User
) -> None:
    for over_http in (True, False):
        _, empty = await program.call("post", "conversations", {})
        if over_http:
            _, body = await program.call("post", "chat/send", {"text": "First", "conversation": empty["id"]})
            reply = body["reply"]["id"]
        else:
            async with ChatClient(live_stack.url, await run_db(session_key, owner)) as tab:
                await tab.follow(empty["id"])
                reply = (await tab.ask("First", conversation=empty["id"]))["reply"]["id"]
                await tab.ended(reply)
        _, shown = await program.call("get", f"conversations/{empty['id']}")
        assert (shown["title"], shown["active_leaf"]) == ("First", reply)
        _, page = await program.call("get", f"conversations/{empty['id']}/messages")
        assert [each["text"] for each in page["items"]][1:] == ["First"]


# --- without processes: what is accepted, and what not


@pytest.fixture
def client(owner: User) -> ApiClient:
    return ApiClient.of(owner)


def test_a_client_id_of_something_else_is_refused(client: ApiClient, owner: User, persona: Persona) -> None:
    sent, elsewhere = make_exchange(owner), make_exchange(owner)
    again = services.regenerate_reply(user=owner, client_id="r", reply_id=elsewhere.reply.pk)
    for client_id in (sent.question.client_id, again.reply.client_id):
        body = {"client_id": client_id, "wait": 0}
        answer = client.post(f"messages/{sent.reply.pk}/regenerate", body)
        assert refusal(answer) == (422, "idempotency_key_reused")
        answer = client.post(f"messages/{elsewhere.question.pk}/edit", {**body, "text": "Hello?"})
        assert refusal(answer) == (422, "idempotency_key_reused")
    assert Message.objects.count() == 5


def test_what_waits_or_is_no_question_or_reply_is_not_asked_again(
    client: ApiClient, owner: User, persona: Persona
) -> None:
    live, done = ask(owner), make_exchange(owner)
    for path, body, expected in (
        (f"{live.question.pk}/edit", {"text": "x"}, (409, "reply_in_progress")),
        (f"{live.reply.pk}/regenerate", {}, (409, "reply_in_progress")),
        (f"{done.reply.pk}/continue", {}, (409, "not_continuable")),
        (f"{done.reply.pk}/edit", {"text": "x"}, (404, "not_found")),
        (f"{done.question.pk}/regenerate", {}, (404, "not_found")),
        (f"{done.question.pk}/continue", {}, (404, "not_found")),
        (f"{done.question.pk}/edit", {"text": "\u202e "}, (400, "empty_text")),
    ):
        assert refusal(client.post(f"messages/{path}", {**body, "wait": 0})) == expected
    assert Message.objects.count() == 4


@pytest.mark.parametrize(
    "body", [[], {"wait": -1}, {"wait": 601}, {"wait": "x"}, {"client_id": ""}, {"client_id": "a b"},
             {"client_id": "x" * 65}, {"client_id": None}, {"text": ""}, {"text": None}, {"text": "x" * 16_001}]
)  # fmt: skip
def test_bodies_that_are_wrong_are_refused(client: ApiClient, owner: User, persona: Persona, body: Any) -> None:
    made = make_exchange(owner)
    given = {"text": "x", **body} if isinstance(body, dict) else body
    assert refusal(client.post(f"messages/{made.question.pk}/edit", given)) == (400, "invalid")
    if isinstance(body, list) or "text" not in body:
        assert refusal(client.post(f"messages/{made.reply.pk}/regenerate", body)) == (400, "invalid")
    assert Message.objects.count() == 2


def test_asking_again_takes_from_the_budget_of_asking(
    client: ApiClient, owner: User, persona: Persona, settings: Any
) -> None:
    settings.RATE_LIMIT_ASKS = ((3, 3600),)
    conversation = keeping.create_conversation(user=owner)
    for number, path in enumerate(("edit", "regenerate", "continue")):
        made = ask(owner, conversation_id=conversation.pk)
        end(made.reply, "Half", "stopped")
        target = made.question.pk if path == "edit" else made.reply.pk
        answer = client.post(f"messages/{target}/{path}", {"text": "x", "wait": 0})
        assert answer.status_code in (200, 202)
        assert answer["RateLimit-Remaining"] == str(2 - number)
        Message.objects.replies().update(status="completed")
    reply = Message.objects.replies().last()
    assert reply is not None
    answer = client.post(f"messages/{reply.pk}/regenerate", {"wait": 0})
    assert refusal(answer) == (429, "rate_limited")
    assert Conversation.objects.get().messages.count() == 6 + 2 + 1


def test_what_was_stored_is_answered_again_at_no_cost_and_where_nothing_more_may_be_asked(
    client: ApiClient, owner: User, persona: Persona, settings: Any
) -> None:
    settings.RATE_LIMIT_ASKS = ((2, 3600),)
    sent = {"text": "Once", "client_id": "once", "wait": 0}
    first = [client.post("chat/send", sent) for _ in range(3)]
    reply = Message.objects.replies().get()
    end(reply, "Half", "stopped")
    going_on = f"messages/{reply.pk}/continue", {"client_id": "on", "wait": 0}
    second = [client.post(*going_on) for _ in range(3)]
    assert refusal(client.post("chat/send", {"text": "More", "wait": 0})) == (429, "rate_limited")
    answers = [*first, client.post("chat/send", sent), *second, client.post(*going_on)]
    assert [answer.status_code for answer in answers] == [200] * 8  # which a server that runs makes an answer of
    assert refusal(client.post("chat/send", {**sent, "text": "Twice"})) == (422, "idempotency_key_reused")
    assert Message.objects.count() == 2
