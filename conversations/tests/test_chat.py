"""The main job, through real processes: ask, stream, resume, stop, branch, continue."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .client import ChatClient, session_key
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def tab(live_stack: Stack, owner: User, persona: Persona) -> Any:
    key = await run_db(session_key, owner)
    async with ChatClient(live_stack.url, key) as client:
        yield client


def held(fake_model: FakeModelServer, tokens: int = 8) -> Gate:
    """The next reply says as many tokens as the gate lets through."""
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=tokens, gate=gate))
    return gate


async def stored(reply: str) -> Message:
    return await run_db(Message.objects.get, pk=UUID(reply))


async def test_a_question_is_answered_by_a_stream_whose_deltas_are_the_stored_text(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["Grü", "ße, ", "🌍", "!"], gate=gate))
    accepted = await tab.ask("Hello?")
    await tab.started(accepted["reply"]["id"])
    gate.release()
    seen = await tab.ended(accepted["reply"]["id"])
    assert seen.status == "reply.completed"
    assert seen.text == "Grüße, 🌍!"
    assert "reply.delta" in seen.events
    row = await stored(accepted["reply"]["id"])
    assert (row.status, row.text, row.finish_reason) == ("completed", seen.text, "stop")
    assert row.lease_expires_at is None
    assert row.completion_tokens == 4


async def test_the_same_client_id_twenty_times_at_once_is_one_question(
    live_stack: Stack, owner: User, persona: Persona
) -> None:
    key = await run_db(session_key, owner)
    tabs = [ChatClient(live_stack.url, key) for _ in range(20)]
    await asyncio.gather(*(tab.connect() for tab in tabs))
    client_id = uuid4().hex
    answers = await asyncio.gather(*(tab.ask("Once", client_id=client_id) for tab in tabs))
    assert len({(a["message"]["id"], a["reply"]["id"], a["conversation"]["id"]) for a in answers}) == 1
    texts = {(await tab.ended(answers[0]["reply"]["id"])).text for tab in tabs}
    assert len(texts) == 1
    assert await run_db(Message.objects.filter(owner=owner).count) == 2
    await asyncio.gather(*(tab.close() for tab in tabs))


async def test_a_tab_that_breaks_off_catches_up_without_a_gap(tab: ChatClient, fake_model: FakeModelServer) -> None:
    gate = held(fake_model)
    accepted = await tab.ask("Long one")
    reply, conversation = accepted["reply"]["id"], accepted["conversation"]["id"]
    gate.release(3)
    await tab.until(lambda: tab.replies[reply].text == "tok0 tok1 tok2 ", "three tokens")
    tab.drop()
    gate.release(2)
    await tab.connect()
    await tab.follow(conversation)
    gate.release()
    seen = await tab.ended(reply)
    assert seen.text == (await stored(reply)).text
    assert seen.status == "reply.completed"


async def test_a_second_tab_sees_the_same_reply(
    tab: ChatClient, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    gate = held(fake_model)
    accepted = await tab.ask("For two")
    reply, conversation = accepted["reply"]["id"], accepted["conversation"]["id"]
    gate.release(2)
    await tab.until(lambda: tab.replies[reply].text, "some text")
    async with ChatClient(live_stack.url, tab.key) as second:
        await second.follow(conversation)
        await second.until(lambda: second.replies[reply].text, "the text so far")
        gate.release()
        assert (await second.ended(reply)).text == (await tab.ended(reply)).text


async def test_stop_from_another_tab_keeps_the_partial_text(
    tab: ChatClient, live_stack: Stack, fake_model: FakeModelServer
) -> None:
    gate = held(fake_model)
    accepted = await tab.ask("Stop me")
    reply = accepted["reply"]["id"]
    gate.release(2)
    await tab.until(lambda: tab.replies[reply].text, "some text")
    async with ChatClient(live_stack.url, tab.key) as second:
        await second.send(type="reply.stop", reply=reply)
        seen = await tab.ended(reply)
    assert (seen.status, seen.text) == ("reply.stopped", "tok0 tok1 ")
    assert (await stored(reply)).text == seen.text
    fake_model.wait_disconnected()


async def test_continue_keeps_the_text_and_goes_on_behind_it(tab: ChatClient, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["One ", "two ", "three"], cut_after=2, cut="reset"))
    accepted = await tab.ask("Count")
    reply = accepted["reply"]["id"]
    partial = await tab.ended(reply)
    assert partial.status == "reply.interrupted"
    kept = partial.text
    fake_model.enqueue(Script(tokens=["and ", "on."]))
    again = await tab.command("reply.continue", reply=reply)
    assert again["reply"]["id"] == reply
    seen = await tab.ended(reply)
    assert seen.status == "reply.completed"
    assert seen.text == kept + "and on."
    assert (await stored(reply)).text == seen.text


async def test_edit_and_regenerate_make_branches_that_stay_reachable(tab: ChatClient) -> None:
    first = await tab.ask("First wording")
    await tab.ended(first["reply"]["id"])
    conversation = first["conversation"]["id"]
    edited = await tab.command("message.edit", message=first["message"]["id"], text="Second wording")
    await tab.ended(edited["reply"]["id"])
    regenerated = await tab.command("reply.regenerate", reply=edited["reply"]["id"])
    await tab.ended(regenerated["reply"]["id"])
    snapshot = await tab.follow(conversation)
    question, reply = snapshot["messages"]
    assert question["siblings"] == [first["message"]["id"], edited["message"]["id"]]
    assert reply["siblings"] == [edited["reply"]["id"], regenerated["reply"]["id"]]
    assert reply["id"] == regenerated["reply"]["id"]
