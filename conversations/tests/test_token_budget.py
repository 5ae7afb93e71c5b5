"""A reply reserves what it may take of its person's day, and pays for what it took."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from openai import AsyncOpenAI, RateLimitError

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .factories import make_persona
from .openai_client import asked, async_client, make_key
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)

DAILY, REPLY = 1000, 300


@pytest.fixture(scope="module")
def frugal_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    """Processes in which everybody has a thousand tokens a day."""
    with Stack(fake_model_session.base_url, DAILY_TOKENS=str(DAILY)) as stack:
        yield stack


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona(max_reply_tokens=REPLY)


@pytest.fixture
async def tab(
    transactional_db: None, fake_model: FakeModelServer, persona: Persona, frugal_stack: Stack, owner: User
) -> AsyncIterator[ChatClient]:
    frugal_stack.resume_workers()
    async with ChatClient(frugal_stack.url, await run_db(session_key, owner)) as client:
        yield client


async def ask(tab: ChatClient) -> str:
    """Ask a new chat; the reply's id."""
    client_id = uuid4().hex
    await tab.send(type="message.send", client_id=client_id, text="Hi")
    accepted = await tab.until(lambda: tab.accepted.get(client_id), "the acknowledgement")
    return str(accepted["reply"]["id"])


async def stored(reply: str) -> Message:
    return await run_db(Message.objects.get, pk=UUID(reply))


async def test_replies_pay_what_the_model_counted_until_the_day_is_used_up(
    tab: ChatClient, fake_model: FakeModelServer
) -> None:
    fake_model.default = Script(tokens=100)
    used: list[int] = []
    while True:
        reply = await ask(tab)
        await tab.ended(reply)
        row = await stored(reply)
        if row.status == "failed":
            break
        assert not row.usage_estimated
        used.append(row.prompt_tokens + row.completion_tokens)
    assert row.error_code == "token_budget_spent"
    assert len(fake_model.requests) == len(used)
    # Each reserved its prompt and REPLY tokens, and got back what it did not use: more fitted than reservations alone.
    assert DAILY - REPLY - 50 < sum(used) <= DAILY
    assert len(used) > DAILY // REPLY


async def test_replies_at_once_reserve_before_they_ask(tab: ChatClient, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    replies = [await ask(tab) for _ in range(8)]

    def failed() -> list[str]:
        return [reply for reply in replies if reply in tab.replies and tab.replies[reply].status == "reply.failed"]

    await tab.until(lambda: len(failed()) == 5, "five refusals")  # of 1000 tokens three fit at once
    gate.release()
    for reply in replies:
        await tab.ended(reply)
    assert len(failed()) == 5
    assert len(fake_model.requests) == 3
    assert {(await stored(reply)).error_code for reply in failed()} == {"token_budget_spent"}
    await tab.ended(await ask(tab))  # what the three did not use is there again
    assert len(fake_model.requests) == 4


async def test_a_reply_that_is_stopped_pays_for_what_it_said(tab: ChatClient, fake_model: FakeModelServer) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(tokens=400, gate=gate, usage=False)
    gate.release(250)
    for _ in range(2):
        reply = await ask(tab)
        await tab.until(lambda r=reply: len(tab.replies[r].text) > 900, "much of the reply")
        await tab.send(type="reply.stop", reply=reply)
        await tab.ended(reply)
    gate.release()
    reply = await ask(tab)
    await tab.ended(reply)
    assert (await stored(reply)).error_code == "token_budget_spent"


@pytest.fixture
async def program(
    transactional_db: None, fake_model: FakeModelServer, persona: Persona, frugal_stack: Stack, owner: User
) -> AsyncIterator[AsyncOpenAI]:
    frugal_stack.resume_workers()
    async with async_client(frugal_stack.url, await run_db(make_key, owner)) as client:
        yield client


async def test_a_program_that_sets_a_nearer_bound_reserves_less(
    program: AsyncOpenAI, persona: Persona, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(tokens=20, gate=gate)
    calls = [program.chat.completions.create(**asked(persona), max_tokens=50) for _ in range(8)]
    running = asyncio.gather(*calls)
    await asyncio.to_thread(fake_model.wait_requests, 8)  # at the persona's bound three would fit
    gate.release()
    assert len(await running) == 8


async def test_a_program_whose_day_is_used_up_is_told_so(program: AsyncOpenAI, fake_model: FakeModelServer) -> None:
    greedy: Any = await run_db(make_persona, max_reply_tokens=DAILY)
    for stream in (False, True):
        with pytest.raises(RateLimitError) as spent:
            await program.chat.completions.create(**asked(greedy), stream=stream)
        assert (spent.value.code, spent.value.type) == ("insufficient_quota", "insufficient_quota")
        assert 0 < int(spent.value.response.headers["Retry-After"]) <= 24 * 3600 + 1
    assert not fake_model.requests
