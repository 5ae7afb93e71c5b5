"""Completions whose reader leaves, comes back or waits long: exactly once, and nothing written that nobody can read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations import services
from conversations.models import Conversation, Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .fault_stack import eventually
from .openai_client import asked, async_client, make_key
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)
KEY = {"Idempotency-Key": "my key no. 1"}
ALL = "tok0 tok1 tok2 tok3 tok4 tok5 "


@pytest.fixture
async def client(live_stack: Stack, owner: User, persona: Persona) -> AsyncIterator[AsyncOpenAI]:
    async with async_client(live_stack.url, await run_db(make_key, owner)) as opened:
        yield opened


@pytest.fixture
def gate(fake_model: FakeModelServer) -> Gate:
    """Replies say as many of six tokens as it lets through."""
    gate = fake_model.hold()
    fake_model.default = Script(tokens=6, gate=gate)
    return gate


async def the_reply() -> Message | None:
    return await run_db(Message.objects.filter(role="assistant").order_by("-created_at").first)


async def status_is(status: str) -> Message:
    async def found() -> Message | None:
        reply = await the_reply()
        return reply if reply is not None and reply.status == status else None

    return await eventually(found, f"a reply that is {status}")


async def read(stream: Any, pieces: int) -> str:
    """The text of the next ``pieces`` chunks that have any."""
    text, seen = "", 0
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            text, seen = text + chunk.choices[0].delta.content, seen + 1
        if seen == pieces:
            break
    return text


async def test_a_reply_whose_reader_leaves_a_stream_is_stopped(
    client: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer, gate: Gate
) -> None:
    gate.release(1)
    stream = await client.chat.completions.create(**asked(persona), stream=True)
    assert await read(stream, 1) == "tok0 "
    await stream.close()
    reply = await status_is("stopped")
    assert reply.text == "tok0 "
    await asyncio.to_thread(fake_model.wait_disconnected)


async def test_a_reply_whose_reader_leaves_before_it_was_whole_is_stopped(
    client: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer, gate: Gate
) -> None:
    waiting = asyncio.create_task(client.chat.completions.create(**asked(persona)))
    await asyncio.to_thread(fake_model.wait_requests, 1)
    waiting.cancel()
    await status_is("stopped")
    await asyncio.to_thread(fake_model.wait_disconnected)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_whose_reader_leaves_while_it_waits_is_never_begun(
    client: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer, live_stack: Stack, stream: bool
) -> None:
    live_stack.pause_workers()
    waiting = asyncio.create_task(client.chat.completions.create(**asked(persona), stream=stream))
    await status_is("queued")
    waiting.cancel()
    await status_is("stopped")
    live_stack.resume_workers()
    assert (await client.chat.completions.create(**asked(persona, "Another"))).choices[0].finish_reason == "stop"
    assert len(fake_model.requests) == 1


@pytest.mark.parametrize("kept", [{"extra_headers": KEY}, {"store": True}])
@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_can_be_read_later_goes_on(
    client: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer, gate: Gate, kept: dict[str, Any], stream: bool
) -> None:
    waiting = asyncio.create_task(client.chat.completions.create(**asked(persona), stream=stream, **kept))
    await asyncio.to_thread(fake_model.wait_requests, 1)
    waiting.cancel()
    gate.release()
    assert (await status_is("completed")).text == ALL
    if "extra_headers" in kept:
        again = await client.chat.completions.create(**asked(persona), **kept)
        assert again.choices[0].message.content == ALL
    assert len(fake_model.requests) == 1


# --- exactly once


async def test_the_same_key_gives_the_same_reply_live_and_later_whole_and_in_chunks(
    client: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer, gate: Gate
) -> None:
    gate.release(2)
    first = await client.chat.completions.create(**asked(persona), stream=True, extra_headers=KEY)
    assert await read(first, 1)
    second = await client.chat.completions.create(**asked(persona), stream=True, extra_headers=KEY)
    gate.release()
    assert await read(second, -1) == ALL
    whole = await client.chat.completions.create(**asked(persona), extra_headers=KEY)
    later = [c async for c in await client.chat.completions.create(**asked(persona), stream=True, extra_headers=KEY)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in later) == ALL
    assert whole.choices[0].message.content == ALL
    assert {whole.id, *(chunk.id for chunk in later)} == {whole.id}
    assert len(fake_model.requests) == 1


async def test_the_same_key_twenty_times_at_once_is_one_reply(
    client: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer
) -> None:
    calls = [client.chat.completions.create(**asked(persona), extra_headers=KEY) for _ in range(20)]
    answers = await asyncio.gather(*calls)
    assert len({answer.id for answer in answers}) == 1
    assert len(fake_model.requests) == 1
    assert await run_db(Conversation.objects.count) == 1


async def test_without_a_key_each_call_is_a_reply_of_its_own(client: AsyncOpenAI, persona: Persona) -> None:
    answers = [await client.chat.completions.create(**asked(persona)) for _ in range(2)]
    assert len({answer.id for answer in answers}) == 2


async def test_a_key_belongs_to_its_request_and_its_person(
    client: AsyncOpenAI, persona: Persona, live_stack: Stack, other: User
) -> None:
    first = await client.chat.completions.create(**asked(persona), extra_headers=KEY)
    with pytest.raises(openai.UnprocessableEntityError) as reused:
        await client.chat.completions.create(**asked(persona, "Another?"), extra_headers=KEY)
    assert reused.value.code == "idempotency_key_reused"
    async with async_client(live_stack.url, await run_db(make_key, other)) as stranger:
        assert (await stranger.chat.completions.create(**asked(persona), extra_headers=KEY)).id != first.id


# --- endings that are none


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_that_somebody_stops_is_an_error(
    client: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer, gate: Gate, owner: User, stream: bool
) -> None:
    async def run() -> str:
        answer: Any = await client.chat.completions.create(**asked(persona), stream=stream, store=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer]) if stream else "whole"

    running = asyncio.create_task(run())
    gate.release(1)
    await asyncio.to_thread(fake_model.wait_requests, 1)
    reply = await status_is("streaming")
    await eventually(lambda: run_db(Message.objects.filter(pk=reply.pk, text="tok0 ").exists), "its first word")
    await run_db(services.request_stop, user=owner, reply_id=reply.pk)
    with pytest.raises(openai.APIError) as stopped:
        await running
    assert stopped.value.code == "stopped"
    assert stream or isinstance(stopped.value, openai.ConflictError)


@pytest.mark.slow
async def test_a_stream_that_waits_long_for_its_first_word_is_kept_open(
    client: AsyncOpenAI, persona: Persona, gate: Gate
) -> None:
    async with client.chat.completions.with_streaming_response.create(**asked(persona), stream=True) as raw:
        assert raw.status_code == 200
        lines = raw.iter_lines()
        first = [await anext(lines), await anext(lines), await anext(lines)]  # with the second keep-alive
        assert '"role":"assistant"' in first[0]
        assert first[2] == ": still here"
        gate.release()
        text = "\n".join([line async for line in lines])
    assert text.count('"content":"tok') >= 1
    assert text.rstrip().endswith("data: [DONE]")


async def test_as_many_as_one_person_may_have_under_way(
    client: AsyncOpenAI, persona: Persona, gate: Gate, fake_model: FakeModelServer
) -> None:
    calls = [client.chat.completions.create(**asked(persona)) for _ in range(services.MAX_LIVE_REPLIES + 5)]
    running = asyncio.gather(*calls, return_exceptions=True)
    await asyncio.to_thread(fake_model.wait_requests, services.MAX_LIVE_REPLIES)
    gate.release()
    answers = await running
    refused = [answer for answer in answers if isinstance(answer, openai.RateLimitError)]
    assert {refusal.code for refusal in refused} <= {"too_many_replies"}
    assert len(refused) <= 5
    assert all(answer.choices[0].message.content == ALL for answer in answers if answer not in refused)
