"""Every way a model can fail, through the whole product: the right ending, and the next question is answered."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from chatbot_project.lib.db import run_db
from conversations.models import Message
from conversations.tests.factories import make_persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .checker import Crowd, Talk
from .fault_stack import FaultStack, Process

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

TOKENS = 8
WHOLE = "".join(f"tok{number} " for number in range(TOKENS))
SHOWN = 3
PARTIAL = "".join(f"tok{number} " for number in range(SHOWN))
TRIES = 3
FIRST_REST = 0.25  # seconds
MAX_WORKER_MEGABYTES = 400


@pytest.fixture
def stack(transactional_db: None, fake_model: FakeModelServer, persona: Any, fault_stack: FaultStack) -> FaultStack:
    """The web processes, with no worker that other tests use."""
    fault_stack.redis.start()
    fault_stack.resume_workers()
    for port, process in zip(fault_stack.ports, fault_stack.web, strict=True):
        if process.process.poll() is not None:
            process.start()
        fault_stack.wait_web(port)
    return fault_stack


@pytest.fixture
def worker(stack: FaultStack, fake_model: FakeModelServer) -> Process:
    """The only worker: it waits 2 s for a first token and 1 s for each further one, and has nothing to fall back on."""
    return stack.only_worker(**impatient(fake_model))


@pytest.fixture
def worker_with_fallback(stack: FaultStack, fake_model: FakeModelServer) -> Process:
    """The same with a second model, of another provider."""
    return stack.only_worker(**impatient(fake_model), FALLBACK_MODELS="spare/second")


def impatient(fake_model: FakeModelServer) -> dict[str, str]:
    provider = {"base_url": fake_model.base_url, "api_key": "test"}
    gone = {"base_url": "http://127.0.0.1:9/v1", "api_key": "test"}  # where nobody listens
    return {
        "LLM_PROVIDERS": json.dumps({"fake": provider, "spare": provider, "gone": gone}),
        "LLM_FIRST_TOKEN_SECONDS": "2",
        "LLM_IDLE_SECONDS": "1",
    }


async def answer(stack: FaultStack, fake_model: FakeModelServer, *allowed: str) -> tuple[Talk, Message]:
    """One question, checked when its reply has ended as ``allowed``; afterwards the healthy model answers another."""
    async with Crowd(stack.urls, 1) as crowd:
        await crowd.ask()
        await crowd.end()
        await crowd.check(*allowed, said=lambda _question: WHOLE)
        [talk] = crowd.talks
        row = await run_db(Message.objects.get, pk=UUID(talk.reply))
        fake_model.restore()
        async with Crowd(stack.urls, 1) as fresh:
            await fresh.ask()
            await fresh.end()
            await fresh.check(said=lambda _question: WHOLE)
        return talk, row


BREAKS = {
    "cut by a reset": (Script(cut_after=SHOWN, cut="reset"), "llm_cut"),
    "cut by a closed connection": (Script(cut_after=SHOWN, cut="close"), "llm_cut"),
    "cut by a proper end": (Script(cut_after=SHOWN, cut="eof"), "llm_cut"),
    "stalled": (Script(stall_after=SHOWN), "llm_timeout"),
    "keep-alives only": (Script(stall_after=SHOWN, keep_alives_only=True), "llm_timeout"),
    "malformed": (Script(malformed_after=SHOWN), "llm_malformed"),
    "error event": (Script(error_after=SHOWN), "llm_unavailable"),
    "endless line": (Script(stall_after=SHOWN, huge_line=300_000_000), "llm_too_large"),
}


@pytest.mark.parametrize("fault", BREAKS)
async def test_broken_off_after_its_first_tokens_a_reply_is_interrupted_with_what_was_shown(
    stack: FaultStack, worker: Process, fake_model: FakeModelServer, fault: str
) -> None:
    script, code = BREAKS[fault]
    fake_model.enqueue(script)
    talk, row = await answer(stack, fake_model, "interrupted")
    assert (row.error_code, row.text) == (code, PARTIAL)
    assert row.finish_reason == ""
    ending = next(event for event in talk.client.heard if event["type"] == "reply.interrupted")
    assert ending["code"] == code
    assert memory(worker) < MAX_WORKER_MEGABYTES


def memory(process: Process) -> float:
    """The most that a process has held, in megabytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def test_ended_without_a_finish_reason_even_a_whole_text_is_not_completed(
    stack: FaultStack, worker: Process, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(finish_reason=None))
    _talk, row = await answer(stack, fake_model, "interrupted")
    assert (row.error_code, row.text) == ("llm_cut", WHOLE)


FAILS = {
    "server error": (Script(status=500), "llm_unavailable", TRIES),
    "refused": (Script(status=400), "llm_refused", 1),
    "key refused": (Script(status=401), "llm_refused", 1),
    "too many for too long": (Script(status=429, retry_after="120"), "llm_rate_limited", 1),
    "HTML with 200": (Script(html=True), "llm_malformed", TRIES),
    "stalled": (Script(stall_after=0), "llm_timeout", 1),
    "keep-alives only": (Script(keep_alives_only=True), "llm_timeout", 1),
    "cut": (Script(cut_after=0, cut="reset"), "llm_cut", TRIES),
    "malformed": (Script(malformed_after=0), "llm_malformed", TRIES),
    "endless line": (Script(huge_line=300_000_000), "llm_too_large", 1),
}


@pytest.mark.parametrize("fault", FAILS)
async def test_before_its_first_token_a_reply_fails_with_its_code_after_capped_tries(
    stack: FaultStack, worker: Process, fake_model: FakeModelServer, fault: str
) -> None:
    fake_model.default, code, tries = FAILS[fault]
    async with Crowd(stack.urls, 1) as crowd:
        await crowd.ask()
        await crowd.end()
        await crowd.check("failed")
        asked = len(fake_model.requests)
    row = await run_db(Message.objects.get, pk=UUID(crowd.talks[0].reply))
    assert (row.error_code, asked) == (code, tries)
    assert crowd.talks[0].seen.events[-1] == "reply.failed"
    fake_model.restore()
    await answer(stack, fake_model)
    assert memory(worker) < MAX_WORKER_MEGABYTES


@pytest.mark.parametrize(
    ("script", "at_least"),
    [(Script(status=429, retry_after="1"), 1.0), (Script(status=503), 0.0), (Script(cut_after=0, cut="reset"), 0.0)],
    ids=["429 with Retry-After", "503", "cut before the first token"],
)
async def test_tried_again_before_the_first_token_nobody_notices(
    stack: FaultStack, worker: Process, fake_model: FakeModelServer, script: Script, at_least: float
) -> None:
    fake_model.enqueue(script)
    talk, row = await answer(stack, fake_model, "completed")
    assert row.error_code == ""
    assert (row.first_token_at - row.started_at).total_seconds() >= at_least
    assert not {"reply.failed", "reply.interrupted"} & set(talk.seen.events)


@pytest.mark.parametrize("model", ["gone/any", "fake/echo?status=500"], ids=["nobody there", "answers with errors"])
async def test_where_the_model_is_down_the_fallback_answers_and_says_so(
    stack: FaultStack, worker_with_fallback: Process, fake_model: FakeModelServer, model: str
) -> None:
    await run_db(make_persona, slug="fallen", model=model)
    async with Crowd(stack.urls, 20, persona="fallen") as crowd:
        await crowd.ask()
        await crowd.end()
        assert await crowd.check(said=lambda _question: WHOLE) == {"completed": 20}
    models = await run_db(lambda: set(Message.objects.filter(role="assistant").values_list("model", flat=True)))
    assert models == {"spare/second"}
    worker_with_fallback.kill()  # it would leave the provider alone for some seconds


async def test_cut_after_its_first_tokens_no_other_model_goes_on_in_its_place(
    stack: FaultStack, worker_with_fallback: Process, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(cut_after=SHOWN))
    _talk, row = await answer(stack, fake_model, "interrupted")
    assert (row.model, row.text) == ("fake/echo", PARTIAL)


async def test_down_for_everybody_many_fail_fast_and_the_provider_is_given_a_rest(
    stack: FaultStack, worker: Process, fake_model: FakeModelServer
) -> None:
    fake_model.default = Script(status=500)
    async with Crowd(stack.urls, 20) as crowd:
        await crowd.ask()
        await crowd.end()
        assert await crowd.check("failed") == {"failed": 20}
        asked = len(fake_model.requests)
        async with Crowd(stack.urls, 5) as more:
            await more.ask()
            await more.end()
            assert await more.check("failed") == {"failed": 5}
        # While it rests it is not asked; after each rest one may try.
        tried = list(fake_model.requests)[asked:]
        assert all(later.at - earlier.at >= FIRST_REST for earlier, later in pairwise(tried))
    worker.kill()
