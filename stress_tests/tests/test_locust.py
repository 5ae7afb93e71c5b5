"""The locust's people without locust: what is refused, how a reply is put together, what a run is judged by."""

import copy
import json
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from stress_tests.bench_stack import StackError
from stress_tests.locust import __main__ as command
from stress_tests.locust.people import (
    MOST_SECONDS,
    MOST_USERS,
    PATIENCE_SECONDS,
    PEOPLE,
    STOP_SECONDS,
    Person,
    Turn,
    read_people,
    refusal_of,
)
from stress_tests.locust.reports import errors_of, figures_of, history_of, judged, report_of
from stress_tests.reporting import report_page

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}
BOUNDED = {"num_users": 10, "run_time": 60, "headless": True, "web_host": ""}
STATS = [
    {"name": name, "num_requests": 4, "num_failures": 0, "response_times": {"10": 2, "9": 1, "100": 1},
     "max_response_time": 104.2, "start_time": 101.0 + number, "last_request_timestamp": 107.0 + number}
    for number, name in enumerate(("page: home", "API: ask", "chat: first text", "chat: ended"))
]  # fmt: skip
OPTIONS = Namespace(python="python", users=20, seconds=60, spawn_rate=10)
HISTORY = """Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%
100,0,,Aggregated,0.0,0.0,N/A,N/A
101,5,GET,page: home,1.0,0.0,10,20
101,5,,Aggregated,2.5,0.5,10,30
"""
ERRORS = """Count,Message,Traceback,Nodes
2,'reply',"  File ""locustfile.py"", line 1, in ask
",local
"""


def test_a_bounded_run_is_let_through() -> None:
    assert refusal_of(Namespace(**BOUNDED)) == ""
    assert refusal_of(Namespace(**BOUNDED | {"headless": False, "web_host": "127.0.0.1"})) == ""


@pytest.mark.parametrize(
    "changes",
    [{"num_users": MOST_USERS + 1}, {"run_time": None}, {"run_time": MOST_SECONDS + 1}, {"headless": False},
     {"headless": False, "web_host": "0.0.0.0"}],
)  # fmt: skip
def test_what_has_no_bound_is_refused(changes: dict[str, Any]) -> None:
    assert refusal_of(Namespace(**BOUNDED | changes))


def test_people_come_from_a_file_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PEOPLE, raising=False)
    with pytest.raises(LookupError, match=r"python -m stress_tests\.locust"):
        read_people()
    path = tmp_path / "people.json"
    path.write_text(json.dumps([{"cookie": str(n), "token": "t", "persona": "p"} for n in range(2)]))
    monkeypatch.setenv(PEOPLE, str(path))
    people = read_people()
    assert [next(people) for _ in range(3)] == [Person(cookie, "t", "p") for cookie in ("0", "1", "0")]


ACCEPTED = {"type": "message.accepted", "client_id": "a", "conversation": {"id": "c1"}}


def delta(text: str, seq: int, kind: str = "reply.delta") -> dict[str, Any]:
    return {"type": kind, "text": text, "seq": seq}


def ending(text: str, kind: str = "reply.completed", code: str = "") -> dict[str, Any]:
    return {"type": kind, "text": text, "code": code}


def turn_of(*said: dict[str, Any]) -> Turn:
    ticks = iter(range(100))
    turn = Turn("a", lambda: float(next(ticks)))
    for event in said:
        turn.take(event)
    return turn


def test_a_whole_reply_has_times_and_no_fault() -> None:
    turn = turn_of({"type": "ready"}, ACCEPTED, delta("one ", 4), delta("two", 7), ending("one two."))
    assert (turn.is_over, turn.fault, turn.conversation) == (True, "", "c1")
    assert turn.times == {"accepted": 1000, "first text": 2000, "ended": 3000}


def test_text_that_comes_with_the_ending_alone_is_the_first() -> None:
    assert turn_of(ACCEPTED, ending("one two.")).times == {"accepted": 1000, "first text": 2000, "ended": 3000}


def test_a_snapshot_without_text_is_no_first_text() -> None:
    assert turn_of(ACCEPTED, delta("", 0, "reply.snapshot")).times == {"accepted": 1000}


def test_turn_without_text_has_no_time_of_a_first_one() -> None:
    refused = turn_of({"type": "error", "client_id": "a", "code": "rate_limited"})
    assert refused.times == {"ended": 1000}
    hanging = turn_of(ACCEPTED)
    hanging.end("TimeoutError")
    assert (hanging.times, hanging.fault) == ({"accepted": 1000, "ended": 2000}, "TimeoutError")


def test_what_hangs_at_the_end_is_told_before_people_are_stopped() -> None:
    assert 2 * PATIENCE_SECONDS < STOP_SECONDS


def test_a_snapshot_replaces_what_was_there() -> None:
    assert turn_of(ACCEPTED, delta("x", 1), delta("one ", 4, "reply.snapshot"), ending("one two")).fault == ""


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ([delta("one ", 4), delta("three", 12), ending("one three")], "gap in the text"),
        ([delta("one ", 4), ending("two")], "ending unlike its deltas"),
        ([ending("", "reply.failed", "model_unavailable")], "reply.failed model_unavailable"),
        ([{"type": "error", "client_id": "a", "code": "rate_limited"}], "error rate_limited"),
    ],
)
def test_what_went_wrong_is_the_turns_fault(said: list[dict[str, Any]], fault: str) -> None:
    turn = turn_of(ACCEPTED, *said)
    assert (turn.is_over, turn.fault) == (True, fault)


def test_other_turns_events_change_nothing() -> None:
    turn = turn_of({**ACCEPTED, "client_id": "b"}, {"type": "error", "client_id": "b", "code": "x"})
    assert (turn.is_over, turn.conversation, turn.times) == (False, None, {})


def found(**changes: Any) -> dict[str, Any]:
    return {
        "requests": figures_of(copy.deepcopy(STATS)), "failures": [], "errors": [], "history": history_of(HISTORY),
        "audit": {"replies": {"completed": 4}, "wrong_text": 0},
    } | changes  # fmt: skip


def test_figures_are_of_all_requests_of_a_name_and_rates_of_the_seconds_that_all_took() -> None:
    home = next(each for each in found()["requests"] if each["name"] == "page: home")
    assert (home["per_s"], home["p50"], home["p95"], home["max"]) == (0.44, 10.0, 100.0, 104.2)
    assert found()["history"] == [
        {"at": 0, "users": 0.0, "per_s": 0.0, "failures_per_s": 0.0, "p95": 0.0},
        {"at": 1, "users": 5.0, "per_s": 2.5, "failures_per_s": 0.5, "p95": 30.0},
    ]


def missed(of: dict[str, Any]) -> list[str]:
    return [check.name for check in judged(of) if check.verdict != "reached"]


def test_a_good_run_reaches_everything() -> None:
    assert missed(found()) == []
    page = report_page(report_of(found(), Namespace(users=20), MACHINE))
    assert "20 people: 12 requests, 4 of them whole turns by WebSocket; 0 failed." in page
    assert page.count("<svg") == 2


def test_turns_that_failed_are_requests_and_no_whole_ones() -> None:
    failing = [*STATS[:3], STATS[3] | {"num_failures": 1}]
    headline = report_of(found(requests=figures_of(failing)), Namespace(users=20), MACHINE).headline
    assert headline == "20 people: 12 requests, 3 of them whole turns by WebSocket; 1 failed."


@pytest.mark.parametrize(
    ("stats", "kind"),
    [
        (STATS[1:], "readers got done (“page”)"),
        ([STATS[0], STATS[1] | {"name": "API: conversations"}, *STATS[2:]], "programs got done (“API: ask”)"),
        ([*STATS[:3], STATS[3] | {"name": "chat: open"}], "tabs got done (“chat: ended”)"),
    ],
)
def test_each_kind_of_people_is_known_by_what_it_alone_does(stats: list[dict[str, Any]], kind: str) -> None:
    assert missed(found(requests=figures_of(stats))) == [f"what {kind}"]


def test_turns_that_all_failed_are_nothing_done() -> None:
    failing = [*STATS[:3], STATS[3] | {"num_failures": 4}]
    assert missed(found(requests=figures_of(failing))) == [
        "requests that failed", "what tabs got done (“chat: ended”)",
    ]  # fmt: skip


def test_errors_in_tasks_are_told_with_where_they_came_from() -> None:
    assert errors_of(ERRORS) == [
        {"error": "'reply'", "occurrences": 2, "traceback": '  File "locustfile.py", line 1, in ask\n'}
    ]
    page = report_page(report_of(found(errors=errors_of(ERRORS)), Namespace(users=20), MACHINE))
    assert "<td>in a task: &#x27;reply&#x27;</td><td>2</td>" in page


def test_failures_silence_and_wrong_texts_are_missed() -> None:
    failing = [STATS[0] | {"num_failures": 1}, *STATS[1:]]
    assert missed(found(requests=figures_of(failing))) == ["requests that failed"]
    assert missed(found(errors=errors_of(ERRORS))) == ["errors in tasks"]
    for times, wanted in (({"990": 4}, []), ({"1000": 4}, ["first text, P95"])):
        late = [*STATS[:2], STATS[2] | {"response_times": times}, STATS[3]]
        assert missed(found(requests=figures_of(late))) == wanted
    wrong = {"replies": {"completed": 4}, "wrong_text": 1}
    assert missed(found(audit=wrong)) == ["replies in the database that differ from the model's"]
    live = {"replies": {"completed": 4, "queued": 1, "streaming": 2}, "wrong_text": 0}
    assert missed(found(audit=live)) == ["replies in the database without an end"]


def test_locust_that_does_not_end_is_why_it_could_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(locust: list[str], *, timeout: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(locust, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(StackError, match="locust did not end within 152 s"):
        command._swarm(Namespace(web_port=8000), [], OPTIONS, tmp_path)  # type: ignore[arg-type]


def test_python_that_is_none_is_why_it_could_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--python", "/nowhere/python"]) == 2
    assert "/nowhere/python does not start" in capsys.readouterr().err
