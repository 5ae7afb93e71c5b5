"""Completions in mid-stream while what they come through is told to go, killed or emptied: whole, or told as broken."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from redis import Redis

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .fault_stack import FaultStack, eventually, wait_exit
from .openai_client import asked, async_client, make_key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

ALL = "".join(f"tok{number} " for number in range(8))
KEY = {"Idempotency-Key": "once"}


class Reading:
    """One completion that is read; ``text`` is what came."""

    def __init__(self, client: openai.AsyncOpenAI, arguments: dict[str, Any]) -> None:
        self.text = ""
        self.reason: str | None = None
        self.task = asyncio.create_task(self._read(client, arguments))

    async def _read(self, client: openai.AsyncOpenAI, arguments: dict[str, Any]) -> None:
        async for chunk in await client.chat.completions.create(**arguments, stream=True):
            self.text += chunk.choices[0].delta.content or ""
            self.reason = chunk.choices[0].finish_reason

    async def shows(self, text: str) -> None:
        await eventually(lambda: self.text == text or self.task.done(), f"the text {text!r}")
        assert self.text == text


@pytest.fixture
def gate(fake_model: FakeModelServer) -> Gate:
    gate = fake_model.hold()
    fake_model.default = Script(tokens=8, gate=gate)
    return gate


@pytest.fixture
async def client(stack: FaultStack, owner: User) -> AsyncIterator[openai.AsyncOpenAI]:
    async with async_client(stack.urls[0], await run_db(make_key, owner)) as opened:
        yield opened


def is_listening(url: str) -> bool:
    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname, where.port), 1).close()
    except OSError:
        return False
    return True


async def reply() -> Message:
    return await run_db(Message.objects.get, role="assistant")


async def test_redis_emptied_the_text_goes_on_without_a_gap_or_a_repetition(
    client: openai.AsyncOpenAI, stack: FaultStack, persona: Persona, gate: Gate
) -> None:
    gate.release(3)
    reading = Reading(client, asked(persona))
    await reading.shows("tok0 tok1 tok2 ")
    with Redis.from_url(stack.environment["REDIS_URL"]) as redis:
        redis.flushall()
    gate.release(2)
    await reading.shows("tok0 tok1 tok2 tok3 tok4 ")
    gate.release()
    await reading.task
    assert (reading.text, reading.reason) == (ALL, "stop")
    assert (await reply()).epoch > 1


async def test_a_worker_that_is_told_to_go_hands_over_and_the_text_goes_on(
    client: openai.AsyncOpenAI, stack: FaultStack, persona: Persona, gate: Gate, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=["One ", "two "], gate=gate), Script(tokens=["three"]))
    gate.release(1)
    reading = Reading(client, asked(persona))
    await reading.shows("One ")
    worker = stack.worker_called((await reply()).worker)
    worker.signal(signal.SIGTERM)
    await wait_exit(worker)
    await asyncio.wait_for(reading.task, 20)
    assert (reading.text, reading.reason) == ("One three", "stop")
    assert (await reply()).text == "One three"


@pytest.mark.slow
async def test_a_worker_that_is_killed_breaks_the_stream_with_an_error(
    client: openai.AsyncOpenAI, stack: FaultStack, persona: Persona, gate: Gate
) -> None:
    gate.release(3)
    reading = Reading(client, asked(persona))
    await reading.shows("tok0 tok1 tok2 ")
    stack.worker_called((await reply()).worker).kill()
    with pytest.raises(openai.APIError) as broken:
        await asyncio.wait_for(reading.task, 30)
    assert broken.value.code == "worker_lost"
    assert reading.reason is None
    assert (await reply()).status == "interrupted"


async def test_a_server_that_is_told_to_go_lets_replies_end_that_are_read_over_http(
    client: openai.AsyncOpenAI, stack: FaultStack, persona: Persona, gate: Gate
) -> None:
    gate.release(3)
    reading = Reading(client, asked(persona))
    await reading.shows("tok0 tok1 tok2 ")
    whole = asyncio.create_task(client.chat.completions.create(**asked(persona, "Whole")))
    await eventually(lambda: run_db(Message.objects.filter(role="assistant", status="streaming")[1:].exists), "both")
    stack.web[0].signal(signal.SIGTERM)
    await eventually(lambda: not is_listening(stack.urls[0]), "the end of listening")
    gate.release()
    await asyncio.wait_for(reading.task, 15)
    assert (reading.text, reading.reason) == (ALL, "stop")
    assert (await asyncio.wait_for(whole, 15)).choices[0].message.content == ALL
    assert await wait_exit(stack.web[0]) == 0


@pytest.mark.slow
async def test_a_server_that_is_told_to_go_says_so_and_a_key_goes_on_elsewhere(
    client: openai.AsyncOpenAI, stack: FaultStack, persona: Persona, gate: Gate, owner: User
) -> None:
    gate.release(3)
    kept = Reading(client, asked(persona, extra_headers=KEY))
    await kept.shows("tok0 tok1 tok2 ")
    passing = Reading(client, asked(persona, "In passing"))
    await passing.shows("tok0 tok1 tok2 ")
    stack.web[0].signal(signal.SIGTERM)
    for reading in (kept, passing):
        with pytest.raises(openai.APIError) as gone:
            await asyncio.wait_for(reading.task, 30)  # they do not end within the 18 s that they have
        assert gone.value.code == "going_away"
        assert reading.reason is None
    stopped = Message.objects.filter(role="assistant", parent__text="In passing", status="stopped")
    await eventually(lambda: run_db(stopped.exists), "the end of what nobody can read")
    gate.release()
    async with async_client(stack.urls[1], await run_db(make_key, owner)) as elsewhere:
        again = await elsewhere.chat.completions.create(**asked(persona), extra_headers=KEY)
    assert again.choices[0].message.content == ALL
    assert await wait_exit(stack.web[0]) == 0
