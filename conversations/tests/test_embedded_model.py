"""The model that comes along, through the whole product: real tokens, streamed, counted and stored."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from conversations.models import Message
from conversations.tests.factories import make_persona

from .client import ChatClient, session_key
from .stack import Stack, _answers, free_port, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def embedded_model() -> Iterator[str]:
    """The base URL of the embedded model, served as `make run` does."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "chatbot_project.embedded.llm", "--port", str(port)])
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/v1/models"), "the embedded model", 60)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


async def test_the_embedded_model_streams_a_reply_that_is_stored_as_it_was_seen(
    transactional_db: None, owner: User, embedded_model: str
) -> None:
    with Stack(embedded_model) as stack:
        persona: Any = await run_db(
            make_persona, model="fake/smollm2", max_reply_tokens=24, system_prompt="You are brief and friendly."
        )
        async with ChatClient(stack.url, await run_db(session_key, owner)) as tab:
            accepted = await tab.ask("Name three colours.", persona=persona.slug)
            seen = await tab.ended(accepted["reply"]["id"], 60)
        row = await run_db(Message.objects.get, pk=accepted["reply"]["id"])
    assert seen.status == "reply.completed"
    assert seen.events.count("reply.delta") > 1
    assert seen.text.strip()
    assert row.text == seen.text
    assert row.finish_reason in ("stop", "length")
    assert 0 < row.completion_tokens <= 24
    assert not row.usage_estimated
