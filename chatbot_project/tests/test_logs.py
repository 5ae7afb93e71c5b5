"""What a log leaves out."""

import logging

import pytest
from django.http import HttpRequest
from structlog.stdlib import ProcessorFormatter

from chatbot_project.logs import hide_queries, hide_tokens


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("GET /help/?q=my+illness&page=2", "GET /help/?…"),
        ("<ASGIRequest: GET '/help/?q=my%20illness'>", "<ASGIRequest: GET '/help/?…'>"),
        ("POST /c/1/rename/", "POST /c/1/rename/"),
        ("GET /help/?", "GET /help/?"),
    ],
)
def test_what_somebody_searched_for_stays_out_of_the_log(said: str, kept: str) -> None:
    assert hide_queries(None, "info", {"event": "request_finished", "request": said})["request"] == kept


def test_a_request_as_django_logs_it_loses_its_query() -> None:
    request = HttpRequest()
    request.method, request.path = "GET", "/help/"
    request.META["QUERY_STRING"] = "q=illness"
    request.get_full_path = lambda force_append_slash=False: "/help/?q=illness"  # type: ignore[method-assign]
    said = hide_queries(None, "error", {"event": "x", "request": request})["request"]
    assert "illness" not in said
    assert "/help/" in said


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Zx3mVgkQ8wTA-_x"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"GET /x?jwt={JWT}&y=1", "GET /x?jwt=…&y=1"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer …"),
        ("'nono_sk_" + "x" * 43 + "' is not a key", "'…' is not a key"),
        ("/ws/chat/?ticket=abc-_1&x=2 failed", "/ws/chat/?ticket=…&x=2 failed"),
        ("a traceback\n  File x: token = " + JWT, "a traceback\n  File x: token = …"),
        ("nothing of the kind eyJ.x", "nothing of the kind eyJ.x"),
    ],
)
def test_no_token_key_or_ticket_stays_in_the_log(said: str, kept: str) -> None:
    entry = hide_tokens(None, "error", {"event": said, "exception": said, "count": 3})
    assert entry == {"event": kept, "exception": kept, "count": 3}


def test_what_is_rendered_as_json_goes_without_tokens() -> None:
    (handler,) = (each for each in logging.getLogger().handlers if isinstance(each.formatter, ProcessorFormatter))
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed at %s", (f"/x?jwt={JWT}",), None)
    assert JWT not in handler.format(record)
    assert "failed at" in handler.format(record)
