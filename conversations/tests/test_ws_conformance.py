"""The conformance script: it finds nothing wrong with the server, and what is wrong with a relay that breaks it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pytest

from accounts import api_keys
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.factories import make_user
from chatbot_project.lib.db import run_db
from personas.models import Persona
from stress_tests import ws_conformance
from stress_tests.fake_model import FakeModelServer, closed_port
from stress_tests.fake_script import Script
from stress_tests.ws_conformance_client import Credentials
from stress_tests.ws_conformance_run import Options, Result

from .broken_relay import BrokenRelay, Change, Json
from .stack import ROOT, Stack

pytestmark = pytest.mark.django_db(transaction=True)

SHORT, LONG = Script(tokens=5), Script(tokens=3000, token_ms=15)
# Two short questions, a long one that is stopped and continued, another reply, another question.
REPLIES = [SHORT, SHORT, LONG, LONG, SHORT, SHORT]
SLOW = {"handshake.ticket_expired"}  # left out, unless all before it took so long that the ticket has run out anyway


def outcomes(results: list[Result], outcome: str) -> dict[str, str]:
    return {result.name: result.reason for result in results if result.outcome == outcome}


@pytest.fixture
def replies(live_stack: Stack, fake_model: FakeModelServer, persona: Persona) -> None:
    fake_model.enqueue(*REPLIES)


@pytest.fixture
def key(owner: User) -> str:
    return make_key(owner)


def make_key(user: User) -> str:
    return api_keys.create_key(user=user, name="conformance", scopes=[Scope.READ, Scope.CHAT])[1]


async def run(url: str, key: str = "", other_key: str = "", **options: Any) -> list[Result]:
    """As a guest where there is no key."""
    only = options.pop("only", ())
    given = Options(**{"wait": False, "patience": 0.0, "reply_seconds": 20.0} | options)
    credentials, other = Credentials(api_key=key), Credentials(api_key=other_key)
    return await ws_conformance.conformance(url, credentials, other=other, options=given, only=only)


async def test_the_server_passes_every_check_as_a_guest(live_stack: Stack, replies: None) -> None:
    results = await run(live_stack.url)
    assert outcomes(results, "fail") == {}
    assert set(outcomes(results, "skip")) - SLOW == {"close.flood"}
    assert len(results) == len(ws_conformance.CHECKS) > 40


async def test_the_server_passes_with_an_api_key_and_stands_the_flood(
    live_stack: Stack, key: str, replies: None
) -> None:
    results = await run(live_stack.url, key, flood=True)
    assert outcomes(results, "fail") == {}
    assert set(outcomes(results, "skip")) <= SLOW


# --- it can fail


class Every:
    """Every ``n``th delta of a relay."""

    def __init__(self, n: int, change: Change) -> None:
        self._n, self._change, self._seen = n, change, 0

    def __call__(self, event: Json) -> Iterable[Json]:
        if event["type"] == "reply.delta":
            self._seen += 1
            if self._seen % self._n == 0:
                return self._change(event)
        return [event]


def joins_anything(command: Json) -> Iterable[Json]:
    """Cursors that cannot be are taken for the newest that can."""
    cursors = {reply: [1, 0] if cursor != [0, 0] else cursor for reply, cursor in command.get("cursors", {}).items()}
    return [command | {"cursors": cursors}] if cursors else [command]


class ForgetsClientIds:
    """Each command is another to the server."""

    def __init__(self) -> None:
        self._meant: dict[str, str] = {}

    def hears(self, command: Json) -> Iterable[Json]:
        if command["type"] != "message.send":
            return [command]
        client_id = uuid4().hex
        self._meant[client_id] = command["client_id"]
        return [command | {"client_id": client_id}]

    def says(self, event: Json) -> Iterable[Json]:
        known = self._meant.get(event.get("client_id", ""))
        if known is None or event["type"] not in ("message.accepted", "error"):
            return [event]
        return [event | {"client_id": known}]


def forbidding(event: Json) -> Iterable[Json]:
    """Says that another's thing is there."""
    return [event | {"code": "forbidden"}] if event.get("code") == "not_found" else [event]


def lenient(event: Json) -> Iterable[Json]:
    return [{"type": "pong"}] if event.get("code") == "bad_command" else [event]


async def broken(url: str, *only: str, **faults: Any) -> dict[str, str]:
    """What fails through a relay with these faults."""
    keys = [await run_db(make_key, await run_db(make_user)) for _ in range(2)]  # guests of one address share a budget
    async with BrokenRelay(url, **faults) as relay:
        return outcomes(await run(relay.url, *keys, only=only), "fail")


async def test_a_relay_that_breaks_nothing_passes(live_stack: Stack, replies: None) -> None:
    assert await broken(live_stack.url) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda event: [], "text is missing"),
        (lambda event: [event, event], "text is doubled"),
        (lambda event: [event | {"type": "reply.snapshot"}], "reply.snapshot says seq"),
        (lambda event: [event | {"epoch": event["epoch"] + 1}], "which nothing began"),
        (lambda event: [event | {"epoch": 0}], "after one of epoch 1"),
        (lambda event: [event | {"seq": event["seq"] + 1}], "text is missing"),
        (lambda event: [{key: value for key, value in event.items() if key != "seq"}], "a frame that is no event"),
    ],
    ids=["drops", "doubles", "mislabels", "raises the epoch", "lowers the epoch", "miscounts", "leaves out seq"],
)
async def test_a_relay_that_tampers_with_a_delta_is_found_out(
    live_stack: Stack, fake_model: FakeModelServer, persona: Persona, change: Change, reason: str
) -> None:
    fake_model.enqueue(Script(tokens=400, token_ms=15))
    failed = await broken(live_stack.url, "ping", "send.accepted", "send.stream", says=Every(4, change))
    assert set(failed) == {"send.stream"}
    assert reason in failed["send.stream"]


async def test_a_relay_that_joins_deltas_to_cursors_that_cannot_be_is_found_out(
    live_stack: Stack, replies: None
) -> None:
    failed = await broken(live_stack.url, "send", "resume", hears=joins_anything)
    assert {"resume.ahead", "resume.negative", "resume.huge", "resume.old_epoch", "resume.new_epoch"} <= set(failed)
    assert not {"send.stream", "resume.nothing", "resume.start"} & set(failed)


async def test_a_relay_that_forgets_client_ids_is_found_out(live_stack: Stack, fake_model: Any, persona: Any) -> None:
    relay = ForgetsClientIds()
    failed = await broken(live_stack.url, "send.idempotent", "ping", hears=relay.hears, says=relay.says)
    assert failed == {"send.idempotent": "5 questions were stored"}


async def test_a_relay_that_takes_any_ticket_is_found_out(live_stack: Stack, persona: Persona) -> None:
    failed = await broken(live_stack.url, "handshake", own_tickets=True)
    assert set(failed) == {"handshake.ticket_once", "handshake.ticket_unknown", "handshake.nobody"}


async def test_a_relay_with_close_codes_of_its_own_is_found_out(live_stack: Stack, persona: Persona) -> None:
    failed = await broken(live_stack.url, "handshake", "close", close_code=1000)
    expected = {"handshake.ticket_once", "handshake.ticket_unknown", "close.binary", "close.oversize"}
    assert expected <= set(failed)


async def test_a_relay_that_says_that_anothers_things_are_there_is_found_out(live_stack: Stack, replies: None) -> None:
    failed = await broken(live_stack.url, "send.accepted", "send.no_persona", "apart", says=forbidding)
    assert set(failed) == {"send.no_persona", "apart.follow", "apart.send", "apart.stop", "apart.edit"}


async def test_a_relay_that_takes_bad_frames_is_found_out(live_stack: Stack, persona: Persona) -> None:
    failed = await broken(live_stack.url, "error", "ping", says=lenient)
    assert set(failed) == {check.name for check in ws_conformance.CHECKS if check.name.startswith("error.")}


async def test_a_relay_that_leaves_out_a_field_is_found_out(live_stack: Stack, persona: Persona) -> None:
    def says(event: Json) -> Iterable[Json]:
        return [{key: value for key, value in event.items() if key != "retry_after"}]

    failed = await broken(live_stack.url, "error.bad_json", "schema", says=says)
    assert failed == {"schema": "error: $: 'retry_after' is a required property"}


# --- its command line


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NONO_")}
    script = [sys.executable, "-m", "stress_tests.ws_conformance", *arguments]
    return subprocess.run(script, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60, check=False)


def test_the_command_prints_a_line_a_check_and_says_by_its_exit_code_whether_one_failed(
    live_stack: Stack, key: str, persona: Persona
) -> None:
    done = command(live_stack.url, "--api-key", key, "--no-wait", "--only", "ping", "--only", "close.flood")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("pass  ping ")
    assert lines[1].endswith(": rude: asked for with --flood")
    assert lines[2].startswith("1 passed, 0 failed, 1 skipped in ")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failure_is_exit_code_1_and_json_says_which(live_stack: Stack, key: str) -> None:
    only = ("--only", "ping", "--only", "send.accepted")
    done = command(live_stack.url, "--api-key", key, "--json", *only, "--persona", "nobody")
    told = json.loads(done.stdout)
    assert (done.returncode, told["pass"], told["fail"]) == (1, 1, 1)
    failed = next(check for check in told["checks"] if check["outcome"] == "fail")
    assert failed["name"] == "send.accepted"
    assert "not_found" in failed["reason"]


def test_where_nothing_can_be_told_it_is_exit_code_2(live_stack: Stack) -> None:
    nobody = command(f"http://127.0.0.1:{closed_port()}")
    wrong = command(live_stack.url, "--api-key", "nono_sk_wrong")
    assert [nobody.returncode, wrong.returncode] == [2, 2]
    assert "answered 401" in wrong.stderr
    assert "Traceback" not in nobody.stderr + wrong.stderr
