"""One question is one trace over web, queue, reply worker and Celery, as a real collector receives it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script
from stress_tests.otlp_receiver import Received, Receiver

from .client import ChatClient, session_key
from .fault_stack import eventually
from .knowledge_stack import make_knowing_persona, make_knowledge
from .stack import ROOT, CeleryWorker, Stack

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CANARY = "xylophone-canary"
SAID = "zeppelin-canary"
TITLE = "conversations.tasks.make_title"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced_stack(django_db_setup: None, fake_model_session: FakeModelServer, receiver: Receiver) -> Iterator[Stack]:
    stack = Stack(
        fake_model_session.base_url, TITLE_MODEL="fake/echo", TRACING="1",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_BSP_SCHEDULE_DELAY="50",
    )  # fmt: skip
    with stack, CeleryWorker(stack):
        yield stack


@pytest.fixture
def stack(transactional_db: None, fake_model: FakeModelServer, traced_stack: Stack) -> Stack:
    traced_stack.resume_workers()
    return traced_stack


async def trace_of(reply: str, receiver: Receiver, names: set[str]) -> dict[str, Received]:
    """The spans of a reply's trace by their names, once all of ``names`` are there."""

    def whole() -> dict[str, Received]:
        spans = {s.name: s for s in receiver.find(lambda s: s.attributes.get("nono.reply") == reply)}
        if "reply" not in spans:
            return {}
        trace = {span.name: span for span in receiver.of_trace(spans["reply"].trace)}
        return trace if names <= trace.keys() else {}

    await eventually(whole, f"{names} of {reply}")
    return whole()


async def test_one_question_is_one_trace_from_web_to_celery(
    stack: Stack, receiver: Receiver, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=[f"Well, {SAID}."]))
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        accepted = await tab.ask(f"Who owns the {CANARY}, bob@example.org?")
        await tab.ended(accepted["reply"]["id"])
    names = {"question accepted", "waiting", "reply", "model", "saving", TITLE}
    spans = await trace_of(accepted["reply"]["id"], receiver, names)
    assert {name: span.service for name, span in spans.items() if name in names} == {
        "question accepted": "nono-web", "waiting": "nono-replies", "reply": "nono-replies",
        "model": "nono-replies", "saving": "nono-replies", TITLE: "nono-celery",
    }  # fmt: skip
    root, reply = spans["question accepted"], spans["reply"]
    assert root.parent == ""
    assert {spans[name].parent for name in ("waiting", "reply")} == {root.span}
    assert {spans[name].parent for name in ("model", "saving", TITLE)} == {reply.span}
    assert spans["model"].events == ["first token"]
    assert spans["model"].attributes["nono.model"] == "fake/echo"
    assert spans["model"].attributes["nono.completion_tokens"] > 0
    assert root.began < root.ended
    assert reply.began <= spans["model"].began < spans["saving"].began < reply.ended
    assert root.attributes["nono.conversation" if "nono.conversation" in root.attributes else "nono.request_id"]
    assert {said for said in (CANARY, SAID, "bob@", owner.email, key) if said.encode() in receiver.raw} == set()


async def test_looking_into_the_faq_is_a_step_and_a_reply_that_goes_on_stays_in_its_trace(
    stack: Stack, receiver: Receiver, owner: User, fake_model: FakeModelServer
) -> None:
    await run_db(make_knowledge)
    await run_db(make_knowing_persona)
    fake_model.enqueue(Script(tokens=["It arrives "], finish_reason="length"))
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        accepted = await tab.ask("How do I reset the PIN of my card?")
        reply = accepted["reply"]["id"]
        await tab.ended(reply)
        spans = await trace_of(reply, receiver, {"question accepted", "retrieval", "model", "saving"})
        assert spans["retrieval"].parent == spans["reply"].span
        assert spans["retrieval"].attributes["nono.verdict"]
        await tab.command("reply.continue", reply=reply)

    def twice() -> bool:
        return {name: names(receiver, spans["reply"].trace).count(name) for name in ("question accepted", "reply")} == {
            "question accepted": 2, "reply": 2,
        }  # fmt: skip

    await eventually(twice, "the trace of the reply that goes on")
    firsts = [span for span in receiver.of_trace(spans["reply"].trace) if span.parent == ""]
    assert len(firsts) == 1


def names(receiver: Receiver, trace: str) -> list[str]:
    return [span.name for span in receiver.of_trace(trace)]


async def test_what_a_model_that_fails_says_is_not_in_the_trace(
    stack: Stack, receiver: Receiver, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.default = Script(status=400)
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        accepted = await tab.ask(f"Who owns the {CANARY}?")
        await tab.ended(accepted["reply"]["id"])
    spans = await trace_of(accepted["reply"]["id"], receiver, {"model", "saving"})
    assert spans["model"].status.startswith("LLM")
    assert spans["model"].events == []
    assert spans["saving"].attributes["nono.status"] == "failed"
    assert CANARY.encode() not in receiver.raw


async def test_replies_side_by_side_are_traces_of_their_own(
    stack: Stack, receiver: Receiver, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        asked = [await tab.ask(f"Question {number}?") for number in range(5)]
        for accepted in asked:
            await tab.ended(accepted["reply"]["id"])
    replies = [accepted["reply"]["id"] for accepted in asked]
    traces = [await trace_of(reply, receiver, {"question accepted", "reply", "model", "saving"}) for reply in replies]
    assert len({spans["reply"].trace for spans in traces}) == 5
    for reply, spans in zip(replies, traces, strict=True):
        assert {s.attributes["nono.reply"] for s in spans.values() if "nono.reply" in s.attributes} == {reply}
        assert spans["model"].parent == spans["saving"].parent == spans["reply"].span


START = (
    "import sys, django; django.setup(); from chatbot_project.lib import tracing; tracing.start('web');"
    "import conversations.replies.worker, chatbot_project.asgi, chatbot_project.task_ids;"
)


def started(code: str, **environment: str) -> str:
    """What a process says that runs ``code``."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, env=os.environ | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return ran.stdout.strip()


def test_without_tracing_nothing_of_it_is_imported() -> None:
    ours = "('opentelemetry.sdk.trace', 'opentelemetry.exporter')"  # the Redis client looks for the rest by itself
    assert started(f"{START} print([name for name in sys.modules if name.startswith({ours})])") == "[]"


def test_without_tracing_it_need_not_be_installed() -> None:
    absent = "import sys; sys.modules['opentelemetry'] = None;"
    assert started(f"{absent} {START} print('started')") == "started"
    assert "requirements-tracing.txt" in started(f"{absent} {START}", TRACING="1")
