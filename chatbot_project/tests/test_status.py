"""``/status/``: what people are told of the service, with any part of it away."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as project
from django.test import Client

from accounts.tests.factories import make_user
from accounts.throttles import ask_budgets
from chatbot_project import status
from chatbot_project.lib import ratelimit
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.redis import blocking_redis
from conversations.replies.heartbeat import HEARTBEAT_KEY, resting_key
from conversations.tests.factories import make_persona
from stress_tests.fake_model import closed_port


@pytest.fixture(autouse=True)
def looked_at_anew() -> Iterator[None]:
    status.WATCH.forget()
    blocking_redis().set(HEARTBEAT_KEY, "now", ex=60)
    yield
    status.WATCH.forget()
    blocking_redis().delete(HEARTBEAT_KEY, resting_key("local"))


def told() -> tuple[str, dict[str, str]]:
    body = Client().get("/status.json").json()
    return body["status"], {part["name"]: part["state"] for part in body["parts"]}


pytestmark = pytest.mark.django_db(transaction=True)


def test_all_is_well() -> None:
    assert told() == ("ok", {"service": "ok", "replies": "ok"})
    page = Client().get("/status/")
    assert "<h1>Everything works</h1>" in page.content.decode()
    assert page["Cache-Control"] == "public, max-age=5"
    german = Client().get("/status/", headers={"Accept-Language": "de"}).content.decode()
    assert "<h1>Alles funktioniert</h1>" in german
    assert Client().get("/status/", headers={"Accept": "application/json"}).json()["status"] == "ok"


def test_no_worker_means_no_replies() -> None:
    blocking_redis().delete(HEARTBEAT_KEY)
    assert told() == ("away", {"service": "ok", "replies": "away"})


def test_a_provider_that_is_given_a_rest_limits_replies(settings: Any) -> None:
    settings.DEFAULT_MODEL, settings.FALLBACK_MODELS = "local/x", []
    blocking_redis().set(resting_key("local"), b"1", ex=60)
    assert told() == ("limited", {"service": "ok", "replies": "limited"})
    status.WATCH.forget()
    settings.FALLBACK_MODELS = ["other/y"]
    assert told()[0] == "ok"


def test_questions_that_wait_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "LONG_WAIT", -1.0)
    assert told()[1]["replies"] == "limited"


def test_no_question_is_taken_while_redis_is_away_and_it_says_so(settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port()}/0"
    with pytest.raises(ApplicationError) as refused:
        ratelimit.take(ask_budgets(make_user(), "source"), closed=True)  # as every way to ask does
    assert refused.value.code == "unavailable"
    assert told() == ("away", {"service": "ok", "replies": "away"})
    assert "No questions can be taken just now." in Client().get("/status/").content.decode()


def test_what_is_known_is_kept_for_some_seconds() -> None:
    assert told()[0] == "ok"
    blocking_redis().delete(HEARTBEAT_KEY)
    assert told()[0] == "ok"


def test_it_tells_of_no_internals() -> None:
    make_persona()
    text = Client().get("/status.json").content.decode() + Client().get("/status/").content.decode()
    for word in ("redis", "postgres", "127.0.0.1", project.DEFAULT_MODEL, "worker", "Django"):
        assert word not in text
