"""One question is followed by its ids through the logs of real processes, which hold nothing that people wrote."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .fault_stack import eventually
from .stack import CeleryWorker, Process, Stack

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CANARY = "xylophone-canary"
SAID = "zeppelin-canary"
Line = dict[str, Any]


@pytest.fixture(scope="module")
def processes(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[tuple[Stack, CeleryWorker]]:
    stack = Stack(fake_model_session.base_url, TITLE_MODEL="fake/echo", LOG_LEVEL="DEBUG")
    with stack, CeleryWorker(stack) as celery:
        yield stack, celery


@pytest.fixture
def stack(transactional_db: None, fake_model: FakeModelServer, processes: tuple[Stack, CeleryWorker]) -> Stack:
    processes[0].resume_workers()
    return processes[0]


@pytest.fixture
def celery(processes: tuple[Stack, CeleryWorker]) -> CeleryWorker:
    return processes[1]


def lines(process: Process) -> list[Line]:
    """What a process has logged, which is JSON."""
    return [json.loads(line) for line in Path(process.log).read_text().splitlines() if line.startswith("{")]


def named(process: Process, event: str, **fields: str) -> list[Line]:
    return [line for line in lines(process) if line["event"] == event and fields.items() <= line.items()]


async def test_one_question_is_followed_from_web_to_worker_to_celery(
    stack: Stack, celery: CeleryWorker, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=[f"Well, {SAID}."]))
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        accepted = await tab.ask(f"Who owns the {CANARY}, bob@example.org?")
        reply = accepted["reply"]["id"]
        await tab.ended(reply)
    ids = {"reply": reply, "conversation": accepted["conversation"]["id"], "request_id": accepted["client_id"]}
    (asked,) = named(stack.web[0], "question.accepted", **ids)
    (command,) = named(stack.web[0], "socket.command", request_id=asked["request_id"])
    assert (command["command"], command["connection"]) == ("message.send", asked["connection"])
    await eventually(lambda: named(stack.workers[0], "reply.ended", status="completed", **ids), "its ending")
    task = "conversations.tasks.make_title"
    await eventually(
        lambda: any("succeeded" in str(line["event"]) for line in lines(celery) if ids.items() <= line.items()),
        "its title's task",
    )
    assert {line["task"] for line in lines(celery) if ids.items() <= line.items()} == {task}
    for process in (*stack.web, *stack.workers, celery):
        assert not {said for said in (CANARY, SAID, "bob@", owner.email, key) if said in process.output()}


async def test_replies_that_are_made_side_by_side_keep_their_own_ids(
    stack: Stack, owner: User, persona: Persona, fake_model: FakeModelServer
) -> None:
    fake_model.default = Script(status=400)
    key = await run_db(session_key, owner)
    async with ChatClient(stack.url, key) as tab:
        asked = [await tab.ask(f"Question {number}?") for number in range(5)]
        for accepted in asked:
            await tab.ended(accepted["reply"]["id"])
    for accepted in asked:
        ids = {"reply": accepted["reply"]["id"], "conversation": accepted["conversation"]["id"]}
        assert len(named(stack.web[0], "question.accepted", **ids)) == 1
        (ended,) = await eventually(
            lambda reply=ids["reply"]: named(stack.workers[0], "reply.ended", reply=reply), "the line of its ending"
        )
        assert (ended["conversation"], ended["request_id"]) == (ids["conversation"], accepted["client_id"])
    commands = [line for line in lines(stack.web[0]) if line["event"] == "question.accepted"]
    assert len({line["request_id"] for line in commands}) == len(commands)


def answer_to(address: str, request_id: str) -> tuple[int, list[str]]:
    """The status and the ids that a GET with that id is answered with."""
    request = urllib.request.Request(address, headers={"X-Request-ID": request_id})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get_all("X-Request-ID") or []
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_all("X-Request-ID") or []


def test_the_id_in_an_answer_finds_the_requests_lines(stack: Stack) -> None:
    assert answer_to(f"{stack.url}/api/v1/none/", "proxy-7f3b.42x") == (404, ["proxy-7f3b.42x"])
    (line,) = named(stack.web[0], "request.answered", request_id="proxy-7f3b.42x")
    assert (line["status"], line["request"]) == (404, "GET /api/v1/none/")


@pytest.mark.parametrize("said", ["short", "a b c d e f g", "x" * 65, "4111111111111111", "bob@example.org"])
def test_an_id_from_outside_that_is_not_acceptable_is_replaced(said: str, stack: Stack) -> None:
    status, (given,) = answer_to(f"{stack.url}/healthz", said)
    assert status == 200
    assert given != said
    assert len(given) == 36
