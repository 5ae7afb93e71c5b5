"""What a log leaves out."""

import ast
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest
from structlog.stdlib import ProcessorFormatter

from chatbot_project.logs import hide_personal_data, hide_queries

APPS = ("accounts", "analytics", "chatbot_project", "conversations", "faqs", "personas")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
#: What holds a person, or their id.
PEOPLE = {
    kind + suffix
    for kind in ("user", "person", "owner", "actor", "subject", "staff", "member", "guest", "username", "email")
    for suffix in ("", "_id", "_pk")
}


def people_in_logs(tree: ast.Module) -> Iterator[str]:
    """Where a call that logs, or that binds ids to all lines, names a person: by a field's name, or in its value."""
    loggers = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith(("structlog.get_", "logging.getLogger"))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        function = call.func
        logs = isinstance(function, ast.Attribute) and function.attr in LEVELS and _name(function.value) in loggers
        if not (logs or _name(function) in {"bound", "bound_contextvars", "bind_contextvars"}):
            continue
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        names = {keyword.arg for keyword in call.keywords}
        names |= {_name(node) for argument in arguments for node in ast.walk(argument)}
        yield from (f"{call.lineno}: {name}" for name in names & PEOPLE)


def _name(node: ast.AST) -> Any:
    """That of a variable or an attribute, or a text, such as a key of ``extra``."""
    return getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "value", None) or ""


def test_no_call_that_logs_names_a_person(settings: Any) -> None:
    paths = [path for app in APPS for path in Path(settings.BASE_DIR, app).rglob("*.py")]
    texts = {path: path.read_text() for path in paths if not {"tests", "migrations"} & set(path.parts)}
    assert [f"{path}:{said}" for path, text in texts.items() for said in people_in_logs(ast.parse(text))] == []
    assert sum("get_logger(" in text or "getLogger(" in text for text in texts.values()) > 40


@pytest.mark.parametrize(
    "call",
    [
        'log.warning("x", user=1)', 'log.info("x", who=str(owner.pk))', 'log.error("x", who=reply.work.owner)',
        'log.warning("x", extra={"user_id": 1})', 'log.info(f"x {person}")', "bound(actor=1)",
    ],
)  # fmt: skip
def test_one_that_does_is_found(call: str) -> None:
    assert list(people_in_logs(ast.parse(f"log = structlog.get_logger(__name__)\n{call}")))


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
    entry = hide_personal_data(None, "error", {"event": "x", "exception": said, "data": {"args": [said]}, "count": 3})
    in_one_line = kept.replace("\n", "\\n")
    assert entry == {"event": "x", "exception": kept, "data": {"args": [in_one_line]}, "count": 3}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("{'password': 'hunter22', 'n': 1}", "{'password': '…', 'n': 1}"),
        ('{"new_password": "hunter 22"}', '{"new_password": "…"}'),
        ("{'Authorization': \"it's secret\"}", "{'Authorization': \"…\"}"),
        ("{'passport': 'kept', 'tokens': 7}", "{'passport': 'kept', 'tokens': 7}"),
        ("GET /accounts/link/reset/abc-DEF_1:x/ failed", "GET /accounts/link/reset/…/ failed"),
        (
            "null value violates it\nDETAIL:  Failing row contains (7, my illness\n is, null).\nCONTEXT: x",
            "null value violates it\nDETAIL:  …\nCONTEXT: x",
        ),
        (
            "IntegrityError: it\nDETAIL:  Failing row contains (my illness).\n\nThe above exception was …",
            "IntegrityError: it\nDETAIL:  …\n\nThe above exception was …",
        ),
    ],
)
def test_no_secret_by_its_name_and_no_refused_row_stays_in_the_log(said: str, kept: str) -> None:
    assert hide_personal_data(None, "error", {"exception": said}) == {"exception": kept}


def test_what_is_rendered_as_json_goes_without_tokens() -> None:
    (handler,) = (each for each in logging.getLogger().handlers if isinstance(each.formatter, ProcessorFormatter))
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed at %s", (f"/x?jwt={JWT}",), None)
    assert JWT not in handler.format(record)
    assert "failed at" in handler.format(record)


PERSONAL = ["bob@example.org", "+49 171 1234567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "203.0.113.9"]


@pytest.mark.parametrize("value", PERSONAL)
def test_no_personal_data_stays_in_the_log_however_deep_it_lies(value: str) -> None:
    said = f"refused: {value}!"
    entry = {"event": said, "args": (said, [said]), "kwargs": {"to": said, value: 1}, "error": ValueError(said), "n": 3}
    kept = hide_personal_data(None, "error", entry)
    assert value not in repr(kept)
    assert kept["n"] == 3
    assert "refused: [" in kept["event"]


def test_ids_times_and_names_of_ours_stay_in_the_log() -> None:
    entry = {
        "event": "reply.ended", "timestamp": "2026-11-28T18:17:20.123456Z", "logger": "conversations.replies.worker",
        "reply": "019ad2f5-a111-7d3e-b6aa-0e87ad0fc6a1", "worker": "019ad2f5a1117d3eb6aa0e87ad0fc6a1", "epoch": 2,
        "when": "2026-11-28T18:17:20+00:00", "seconds": 0.123456789,
        "request": "GET /c/019ad2f5-a111-7d3e-b6aa-0e87ad0fc6a1/",
    }  # fmt: skip
    assert hide_personal_data(None, "info", dict(entry)) == entry


def test_nothing_in_an_entry_ends_its_line_or_commands_a_terminal() -> None:
    entry = {"event": "a\r\nb \x1b[31mred\x07 \u202eback", "exception": "Traceback\n  File\rx\x1b[2J"}
    assert hide_personal_data(None, "error", entry) == {
        "event": "a\\r\\nb \\x1b[31mred\\x07 \\u202eback",
        "exception": "Traceback\n  File\\rx\\x1b[2J",
    }


def test_a_task_that_fails_is_logged_without_its_arguments_personal_data() -> None:
    (handler,) = (each for each in logging.getLogger().handlers if isinstance(each.formatter, ProcessorFormatter))
    try:
        raise ValueError("no such mailbox: bob@example.org")
    except ValueError:
        told = sys.exc_info()
    record = logging.LogRecord(
        "celery", logging.ERROR, __file__, 1, "Task send(%s) raised\r\n", (["bob@example.org"],), told
    )
    line = handler.format(record)
    assert "bob@" not in line
    assert "no such mailbox: [E-MAIL]" in line
    assert "\r" not in line
