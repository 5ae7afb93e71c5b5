"""The examples for people who integrate, run against the real processes."""

import asyncio
import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings

from accounts import api_keys, families
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.factories import PASSWORD, make_user
from chatbot_project.lib.db import run_db
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .fault_stack import FaultStack, eventually, wait_exit
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = Path(settings.BASE_DIR) / "docs" / "examples"
WORDS = [f"word{number} " for number in range(40)]
WHOLE = "".join(WORDS)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as whoever copied it imports it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import nono_client

    return nono_client


@pytest.fixture
def key(owner: User) -> str:
    return api_keys.create_key(user=owner, name="example", scopes=[Scope.READ, Scope.CHAT])[1]


@pytest.fixture
async def nono(client: Any, live_stack: Stack, key: str, persona: Persona) -> AsyncIterator[Any]:
    async with client.Nono(live_stack.url, api_key=key) as nono:
        yield nono


def held(fake_model: FakeModelServer) -> Gate:
    """The next reply says WORDS as the gate lets them through."""
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=WORDS, gate=gate))
    return gate


# --- signing in


async def test_a_sign_in_is_refreshed_by_rotation_however_many_tasks_need_it_at_once(
    client: Any, live_stack: Stack
) -> None:
    user = await run_db(make_user, password=PASSWORD)
    kept: list[Any] = []
    async with client.Nono(live_stack.url, on_tokens=kept.append) as nono:
        await nono.sign_in(user.email, PASSWORD)
        first = nono.tokens
        nono.tokens = client.Tokens(first.access, first.refresh, expires_at=0)
        found = await asyncio.gather(*(nono.call("GET", "me") for _ in range(5)))
        assert {me["id"] for me in found} == {str(user.pk)}
        assert len(kept) == 2, "one refresh for all"
        assert kept[1].refresh != first.refresh
        await nono.sign_out()
        with pytest.raises(client.NonoError) as refused:
            await nono.call("GET", "me")
        assert (refused.value.status, refused.value.code) == (401, "signed_out")


async def test_a_token_that_the_server_does_not_take_any_more_is_refreshed_and_the_request_tried_again(
    client: Any, live_stack: Stack
) -> None:
    user = await run_db(make_user, password=PASSWORD)
    pair = await run_db(families.open_family, user=user)
    tokens = client.Tokens("no-token-at-all", pair.refresh, time.time() + 1800)
    async with client.Nono(live_stack.url, tokens=tokens) as nono:
        assert (await nono.call("GET", "me"))["id"] == str(user.pk)


async def test_a_refusal_is_an_error_with_its_code(nono: Any, client: Any) -> None:
    with pytest.raises(client.NonoError) as refused:
        await nono.ask("x", persona="nobody")
    assert (refused.value.status, refused.value.code) == (404, "not_found")


async def test_a_list_is_read_page_after_page(nono: Any) -> None:
    for number in range(3):
        await nono.ask(f"Question {number}")
    titles = [conversation["title"] async for conversation in nono.pages("conversations?limit=2")]
    assert titles == ["Question 2", "Question 1", "Question 0"]


# --- asking


async def test_a_question_gets_its_whole_reply_and_goes_on_in_the_conversation(nono: Any) -> None:
    first = await nono.ask("Hello")
    second = await nono.ask("And more", conversation=first.conversation)
    assert (first.status, second.status) == ("completed", "completed")
    assert second.conversation == first.conversation
    assert second.text == (await run_db(Message.objects.get, pk=second.id)).text != ""


async def test_a_stream_gives_the_reply_as_it_is_written(nono: Any, fake_model: FakeModelServer) -> None:
    gate = held(fake_model)
    pieces: list[str] = []
    gate.release(10)
    async for reply in nono.stream("Count"):
        if piece := reply.take():
            pieces.append(piece)
            gate.release(10)
    assert (reply.status, reply.text, "".join(pieces)) == ("completed", WHOLE, WHOLE)
    assert len(pieces) > 2


async def test_the_socket_gives_the_reply_as_it_is_written_and_stops_it(nono: Any, fake_model: FakeModelServer) -> None:
    gate = held(fake_model)
    async with nono.chat() as chat:
        reply = await chat.ask("Count")
        gate.release(3)
        pieces = []
        async for piece in reply:
            pieces.append(piece)
            if len(reply.text) == len("".join(WORDS[:3])):
                await chat.stop(reply)
        assert (reply.status, "".join(pieces)) == ("stopped", "".join(WORDS[:3]))
        again = await chat.regenerate(reply)
        async for _piece in again:
            pass
        assert (again.status, again.conversation) == ("completed", reply.conversation)


async def test_a_socket_whose_sign_in_ends_raises_it_where_a_reply_is_awaited(
    client: Any, live_stack: Stack, persona: Persona, fake_model: FakeModelServer
) -> None:
    gate = held(fake_model)
    user = await run_db(make_user, password=PASSWORD)
    async with client.Nono(live_stack.url) as nono:
        await nono.sign_in(user.email, PASSWORD)
        async with nono.chat() as chat:
            reply = await chat.ask("Count")
            await nono.sign_out()
            with pytest.raises(client.NonoError) as refused:
                async for _piece in reply:
                    pass
            assert refused.value.code == "signed_out"
    gate.release()


# --- when a server goes away


@pytest.fixture
async def both(client: Any, stack: FaultStack, key: str) -> AsyncIterator[Any]:
    """A client that knows two web processes, and uses the first."""
    async with client.Nono(*stack.urls, api_key=key) as nono:
        yield nono


@pytest.mark.faults
@pytest.mark.parametrize("way", ["stream", "chat"])
async def test_a_web_process_that_is_killed_in_mid_reply_costs_no_character(
    both: Any, stack: FaultStack, fake_model: FakeModelServer, way: str
) -> None:
    gate = held(fake_model)
    gate.release(10)
    killed, said = False, ""

    async def kill_once() -> None:
        nonlocal killed
        if not killed and len(said) >= len("".join(WORDS[:10])):
            killed = True
            await asyncio.to_thread(stack.web[0].kill)
            gate.release()

    if way == "stream":
        async for reply in both.stream("Count"):
            said += reply.take()
            await kill_once()
    else:
        async with both.chat() as chat:
            reply = await chat.ask("Count")
            async for piece in reply:
                said += piece
                await kill_once()
            assert chat.reconnects >= 1
    assert killed
    assert (reply.status, said) == ("completed", WHOLE)
    assert await run_db(Message.objects.count) == 2, "asked once"


@pytest.mark.faults
async def test_a_question_whose_answer_is_lost_is_asked_once(both: Any, stack: FaultStack, fake_model: Any) -> None:
    gate = held(fake_model)
    asking = asyncio.create_task(both.ask("Count"))
    await asyncio.to_thread(fake_model.wait_requests, 1)
    await asyncio.to_thread(stack.web[0].kill)
    gate.release()
    reply = await asking
    assert (reply.status, reply.text) == ("completed", WHOLE)
    assert await run_db(Message.objects.count) == 2


@pytest.mark.faults
async def test_a_web_process_that_drains_sends_the_socket_elsewhere(
    both: Any, stack: FaultStack, fake_model: FakeModelServer
) -> None:
    gate = held(fake_model)
    async with both.chat() as chat:
        reply = await chat.ask("Count")
        stack.web[0].signal(signal.SIGTERM)
        await eventually(lambda: chat.reconnects, "the client to leave")
        gate.release()
        said = "".join([piece async for piece in reply])
    assert (reply.status, said) == ("completed", WHOLE)
    assert await wait_exit(stack.web[0]) == 0


# --- the terminal


class Screen:
    """``terminal_chat.py`` in a terminal of its own; ``shown`` is all of it, ``read`` how much ``until`` has passed."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._own, theirs = pty.openpty()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NONO_")}
        command = [sys.executable, str(EXAMPLES / "terminal_chat.py"), *arguments]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=plain | environment, start_new_session=True
        )
        os.close(theirs)
        self.shown, self.read = "", 0

    def type(self, line: str) -> None:
        os.write(self._own, line.encode() + b"\n")

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal tells its program of it."""
        self.process.send_signal(signal.SIGINT)

    def until(self, text: str, seconds: float = 20.0) -> None:
        """Read on until ``text`` was shown."""
        deadline = time.monotonic() + seconds
        while (at := self.shown.find(text, self.read)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} was not shown: {self.shown!r}"
            if select.select([self._own], [], [], left)[0]:
                try:
                    self.shown += os.read(self._own, 65536).decode()
                except OSError:  # it has ended
                    raise AssertionError(f"it ended without {text!r}: {self.shown!r}") from None
        self.read = at + len(text)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._own)


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


def test_ctrl_c_stops_the_reply_and_another_leaves(
    live_stack: Stack, key: str, persona: Persona, fake_model: FakeModelServer, screens: list[Screen]
) -> None:
    gate = held(fake_model)
    screen = Screen(live_stack.url, NONO_API_KEY=key)
    screens.append(screen)
    screen.until("> ")
    screen.type("Count")
    gate.release(3)
    screen.until("word2")
    screen.interrupt()
    screen.until("[stopped]")
    screen.until("> ")
    screen.type("Again")
    screen.until("tok7")
    screen.until("> ")
    screen.interrupt()
    assert screen.process.wait(10) == 0
    assert Message.objects.filter(status="stopped").count() == 1


@pytest.mark.faults
def test_the_terminal_goes_on_elsewhere_when_its_server_is_killed(
    stack: FaultStack, key: str, fake_model: FakeModelServer, screens: list[Screen]
) -> None:
    gate = held(fake_model)
    screen = Screen(*stack.urls, NONO_API_KEY=key)
    screens.append(screen)
    screen.until("> ")
    screen.type("Count")
    gate.release(10)
    screen.until("word9")
    stack.web[0].kill()
    gate.release()
    screen.until("word39")
    assert WHOLE in " ".join(screen.shown.split()) + " "
    screen.type("\x04")
    assert screen.process.wait(10) == 0


def test_the_terminal_says_what_is_wrong(live_stack: Stack, screens: list[Screen]) -> None:
    screen = Screen(live_stack.url, NONO_API_KEY="nono_sk_wrong")
    screens.append(screen)
    screen.until("invalid_token")
    assert screen.process.wait(10) == 1
    with contextlib.suppress(OSError):
        assert "Traceback" not in screen.shown
