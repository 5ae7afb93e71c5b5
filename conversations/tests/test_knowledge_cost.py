"""Personas that do not use the FAQ pay nothing for it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.conf import settings

from chatbot_project.lib.token_budget import Spending, TokenBudget
from conversations.replies import pipeline
from conversations.replies.cache.joining import ReplyCache
from conversations.replies.live import LiveReply
from conversations.replies.queue import Claim
from conversations.replies.work import Work
from conversations.safety.rules import RuleSet
from personas.models import PersonaVersion

HEAVY = ("numpy", "scipy", "sklearn", "wordllama", "py3langid")


def test_a_reply_worker_starts_without_what_searching_needs() -> None:
    script = f"""
import django, sys
django.setup()
import conversations.management.commands.runreplies, conversations.replies.worker
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    told = os.environ | {"DJANGO_SETTINGS_MODULE": "chatbot_project.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=settings.BASE_DIR, env=told, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def reply_by(version: PersonaVersion) -> LiveReply:
    claim: Any = Claim(None, None, 1, "", None, "", None)  # type: ignore[arg-type]
    return LiveReply.of(claim, Work(None, None, version, ["fake/x"], [], [], "", 0))  # type: ignore[arg-type]


class Refusing:
    """A model client that gives up at once."""

    async def open_stream(self, *arguments: Any) -> Any:
        raise pipeline.LLMError("gone")


@pytest.mark.parametrize(("mode", "asked"), [("off", 0), ("context", 1)])
async def test_the_faq_is_asked_only_where_the_persona_answers_from_it(
    monkeypatch: pytest.MonkeyPatch, mode: str, asked: int
) -> None:
    calls: list[LiveReply] = []

    async def consult(reply: LiveReply) -> Any:
        calls.append(reply)
        raise pipeline.LLMError("enough seen")

    async def no_rules() -> RuleSet:
        return RuleSet(())

    monkeypatch.setattr(pipeline, "consult_faqs", consult)
    monkeypatch.setattr(pipeline, "rules_in_force", no_rules)
    version = PersonaVersion(system_prompt="x", faq_mode=mode, context_budget=2000)
    try:
        await pipeline.answer(reply_by(version), Refusing(), TokenBudget(None, 0), ReplyCache(), None, None)  # type: ignore[arg-type]
    except pipeline.LLMError:
        assert mode == "context"
    assert len(calls) == asked


@pytest.mark.parametrize("sends", [True, False])
async def test_a_reply_that_is_stopped_pays_for_its_question_once_a_model_reads_it(
    monkeypatch: pytest.MonkeyPatch, sends: bool
) -> None:
    spending, asking = Spending(), asyncio.Event()

    class Slow:
        async def open_stream(self, _models: Any, _request: Any, on_sent: Callable[[], None]) -> None:
            if sends:
                on_sent()
            asking.set()
            await asyncio.Event().wait()

    class Budget:
        @asynccontextmanager
        async def reserved(self, **_fields: Any) -> AsyncIterator[Spending]:
            yield spending

    async def no_rules() -> RuleSet:
        return RuleSet(())

    monkeypatch.setattr(pipeline, "rules_in_force", no_rules)
    reply = reply_by(PersonaVersion(system_prompt="Be brief.", faq_mode="off", context_budget=2000))
    answering = asyncio.create_task(pipeline.answer(reply, Slow(), Budget(), ReplyCache(), None, None))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await asking.wait()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
    assert (spending.used > 0) is sends
