"""What a log leaves out."""

import pytest
from django.http import HttpRequest

from chatbot_project.logs import hide_queries


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
