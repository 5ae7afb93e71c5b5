"""A model's opinion on replies under review: by the real protocol, through the gate, bounded, and never a verdict."""

import json
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from analytics import tasks
from analytics.quality import judging
from analytics.quality.models import QualityItem, QualityOpinion
from analytics.tests.replies import answers, make_item, make_reply
from chatbot_project.lib.llm import guarded
from chatbot_project.lib.llm.errors import LLMMalformed
from chatbot_project.lib.llm.providers import Provider
from conversations.models import Citation
from faqs.tests.factories import make_faq
from personas.tests.factories import make_persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

SAID = json.dumps(answers("partly"))


@pytest.fixture
def item(owner: User) -> QualityItem:
    reply = make_reply(owner, make_persona(), timezone.now(), "I am bob@example.org. Why?")
    Citation.objects.create(message=reply, number=1, faq=make_faq("Why?", "Therefore."), question="Why?", score=0.6)
    return make_item(reply)


@pytest.fixture(autouse=True)
def _judge(settings: Any, fake_model: FakeModelServer, db: None) -> None:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url)}
    settings.QUALITY_JUDGE_MODEL = "fake/judge"


def said(text: str) -> Script:
    return Script(tokens=[text])


def test_its_opinion_is_kept_apart_with_model_and_prompt(item: QualityItem, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(said(f"```json\n{SAID}\n```"))
    tasks.ask_judge()
    opinion = QualityOpinion.objects.get()
    assert (opinion.model, opinion.prompt_version, opinion.correct, opinion.safe, opinion.error_code) == (
        "fake/judge", judging.PROMPT_VERSION, "partly", "yes", "",
    )  # fmt: skip
    item.refresh_from_db()
    assert (item.state, item.verdict) == ("open", "")
    tasks.ask_judge()  # known already
    assert QualityOpinion.objects.count() == 1


def test_it_reads_no_personal_data_and_the_sources(item: QualityItem, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(said(SAID))
    tasks.ask_judge()
    sent = json.loads(fake_model.requests[-1].messages[-1]["content"])
    assert sent["question"] == "I am [E-MAIL 1]. Why?"
    assert sent["sources"] == [{"number": 1, "question": "Why?", "answer": "Therefore."}]


def test_a_failure_is_noted_and_tried_again_three_times(item: QualityItem, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(said("I like it."), said('{"correct": "yes"}'), said(SAID.replace("partly", "maybe")))
    for _time in range(5):
        tasks.ask_judge()
    assert list(QualityOpinion.objects.values_list("error_code", flat=True)) == ["llm_malformed"] * 3
    assert judging.failures(timezone.now()) == [("llm_malformed", 3)]


def test_after_a_failure_an_opinion_may_come(item: QualityItem, fake_model: FakeModelServer) -> None:
    fake_model.enqueue(said("no"), said(SAID))
    assert judging.judge_due(timezone.now()) == 0
    assert judging.judge_due(timezone.now()) == 1


def test_calls_of_a_day_are_bounded(item: QualityItem, owner: User, fake_model: FakeModelServer, settings) -> None:
    make_item(make_reply(owner, make_persona(), timezone.now()))
    settings.QUALITY_JUDGE_DAILY = 1
    fake_model.enqueue(said("no"), said(SAID))
    for _time in range(3):
        judging.judge_due(timezone.now())
    assert QualityOpinion.objects.count() == 1


def test_a_run_ends_where_the_model_hangs(
    item: QualityItem, owner: User, fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_item(make_reply(owner, make_persona(), timezone.now()))
    monkeypatch.setattr(judging, "ASKING_SECONDS", 0.05)
    monkeypatch.setattr(guarded, "_timed_out", {})
    fake_model.default = Script(first_ms=60_000)
    assert judging.judge_due(timezone.now()) == 0
    assert list(QualityOpinion.objects.values_list("error_code", flat=True)) == ["llm_timeout"]


def test_a_run_without_time_leaves_the_rest_to_the_next(
    item: QualityItem, owner: User, fake_model: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_item(make_reply(owner, make_persona(), timezone.now()))
    fake_model.default = said(SAID)
    times = iter([0.0, 1.0])
    with monkeypatch.context() as patch:
        patch.setattr(judging, "monotonic", lambda: next(times, judging.JUDGING_SECONDS + 1.0))
        assert judging.judge_due(timezone.now()) == 1
    assert judging.judge_due(timezone.now()) == 1


def test_it_is_off_by_default_and_for_what_may_not_be_shown(item: QualityItem, owner: User, settings) -> None:
    User.objects.filter(pk=owner.pk).update(restricted_at=timezone.now())
    assert judging.judge_due(timezone.now()) == 0
    User.objects.filter(pk=owner.pk).update(restricted_at=None)
    settings.QUALITY_JUDGE_MODEL = ""
    assert judging.judge_due(timezone.now()) == 0
    assert not QualityOpinion.objects.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{" * 9, '{"correct": 1}', SAID + SAID, SAID[:-1]])
def test_what_is_no_opinion_is_refused(text: str) -> None:
    with pytest.raises(LLMMalformed):
        judging.parsed("fake/judge", text)
