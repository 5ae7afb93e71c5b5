"""The moderation endpoint: thresholds of the persona, what it is sent, and what happens where it cannot be asked."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import AsyncMock

import pytest

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMMalformed
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.types import RetryPolicy
from conversations.models import ModerationItem
from conversations.safety.endpoint import judge
from conversations.safety.scores import points_of
from personas.models import Persona, PersonaVersion
from stress_tests.fake_model import MODERATIONS, FakeModelServer
from stress_tests.fake_script import Script

from .client import ChatClient, session_key
from .stack import Stack

VERSION = PersonaVersion(system_prompt="x", flag_from=0.4, block_from=0.8, personal_data="never")


@pytest.fixture
async def llm(fake_model: FakeModelServer, settings: Any) -> AsyncIterator[LLMClient]:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "test")}
    settings.MODERATION_MODEL = "fake/moderation"
    async with LLMClient(settings.LLM_PROVIDERS, retries=RetryPolicy(attempts=1)) as client:
        yield client


@pytest.mark.parametrize(
    ("scores", "stage", "action", "category"),
    [
        ({}, "input", "", "hate"),
        ({"hate": 0.39}, "input", "", "hate"),
        ({"hate": 0.4, "violence": 0.1}, "input", "flag", "hate"),
        ({"violence/graphic": 0.8}, "output", "block", "violence"),
        ({"illicit/violent": 0.95}, "input", "block", "crime"),
        ({"self-harm/intent": 0.9}, "input", "crisis", "self_harm"),
        ({"self-harm/instructions": 0.9}, "output", "block", "self_harm"),
    ],
)
async def test_the_personas_thresholds_decide(
    llm: LLMClient, fake_model: FakeModelServer, scores: dict[str, float], stage: str, action: str, category: str
) -> None:
    fake_model.enqueue(Script(scores=scores), path=MODERATIONS)
    judgement = await judge(llm, "text", version=VERSION, stage=stage)
    assert judgement.action == action
    if scores:
        assert (judgement.category, judgement.score) == (category, max(scores.values()))
    assert fake_model.requests[-1].body["input"] == "text"


@pytest.mark.parametrize("script", [Script(status=500), Script(status=401), Script(html=True)])
@pytest.mark.parametrize(
    ("fails", "stage", "action"),
    [
        ("closed", "input", "block"),
        ("open", "input", "flag"),
        ("closed", "output", "block"),
        ("open", "output", "flag"),
    ],
)
async def test_where_it_cannot_be_asked_the_setting_decides(
    llm: LLMClient, fake_model: FakeModelServer, settings: Any, script: Script, fails: str, stage: str, action: str
) -> None:
    settings.MODERATION_FAILS = fails
    fake_model.enqueue(script, path=MODERATIONS)
    judgement = await judge(llm, "text", version=VERSION, stage=stage)
    assert (judgement.action, judgement.score) == (action, None)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 10**400, "high", None])
async def test_scores_that_are_no_numbers_are_no_answer(
    llm: LLMClient, monkeypatch: pytest.MonkeyPatch, score: Any
) -> None:
    class Answer:
        results = (type("Result", (), {"category_scores": {"hate": score}}),)

    async def create(**arguments: Any) -> Any:
        answer = Answer()
        answer.results = list(Answer.results)  # type: ignore[assignment]
        return answer

    monkeypatch.setattr(llm._sdks["fake"].client.moderations, "create", create)
    with pytest.raises(LLMMalformed):
        await llm.moderate("fake/moderation", "text")


@pytest.mark.parametrize(("fails", "action"), [("closed", "block"), ("open", "flag")])
async def test_whatever_breaks_while_a_text_is_judged_nobody_has_judged_it(
    llm: LLMClient, monkeypatch: pytest.MonkeyPatch, settings: Any, fails: str, action: str
) -> None:
    settings.MODERATION_FAILS = fails
    monkeypatch.setattr(llm, "moderate", AsyncMock(side_effect=RuntimeError))
    judgement = await judge(llm, "text", version=VERSION, stage="output")
    assert (judgement.action, judgement.score) == (action, None)


async def test_personal_data_is_not_sent_where_the_persona_says_so(llm: LLMClient, fake_model: FakeModelServer) -> None:
    careful = PersonaVersion(system_prompt="x", personal_data="always")
    await judge(llm, "I am bob@example.org", version=careful, stage="input")
    assert fake_model.requests[-1].body["input"] == "I am [E-MAIL 1]"


@pytest.fixture(scope="module")
def judged_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    with Stack(fake_model_session.base_url, MODERATION_MODEL="fake/moderation") as stack:
        yield stack


@pytest.fixture
async def tab(
    transactional_db: None, fake_model: FakeModelServer, judged_stack: Stack, owner: User
) -> AsyncIterator[ChatClient]:
    judged_stack.resume_workers()
    async with ChatClient(judged_stack.url, await run_db(session_key, owner)) as client:
        yield client


async def asked(tab: ChatClient, persona: Persona) -> dict[str, Any]:
    accepted = await tab.ask("Hello?", persona=persona.slug)
    await tab.ended(accepted["reply"]["id"])
    return next(e for e in reversed(tab.heard) if e.get("reply") == accepted["reply"]["id"] and "html" in e)


@pytest.mark.django_db(transaction=True)
async def test_a_question_is_judged_before_the_model_and_a_reply_once_it_is_whole(
    tab: ChatClient, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    assert (await asked(tab, persona))["type"] == "reply.completed"
    judged = [r.body["input"] for r in fake_model.requests if r.path == MODERATIONS]
    assert judged == ["Hello?", "".join(f"tok{number} " for number in range(8))]
    assert [r.path == MODERATIONS for r in fake_model.requests] == [True, False, True]

    fake_model.enqueue(Script(scores={"violence": 0.99}), path=MODERATIONS)
    ending = await asked(tab, persona)
    assert (ending["type"], ending["code"]) == ("reply.failed", "content_blocked")
    item = await run_db(ModerationItem.objects.get)
    assert (item.source, item.score, item.rule_id, item.category) == ("endpoint", 0.99, None, "violence")
    assert await run_db(points_of, owner.pk) == 3

    fake_model.enqueue(Script(), Script(scores={"violence": 0.99}), path=MODERATIONS)
    ending = await asked(tab, persona)
    assert (ending["type"], ending["code"], ending["text"]) == ("reply.failed", "content_withdrawn", "")


@pytest.mark.django_db(transaction=True)
async def test_an_endpoint_that_is_away_refuses_questions_and_counts_no_points(
    tab: ChatClient, persona: Persona, owner: User, fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(*[Script(status=400)] * 3, path=MODERATIONS)
    ending = await asked(tab, persona)
    assert (ending["type"], ending["code"]) == ("reply.failed", "moderation_unavailable")
    item = await run_db(ModerationItem.objects.get)
    assert (item.source, item.score, item.action) == ("unavailable", None, "block")
    assert await run_db(points_of, owner.pk) == 0
