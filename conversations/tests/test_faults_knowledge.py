"""Replies that come of the FAQ when workers go or die in their midst: no number ever means another source."""

import signal
from collections.abc import Iterator

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Citation
from faqs.models import FAQ
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .checker import PersistentClient
from .client import session_key
from .fault_stack import FaultStack, wait_exit
from .knowledge_stack import make_knowing_persona, make_knowledge
from .test_faults_worker import the_database_is_old_enough

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
PIN = "How do I reset the PIN of my card?"


@pytest.fixture
def gate(fake_model: FakeModelServer) -> Iterator[Gate]:
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["In ", "the ", "app ", "[1] ", "and so on"], gate=gate))
    yield gate
    gate.release()


def cited() -> list[tuple[int, object]]:
    return list(Citation.objects.order_by("number").values_list("number", "faq"))


async def test_a_worker_that_has_to_go_hands_over_what_its_reply_cites(
    stack: FaultStack, gate: Gate, fake_model: FakeModelServer, owner: User
) -> None:
    def prepare() -> tuple[FAQ, str]:
        [pin, _fee] = make_knowledge()
        make_knowing_persona(slug="knowing")
        return pin, session_key(owner)

    pin, key = await run_db(prepare)
    first = stack.workers[0]
    stack.workers[1].kill()
    async with PersistentClient(stack.urls, key) as client:
        reply = (await client.ask(PIN, persona="knowing"))["reply"]["id"]
        gate.release(4)
        await client.until(lambda: "[1]" in client.replies[reply].text, "the first mark")
        fake_model.enqueue(Script(tokens=["- that is ", "all [1]."]))
        await stack.start_worker()
        first.signal(signal.SIGTERM)
        await wait_exit(first)
        seen = await client.ended(reply)
        ending = next(e for e in reversed(client.heard) if e.get("reply") == reply and "html" in e)
    assert (seen.status, seen.text) == ("reply.completed", "In the app [1] - that is all [1].")
    assert [(c["number"], c["faq"]) for c in ending["citations"]] == [(1, str(pin.pk))]
    assert await run_db(cited) == [(1, pin.pk)]


async def test_after_a_crash_a_number_whose_meaning_is_lost_cites_nothing(
    stack: FaultStack, gate: Gate, fake_model: FakeModelServer, owner: User
) -> None:
    await the_database_is_old_enough()

    def prepare() -> tuple[FAQ, str]:
        [pin, _fee] = make_knowledge()
        make_knowing_persona(slug="knowing")
        return pin, session_key(owner)

    pin, key = await run_db(prepare)
    async with PersistentClient(stack.urls, key) as client:
        reply = (await client.ask(PIN, persona="knowing"))["reply"]["id"]
        gate.release(4)
        await client.until(lambda: "[1]" in client.replies[reply].text, "the first mark")
        for worker in stack.workers:
            worker.kill()
        await stack.start_worker()
        assert (await client.ended(reply, 30)).status == "reply.interrupted"
        assert await run_db(cited) == []
        fake_model.enqueue(Script(tokens=["then [2]."]))
        await client.command("reply.continue", reply=reply)
        seen = await client.ended(reply)
    assert seen.text == "In the app [1] then [2]."
    assert await run_db(cited) == [(2, pin.pk)]
