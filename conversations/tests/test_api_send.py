"""Asking over HTTP, on real processes: whole replies, streams, resuming, leaving."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts import services as accounts_services
from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .http_client import HttpClient
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def program(live_stack: Stack, owner: User, persona: Persona) -> Any:
    client = await run_db(HttpClient.of, live_stack.url, owner)
    async with client:
        yield client


async def stored(reply: str) -> Message:
    return await run_db(Message.objects.get, pk=UUID(reply))


async def test_the_whole_reply_comes_as_json(
    program: HttpClient, fake_model: FakeModelServer, persona: Persona
) -> None:
    fake_model.enqueue(Script(tokens=["Grü", "ße, ", "🌍", "!"], token_ms=5))
    status, body = await program.call("post", "chat/send", {"text": "Hello?", "persona": persona.slug})
    assert status == 200
    assert (body["reply"]["text"], body["reply"]["status"]) == ("Grüße, 🌍!", "completed")
    assert body["message"]["text"] == "Hello?"
    assert body["conversation"]["persona"] == persona.slug
    assert body["reply"]["parent"] == body["message"]["id"]
    status, again = await program.call(
        "post", "chat/send", {"text": "And?", "conversation": body["conversation"]["id"]}
    )
    assert status == 200
    assert again["conversation"]["id"] == body["conversation"]["id"]
    assert again["message"]["parent"] == body["reply"]["id"]


async def test_a_reply_that_failed_says_so_in_its_status(program: HttpClient, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(status=401))
    status, body = await program.call("post", "chat/send", {"text": "Hello?"})
    assert status == 200
    assert (body["reply"]["status"], body["reply"]["text"]) == ("failed", "")
    assert body["reply"]["code"] == "llm_refused"


async def test_the_stream_begins_with_what_was_accepted_and_its_deltas_are_the_text(
    program: HttpClient, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["One ", "two ", "three"], gate=gate))
    async with program.stream("post", "chat/send", {"text": "Count", "client_id": "count-1"}) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream"
        await stream.until("reply.started")
        gate.release()
        seen = await stream.rest()
    assert seen[0].name == "message.accepted"
    assert seen[0].data["client_id"] == "count-1"
    assert seen[-1].name == "reply.completed"
    assert seen[-1].data["text"] == "One two three" == stream.text
    assert "reply.delta" in {event.name for event in seen}
    assert (await stored(seen[-1].data["reply"])).text == "One two three"


async def test_a_stream_that_broke_off_goes_on_behind_the_last_event(
    program: HttpClient, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=6, gate=gate))
    async with program.stream("post", "chat/send", {"text": "Long one"}) as stream:
        reply = (await stream.until("message.accepted")).data["reply"]["id"]
        gate.release(2)
        while stream.text != "tok0 tok1 ":
            await stream.next()
        held, last = stream.text, stream.events[-1].id
    gate.release(2)
    async with program.stream("get", f"messages/{reply}/events", **{"Last-Event-ID": last}) as resumed:
        first = await resumed.next()
        assert first is not None
        assert first.name == "reply.delta"  # no snapshot: it joins on
        gate.release()
        seen = await resumed.rest()
    for event in seen:
        if event.name == "reply.delta":
            assert event.data["seq"] - len(event.data["text"]) == len(held)
            held += event.data["text"]
    assert held == seen[-1].data["text"] == (await stored(reply)).text
    status, _ = await program.call("get", f"messages/{reply}/events", **{"Last-Event-ID": seen[-1].id})
    assert status == 204  # a browser asks again after the end


@pytest.mark.parametrize("last", ["", "nonsense", "0-0", "1-99999", "-1--1", f"{2**63}-1", f"{2**62}-{2**62}", "1-1"])
async def test_an_id_that_does_not_join_is_sent_the_whole(
    program: HttpClient, fake_model: FakeModelServer, last: str
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=4, gate=gate))
    async with program.stream("post", "chat/send", {"text": "Long one"}) as stream:
        reply = (await stream.until("message.accepted")).data["reply"]["id"]
        gate.release(2)
        while stream.text != "tok0 tok1 ":
            await stream.next()
        async with program.stream("get", f"messages/{reply}/events", **{"Last-Event-ID": last}) as second:
            while second.text != "tok0 tok1 ":
                assert await second.next() is not None
            gate.release()
            assert (await second.rest())[-1].data["text"] == second.text == "tok0 tok1 tok2 tok3 "


async def test_the_same_client_id_twenty_times_at_once_is_one_question(program: HttpClient, owner: User) -> None:
    body = {"text": "Once", "client_id": uuid4().hex}
    answers = await asyncio.gather(*(program.call("post", "chat/send", body) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({(a["message"]["id"], a["reply"]["id"], a["reply"]["text"]) for _, a in answers}) == 1
    assert await run_db(Message.objects.filter(owner=owner).count) == 2


async def test_an_idempotency_key_works_once_and_not_for_another_text(program: HttpClient, owner: User) -> None:
    key = {"Idempotency-Key": "order 17"}
    _, first = await program.call("post", "chat/send", {"text": "Once"}, **key)
    _, second = await program.call("post", "chat/send", {"text": "Once"}, **key)
    assert first["reply"]["id"] == second["reply"]["id"]
    status, refusal = await program.call("post", "chat/send", {"text": "Twice"}, **key)
    assert (status, refusal["code"]) == (422, "idempotency_key_reused")
    assert await run_db(Message.objects.filter(owner=owner).count) == 2


async def test_an_idempotency_key_that_is_none_is_refused_also_beside_a_client_id(
    program: HttpClient, owner: User
) -> None:
    body = {"text": "Once", "client_id": "good"}
    status, refusal = await program.call("post", "chat/send", body, **{"Idempotency-Key": "x" * 256})
    assert (status, list(refusal["fields"])) == (400, ["Idempotency-Key"])
    assert not await run_db(Message.objects.filter(owner=owner).exists)


async def test_whoever_does_not_wait_gets_the_address_of_the_reply(
    program: HttpClient, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=2, gate=gate))
    status, body = await program.call("post", "chat/send", {"text": "Later", "wait": 0})
    assert status == 202
    assert body["reply"]["status"] in ("queued", "streaming")
    gate.release()
    async with program.stream("get", f"messages/{body['reply']['id']}/events") as stream:
        assert (await stream.rest())[-1].name == "reply.completed"


async def test_a_reply_goes_on_when_whoever_asked_for_it_leaves(
    program: HttpClient, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=3, gate=gate))
    waiting = asyncio.create_task(program.call("post", "chat/send", {"text": "I leave", "client_id": "leaves"}))
    await asyncio.to_thread(fake_model.wait_requests, 1)
    waiting.cancel()
    gate.release()
    _, body = await program.call("post", "chat/send", {"text": "I leave", "client_id": "leaves"})
    assert (body["reply"]["status"], body["reply"]["text"]) == ("completed", "tok0 tok1 tok2 ")


async def test_a_socket_and_a_stream_hear_the_same(
    program: HttpClient, live_stack: Stack, fake_model: FakeModelServer, owner: User
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=4, gate=gate))
    key = await run_db(session_key, owner)
    async with ChatClient(live_stack.url, key) as tab:
        accepted = await tab.ask("For both")
        gate.release(2)
        async with program.stream("get", f"messages/{accepted['reply']['id']}/events") as stream:
            while not stream.text:
                assert await stream.next() is not None
            gate.release()
            ending = (await stream.rest())[-1].data
        assert (await tab.ended(accepted["reply"]["id"])).text == ending["text"] == stream.text


async def test_signing_out_ends_the_stream_and_not_the_reply(
    program: HttpClient, fake_model: FakeModelServer, owner: User
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=3, gate=gate))
    async with program.stream("post", "chat/send", {"text": "Bye"}) as stream:
        reply = (await stream.until("message.accepted")).data["reply"]["id"]
        gate.release(1)
        await stream.until_text()
        await run_db(accounts_services.end_sessions, user=owner)
        seen = await stream.rest()
    assert (seen[-1].name, seen[-1].data["code"]) == ("error", "signed_out")
    gate.release()
    await run_db(owner.refresh_from_db)
    second = await run_db(HttpClient.of, program.url, owner)
    async with second, second.stream("get", f"messages/{reply}/events") as again:
        assert (await again.rest())[-1].data["text"] == "tok0 tok1 tok2 "


@pytest.mark.parametrize("path", ["chat/send", "messages/{reply}/events"])
async def test_anothers_answers_as_an_absent_one(
    program: HttpClient, live_stack: Stack, other: User, path: str
) -> None:
    _, body = await program.call("post", "chat/send", {"text": "Mine"})
    stranger = await run_db(HttpClient.of, live_stack.url, other)
    async with stranger:
        answers = []
        for reply, conversation in (
            (body["reply"]["id"], body["conversation"]["id"]),
            (str(uuid4()), str(uuid4())),
        ):
            if path == "chat/send":
                answers.append(await stranger.call("post", path, {"text": "Mine?", "conversation": conversation}))
            else:
                answers.append(await stranger.call("get", path.format(reply=reply), Accept="text/event-stream"))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["code"]) == (404, "not_found")
