"""``manage.py models`` against a real server."""

import io

import pytest
from django.core.management import CommandError, call_command

from chatbot_project.lib.llm.ollama import PullProgress
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.management.commands.models import bar, configured_models
from stress_tests.fake_model import Script, closed_port


@pytest.fixture
def providers(settings, fake_model):
    settings.LLM_PROVIDERS = {
        "fake": Provider("fake", fake_model.base_url, "secret-key"),
        "ollama": Provider("ollama", fake_model.base_url),
    }
    settings.DEFAULT_MODEL, settings.FALLBACK_MODELS = "fake/fake", []
    settings.TITLE_MODEL = settings.SUMMARY_MODEL = settings.FAQ_DRAFT_MODEL = ""
    return settings.LLM_PROVIDERS


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(*arguments, out=None):
    out = out or io.StringIO()
    call_command("models", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_list_names_every_model_and_no_key(providers):
    output = run("list")
    assert "fake/fake-small" in output
    assert "ollama/fake" in output
    assert "secret-key" not in output


def test_every_model_that_a_setting_names_is_configured_once(settings):
    settings.DEFAULT_MODEL, settings.FALLBACK_MODELS = "a/chat", ["a/other", "b/other"]
    settings.TITLE_MODEL, settings.SUMMARY_MODEL, settings.FAQ_DRAFT_MODEL = "a/small", "", "a/small"
    settings.QUALITY_JUDGE_MODEL, settings.TRANSLATOR, settings.TRANSLATION_MODEL = "c/judge", "llm", "c/translator"
    own = ["a/chat", "a/other", "b/other", "a/small", "c/judge"]
    assert configured_models() == [*own, "c/translator"]
    settings.TRANSLATOR = "deepl"
    assert configured_models() == own


def test_check_asks_each_configured_model_for_a_token(providers, fake_model):
    output = run("check")
    assert output.count("ok") == 3
    asked = [request for request in fake_model.requests if request.path.endswith("/completions")]
    assert [(request.model, request.body["max_tokens"]) for request in asked] == [("fake", 1)]


def test_check_fails_where_a_model_does_not_answer(providers, fake_model):
    fake_model.enqueue(Script(status=404, error={"code": "model_not_found"}))
    out = io.StringIO()
    with pytest.raises(CommandError):
        run("check", "fake/other", out=out)
    assert "llm_refused" in out.getvalue()
    assert "model_not_found" in out.getvalue()


@pytest.mark.parametrize("action", ["list", "check"])
def test_a_dead_provider_is_named_and_the_others_are_still_shown(providers, action):
    providers["dead"] = Provider("dead", f"http://127.0.0.1:{closed_port()}/v1")
    out = io.StringIO()
    with pytest.raises(CommandError):
        run(action, out=out)
    assert "llm_unavailable" in out.getvalue()
    assert "fake/fake" in out.getvalue()


def test_pull_draws_a_bar_on_a_terminal_and_the_model_is_there(providers):
    output = run("pull", "fake-pulled", out=Terminal())
    assert "\rpulling 0123  [###############---------------]  50%  2.0 of 4.0 MB" in output
    assert output.endswith("ollama/fake-pulled is ready.\n")
    assert "ollama/fake-pulled" in run("list")


def test_pull_into_a_file_says_each_step_once(providers):
    output = run("pull", "ollama/fake-pulled")
    assert output.splitlines() == [
        "pulling manifest", "pulling 0123", "verifying sha256 digest", "success", "ollama/fake-pulled is ready.",
    ]  # fmt: skip


def test_pull_of_an_absent_model_says_so(providers):
    with pytest.raises(CommandError, match="does not exist"):
        run("pull", "absent")


def test_without_ollama_a_pull_says_what_to_set(providers):
    del providers["ollama"]
    with pytest.raises(CommandError, match="OLLAMA_HOST"):
        run("pull", "fake-pulled")


def test_without_providers_nothing_is_asked(settings):
    settings.LLM_PROVIDERS = {}
    with pytest.raises(CommandError, match="LLM_PROVIDERS"):
        run("list")


def test_a_bar_never_overflows():
    assert bar(PullProgress(total=10, completed=20)).startswith(f"[{'#' * 30}] 100%")


def test_an_ollama_that_is_away_is_named(providers):
    providers["ollama"] = Provider("ollama", f"http://127.0.0.1:{closed_port()}/v1")
    with pytest.raises(CommandError, match="ollama cannot be reached"):
        run("pull", "fake-pulled")
