"""``manage.py doctor``: the models that answer."""

import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from chatbot_project.doctor.registry import Finding
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.tests.doctor_running import examined
from conversations.tests.factories import make_persona
from personas.services import archive
from stress_tests.fake_model import FakeModelServer, Script, closed_port


@pytest.fixture
def configured(settings: Any, fake_model: FakeModelServer) -> Callable[..., Finding]:
    """Examine the model ``fake/fake`` at a base URL; gives what was found."""

    def at(base_url: str = "", **others: Provider) -> Finding:
        settings.LLM_PROVIDERS = {"fake": Provider("fake", base_url or fake_model.base_url, "key"), **others}
        settings.DEFAULT_MODEL, settings.FALLBACK_MODELS = "fake/fake", []
        settings.TITLE_MODEL = settings.SUMMARY_MODEL = settings.MODERATION_MODEL = ""
        found = examined("models", seconds=5)
        return found.get("models fake/fake", found["models"])

    return at


def test_a_model_that_answers_is_asked_for_few_tokens_once(
    configured: Callable[..., Finding], fake_model: FakeModelServer
) -> None:
    assert configured().status == "ok"
    asked = [request for request in fake_model.requests if request.path.endswith("/completions")]
    assert [request.body["max_tokens"] for request in asked] == [16]


@pytest.mark.parametrize("suffix", ["", "/v1/chat/completions"])
def test_a_base_url_that_is_not_quite_right_is_answered_with_the_right_one(
    configured: Callable[..., Finding], fake_model: FakeModelServer, suffix: str
) -> None:
    found = configured(fake_model.base_url.removesuffix("/v1") + suffix)
    assert found.status == "failed"
    assert found.fix == f"Set the base URL in LLM_PROVIDERS to {fake_model.base_url}"


def test_a_server_that_answers_html_is_told(configured: Callable[..., Finding], fake_model: FakeModelServer) -> None:
    fake_model.default = Script(html=True)
    found = configured()
    assert found.status == "failed"
    assert "does not speak OpenAI's protocol" in found.fix


@pytest.mark.parametrize(
    ("script", "status", "fix"),
    [
        (Script(status=401), "failed", "Correct the API key of fake"),
        (Script(status=404), "failed", "manage.py models list"),
        (Script(status=429), "warning", "limits"),
        (Script(status=500), "failed", "See that it runs"),
        (Script(keep_alives_only=True), "failed", "--timeout"),
    ],
)
def test_what_a_model_answers_instead_of_text_is_told_with_what_to_do(
    configured: Callable[..., Finding], fake_model: FakeModelServer, script: Script, status: str, fix: str
) -> None:
    fake_model.default = script
    found = configured()
    assert found.status == status
    assert fix in found.fix


def test_a_provider_that_no_setting_uses_is_listed_and_costs_nothing(
    configured: Callable[..., Finding], fake_model: FakeModelServer
) -> None:
    configured(spare=Provider("spare", fake_model.base_url))
    found = examined("models")
    assert found["models spare"].found == "Lists 2 models; no setting names one of them."


def test_the_model_that_moderates_is_asked_for_a_judgement(
    configured: Callable[..., Finding], fake_model: FakeModelServer, settings: Any
) -> None:
    away = Provider("away", f"http://127.0.0.1:{closed_port()}/v1", "key")
    configured(judges=Provider("judges", fake_model.base_url, "key"), away=away)
    found = {}
    for name in ("judges/omni", "away/omni", "gone/omni"):
        settings.MODERATION_MODEL = name
        found[name] = examined("models")[f"models {name}"]
    assert [each.status for each in found.values()] == ["ok", "failed", "failed"]
    assert "See that it runs" in found["away/omni"].fix
    (request,) = (request for request in fake_model.requests if request.path.endswith("/moderations"))
    assert request.body["model"] == "omni"


def test_a_judgement_that_comes_later_than_questions_wait_for_it_is_late(
    configured: Callable[..., Finding], settings: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        configured(judges=Provider("judges", f"http://127.0.0.1:{hangs.getsockname()[1]}/v1", "key"))
        settings.MODERATION_MODEL, settings.MODERATION_SECONDS = "judges/omni", 0.2
        began = monotonic()
        late = examined("models", seconds=60)["models judges/omni"]
    assert (late.status, monotonic() - began < 30) == ("failed", True)
    assert "MODERATION_SECONDS" in late.fix


@pytest.mark.parametrize("setting", ["MODERATION_MODEL", "EMBEDDING_MODEL"])
def test_of_a_provider_that_one_setting_names_it_is_not_said_that_none_does(
    configured: Callable[..., Finding], fake_model: FakeModelServer, settings: Any, setting: str
) -> None:
    configured(named=Provider("named", fake_model.base_url, "key"))
    setattr(settings, setting, "named/model")
    assert "models named" not in examined("models")


@pytest.mark.django_db(transaction=True)
def test_models_that_published_personas_name_are_asked_too(
    configured: Callable[..., Finding], fake_model: FakeModelServer
) -> None:
    configured()
    for slug, model in (("own", "fake/own"), ("usual", ""), ("same", "fake/fake"), ("stranger", "gone/model")):
        make_persona(slug=slug, model=model)
    archive(persona=make_persona(slug="archived", model="fake/archived"), actor=None)
    fake_model.requests.clear()
    found = examined("persona-models")
    statuses = {name: finding.status for name, finding in found.items() if name.startswith("persona-models ")}
    assert statuses == {"persona-models fake/own": "ok", "persona-models gone/model": "failed"}
    assert [request.body["model"] for request in fake_model.requests] == ["own"]


def test_a_model_server_that_is_away_or_none_at_all(configured: Callable[..., Finding], settings: Any) -> None:
    assert "See that it runs" in configured(f"http://127.0.0.1:{closed_port()}/v1").fix
    settings.LLM_PROVIDERS = {}
    assert examined("models")["models"].status == "failed"
