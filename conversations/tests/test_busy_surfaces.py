"""What a question that is turned away is told, over each way of asking, and what one that waits is told meanwhile."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Message
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .client import ChatClient, session_key
from .factories import make_persona
from .fault_stack import eventually
from .stack import SLOW_MODEL, Stack, slow_provider

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def narrow_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    """A web process where one question may wait, and ten may be asked in an hour. No worker knows its provider."""
    slow = slow_provider(fake_model_session.base_url)
    with Stack(fake_model_session.base_url, workers=0, BUSY_QUEUE="1", RATE_LIMIT_ASKS="10/h", **slow) as stack:
        yield stack


@pytest.fixture
def persona(transactional_db: None) -> Persona:
    """Asks the provider that no worker knows."""
    return make_persona(model=SLOW_MODEL)


async def refused_as(tab: ChatClient, *, position: int) -> None:
    """Once one more question would be number ``position``."""

    async def is_refused_so() -> bool:
        name = uuid4().hex
        await tab.send(type="message.send", client_id=name, text="Me too")
        error = await tab.until(lambda: tab.errors.get(name), "an answer")
        return bool(error["position"] == position)

    await eventually(is_refused_so, f"place {position}")


async def test_one_waits_and_is_told_where_and_all_others_are_told_busy_at_no_cost(
    transactional_db: None, narrow_stack: Stack, persona: Persona, owner: User, other: User
) -> None:
    async with (
        ChatClient(narrow_stack.url, await run_db(session_key, owner)) as first,
        ChatClient(narrow_stack.url, await run_db(session_key, other)) as second,
    ):
        await first.send(type="message.send", client_id=uuid4().hex, text="Hi")
        told = await first.until(lambda: next((e for e in first.heard if e["type"] == "reply.queued"), None), "a place")
        assert (told["position"], told["wait"]) == (1, None)
        await refused_as(second, position=2)  # a question that is just being stored may count twice for a moment
        names = [uuid4().hex for _ in range(15)]  # more than the rate limit lets through
        for name in names:
            await second.send(type="message.send", client_id=name, text="Me too")
        answers = [await second.until(lambda name=name: second.errors.get(name), "an answer") for name in names]
    assert {(a["code"], a["position"], a["wait"]) for a in answers} == {("busy", 2, None)}
    assert all(30 <= a["retry_after"] <= 38 for a in answers)
    assert await run_db(lambda: Message.objects.replies().count()) == 1
