"""How often a person may ask a model over the socket: exact over all their tabs and ways of asking."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import User
from accounts.sources import scope_source
from accounts.tests.factories import make_guest
from chatbot_project.lib.db import run_db
from chatbot_project.lib.redis import blocking_redis
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .client import ChatClient, session_key
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def strict_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    """A web process that lets everybody ask ten times an hour, and a guest five times."""
    limits = {"RATE_LIMIT_ASKS": "10/h", "RATE_LIMIT_GUEST": "5/h", "RATE_LIMIT_ADDRESS": "8/h"}
    with Stack(fake_model_session.base_url, workers=0, **limits) as stack:
        yield stack


@pytest.fixture
def stack(transactional_db: None, strict_stack: Stack, persona: Persona) -> Stack:
    redis = blocking_redis()
    for key in redis.scan_iter("rate:*"):  # guests of other tests, who came from this address as well
        redis.delete(key)
    return strict_stack


async def answered(tab: ChatClient, client_id: str) -> dict[str, Any]:
    return dict(await tab.until(lambda: tab.accepted.get(client_id) or tab.errors.get(client_id), "an answer"))


async def ask(tab: ChatClient, **command: Any) -> dict[str, Any]:
    sent = {"type": "message.send", "client_id": uuid4().hex, "text": "Hi"} | command
    await tab.send(**sent)
    return await answered(tab, sent["client_id"])


def codes(answers: list[dict[str, Any]]) -> Counter[str]:
    return Counter(answer.get("code", "accepted") for answer in answers)


@pytest.fixture
async def tabs(stack: Stack, owner: User) -> AsyncIterator[list[ChatClient]]:
    async with AsyncExitStack() as opened:
        keys = [await run_db(session_key, owner) for _ in range(5)]
        yield [await opened.enter_async_context(ChatClient(stack.url, key)) for key in keys]


async def test_of_a_hundred_questions_at_once_over_five_tabs_exactly_ten_are_accepted(
    tabs: list[ChatClient], owner: User, stack: Stack, other: User
) -> None:
    answers = await asyncio.gather(*(ask(tabs[number % 5]) for number in range(100)))
    assert codes(answers) == {"accepted": 10, "rate_limited": 90}
    refusal = next(answer for answer in answers if answer["type"] == "error")
    assert 3590 <= refusal["retry_after"] <= 3600
    assert await run_db(Message.objects.filter(owner=owner, role="user").count) == 10
    async with ChatClient(stack.url, await run_db(session_key, other)) as tab:
        assert (await ask(tab))["type"] == "message.accepted"


async def test_every_way_of_asking_takes_from_the_same_budget(tabs: list[ChatClient]) -> None:
    first = await ask(tabs[0])
    question, reply = first["message"]["id"], first["reply"]["id"]
    for _ in range(9):
        await ask(tabs[1])
    for command in (
        {"type": "message.edit", "message": question},
        {"type": "message.send", "conversation": first["conversation"]["id"]},
    ):
        assert (await ask(tabs[2], **command))["code"] == "rate_limited"
    for kind in ("reply.regenerate", "reply.continue"):
        client_id = uuid4().hex
        await tabs[3].send(type=kind, client_id=client_id, reply=reply)
        assert (await answered(tabs[3], client_id))["code"] == "rate_limited"


async def test_what_was_stored_is_answered_again_at_no_cost_and_where_nothing_more_may_be_asked(
    tabs: list[ChatClient],
) -> None:
    sent, on = {"client_id": uuid4().hex}, uuid4().hex
    first = await ask(tabs[0], **sent)
    again = await ask(tabs[1], **sent)
    reply = first["reply"]["id"]
    await tabs[0].send(type="reply.stop", reply=reply)
    await tabs[0].ended(reply)
    await tabs[0].send(type="reply.continue", client_id=on, reply=reply)
    assert (await answered(tabs[0], on))["type"] == "message.accepted"
    assert codes([await ask(tabs[2]) for _ in range(9)]) == {"accepted": 8, "rate_limited": 1}
    refused = await ask(tabs[3], **sent)
    await tabs[4].send(type="reply.continue", client_id=on, reply=reply)
    for answer in (again, refused, await answered(tabs[4], on)):
        assert (answer["type"], answer["again"], answer["reply"]["id"]) == ("message.accepted", True, reply)


async def test_what_asks_no_model_goes_on(tabs: list[ChatClient]) -> None:
    first = await ask(tabs[0])
    for _ in range(12):
        await ask(tabs[0])
    before = len(tabs[0].heard)
    await tabs[0].send(type="ping")
    await tabs[0].send(type="reply.stop", reply=first["reply"]["id"])
    await tabs[0].until(
        lambda: {"pong", "reply.stopped"} <= {event["type"] for event in tabs[0].heard[before:]}, "pong and ending"
    )


async def test_guests_have_less_and_share_their_address(stack: Stack) -> None:
    for allowed in (5, 3, 0):
        key = await run_db(lambda: session_key(make_guest()))
        async with ChatClient(stack.url, key) as tab:
            answers = [await ask(tab) for _ in range(6)]
            assert codes(answers) == +Counter({"accepted": allowed, "rate_limited": 6 - allowed})


@pytest.mark.parametrize(
    ("hops", "forwarded", "source"),
    [
        (0, [b"203.0.113.9"], "192.0.2.1"),
        (1, [b"1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (1, [b"1.1.1.1", b"203.0.113.9"], "203.0.113.9"),
        (1, [b"2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (1, [b"\xff"], "unknown"),
        (2, [b"203.0.113.9"], "192.0.2.1"),
    ],
)
def test_a_sockets_source_is_what_trusted_proxies_say(settings, hops: int, forwarded: list[bytes], source: str) -> None:
    settings.TRUSTED_PROXY_HOPS = hops
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value) for value in forwarded)]
    assert scope_source({"headers": headers, "client": ("192.0.2.1", 1234)}) == source
