"""Maintenance on running processes: known within seconds, no reply is lost, questions are refused."""

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer, Script

from .client import ChatClient, session_key
from .maintaining import maintenance
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_running_reply_ends_and_a_new_question_is_refused_until_it_is_over(
    live_stack: Stack, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=6, gate=gate))
    key = await run_db(session_key, owner)
    async with ChatClient(live_stack.url, key) as client:
        accepted = await client.ask("Does this end?", persona=persona.slug)
        gate.release(2)
        await run_db(maintenance, live_stack, "on")
        await client.send(type="message.send", client_id="refused", text="And this?", persona=persona.slug)
        refused = await client.until(lambda: client.errors.get("refused"), "a refusal")
        assert (refused["type"], refused["code"]) == ("error", "maintenance")
        assert refused["retry_after"] == 300
        gate.release()
        assert (await client.ended(accepted["reply"]["id"])).status == "reply.completed"
        await run_db(maintenance, live_stack, "off")
        again = await client.ask("And this?", persona=persona.slug)
        assert (await client.ended(again["reply"]["id"])).status == "reply.completed"
