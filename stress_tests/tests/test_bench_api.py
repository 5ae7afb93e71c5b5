"""What the API bench says of its figures: refusals are no quick answers, and times of nothing are missed."""

from argparse import Namespace
from typing import Any

import pytest

from stress_tests import bench_api
from stress_tests.bench_api import checks, read_figures, report_of
from stress_tests.bench_api_load import Answer
from stress_tests.bench_turns import less, percentiles_ms
from stress_tests.reporting import report_page

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}
WAYS = ("direct", "chat/send as SSE", "chat/send as JSON", "/v1 streamed", "/v1 whole")


def ask(seconds: list[float], statuses: dict[int, int]) -> dict[str, Any]:
    return {"statuses": statuses, "first_ms": percentiles_ms(seconds), "end_ms": percentiles_ms(seconds)}


def answers(count: int, seconds: float, status: int = 200) -> list[Answer]:
    """Of ``me``, one after the other without a pause; the first was sent at 100."""
    return [Answer("me", status, seconds, seconds, ended_at=100 + number * seconds) for number in range(1, count + 1)]


def found(*, reads: list[Answer] | None = None, sse: dict[str, Any] | None = None) -> dict[str, Any]:
    read = answers(10, 0.01) if reads is None else reads
    asks = {way: ask([1.0], {200: 8}) for way in WAYS} | ({"chat/send as SSE": sse} if sse else {})
    for of in list(asks.values())[1:]:
        of["added_first_ms"] = less(of["first_ms"], asks["direct"]["first_ms"])
        of["added_end_ms"] = less(of["end_ms"], asks["direct"]["end_ms"])
    return {
        "messages": 1000, "people": 10, "callers": 5, "queries": {"me": 2}, "asks": asks,
        "reads": dict.fromkeys(("think", "saturated", "staff"), read_figures(read)),
    }  # fmt: skip


def missed(of: dict[str, Any]) -> list[str]:
    return [check.name for check in checks(of) if check.verdict != "reached"]


def test_a_good_run_reaches_everything() -> None:
    assert missed(found()) == []
    page = report_page(report_of(found(), Namespace(callers=5), MACHINE))
    assert "5 clients, 1,000 messages: 100 reads a second, P95 10 ms" in page
    assert page.count("<svg") == 1


def test_refusals_make_no_read_quick() -> None:
    reads = [*answers(1, 0.5), *answers(2000, 0.001, 429)]
    assert read_figures(reads)["per_s"] == 0.5
    assert missed(found(reads=reads)) == [
        "requests answered with 200", "reads of clients that think, P95",
    ]  # fmt: skip


def test_rates_are_of_the_seconds_that_all_answers_took() -> None:
    late = Answer("me", 200, 3.0, 3.0, ended_at=105.0)
    assert read_figures([*answers(9, 0.1), late])["per_s"] == 2.0
    assert read_figures([])["per_s"] == 0.0


def test_questions_without_an_answer_added_nothing_that_could_be_within_a_limit() -> None:
    assert missed(found(sse=ask([], {503: 8}))) == [
        "requests answered with 200", "chat/send as SSE adds to the first text, P95",
        "chat/send as SSE adds to the end, P95",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [["--callers", "0"], ["--messages", "19"], ["--seconds", "1e9"], ["--turns", "0"]])
def test_arguments_are_bounded(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench_api.main(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--people", "10"], ["--messages", "900"]])
def test_callers_without_anything_to_read_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_api.main(wrong) == 2
    assert "--callers" in capsys.readouterr().err
