"""Personas that do not use the FAQ pay nothing for it."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from chatbot_project.lib.token_budget import TokenBudget
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
    claim: Any = Claim(None, None, 1, "", None, "", None)  # type: ignore[arg-type]
    work = Work(None, None, version, ["fake/x"], [], [], "", 0)  # type: ignore[arg-type]
    try:
        await pipeline.answer(LiveReply.of(claim, work), Refusing(), TokenBudget(None, 0), ReplyCache(), None, None)  # type: ignore[arg-type]
    except pipeline.LLMError:
        assert mode == "context"
    assert len(calls) == asked
