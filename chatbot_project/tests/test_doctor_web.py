"""``manage.py doctor``: the web server, and the proxy before it."""

from typing import Any

import pytest

from chatbot_project.tests.doctor_running import examined
from chatbot_project.tests.doctor_servers import http_server

OURS = (200, {"Content-Type": "application/json"}, b'{"status": "ok"}')
PAGE = "/accounts/sign-in/"


@pytest.mark.parametrize(
    ("answers", "found", "fix"),
    [
        ({}, "not ours", "BASE_URL"),
        ({"/healthz": (200, {}, b"<html>Welcome to nginx")}, "a page that is not ours", "port"),
        ({"/healthz": (502, {}, b"<html>")}, "the proxy does not reach", "runweb"),
        ({"/healthz": (400, {}, b"")}, "400", "ALLOWED_HOSTS"),
        ({"/healthz": (301, {"Location": "https://other.test/"}, b"")}, "redirect", "BASE_URL"),
        ({"/healthz": OURS, PAGE: (301, {"Location": "{base}" + PAGE}, b"")}, "to itself", "TRUSTED_PROXY_HOPS=1"),
        ({"/healthz": OURS, PAGE: (500, {}, b"")}, "answers 500", "log"),
    ],
)
def test_a_web_server_or_proxy_that_is_not_right_is_told(settings: Any, answers: Any, found: str, fix: str) -> None:
    with http_server(answers) as settings.BASE_URL:
        told = examined("web")["web"]
    assert told.status == "failed"
    assert found in told.found
    assert fix in told.fix


def test_a_proxy_that_passes_no_upgrade_on_and_a_missing_stylesheet_are_told(settings: Any) -> None:
    with http_server({"/healthz": OURS, PAGE: (200, {}, b"page")}) as settings.BASE_URL:
        told = examined("websocket", "static")
    assert told["web"].status == "ok"
    assert (told["websocket"].status, told["static"].status) == ("failed", "failed")
    assert "proxy_set_header Upgrade" in told["websocket"].fix
    assert "collectstatic" in told["static"].fix


def test_a_refused_upgrade_names_host_and_origin(settings: Any) -> None:
    answers = {"/healthz": OURS, PAGE: (200, {}, b"page"), "/ws/chat/": (403, {}, b"")}
    with http_server(answers) as settings.BASE_URL:
        assert "ALLOWED_HOSTS" in examined("websocket")["websocket"].fix
