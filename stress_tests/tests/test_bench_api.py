"""The API bench's figures: only good answers have times, and any other answer is a missed target."""

import sys
from typing import Any

import pytest

from stress_tests.bench_api import Bench, ask_figures, less, main, read_figures, targets, text
from stress_tests.bench_api_load import Answer


def answers(count: int, status: int = 200, seconds: float = 0.02) -> list[Answer]:
    return [Answer("me", status, seconds, seconds)] * count


def result(**others: list[Answer]) -> dict[str, Any]:
    """A run in which all went well, but for the phases that ``others`` names."""
    direct = ask_figures(others.get("direct", answers(20)))
    ask = ask_figures(others.get("ask", answers(20)))
    added = {"added_first_ms": less(ask["first_ms"], direct["first_ms"])}
    added |= {"added_end_ms": less(ask["end_ms"], direct["end_ms"])}
    found: dict[str, Any] = {
        "messages": 100, "people": 10, "callers": 2, "queries": {"me": 2}, "machine": {"load_average": (0.1, 0.2, 0.3)},
        "reads": {
            name: read_figures(others.get(name, answers(100)), 10) for name in ("think", "saturated", "staff")
        },
        "asks": {"direct": direct, "chat/send as SSE": ask | added, "chat/send as JSON": ask | added},
    }  # fmt: skip
    return found | {"targets": targets(found)}


def missed(found: dict[str, Any]) -> list[str]:
    return [target["name"] for target in found["targets"] if not target["reached"]]


def test_a_good_run_reaches_everything() -> None:
    assert missed(result()) == []


def test_failed_answers_have_no_part_in_times_and_rate() -> None:
    figures = read_figures([*answers(50), *answers(950, 503, 0.001)], 10)
    assert (figures["requests"], figures["per_s"], figures["statuses"]) == (1000, 5.0, {200: 50, 503: 950})
    assert figures["all_ms"]["p50"] == figures["by_address"]["me"]["p50"] == 20.0
    assert ask_figures([*answers(1), *answers(9, 429, 0.001)])["end_ms"]["p50"] == 20.0


@pytest.mark.parametrize("phase", ["think", "saturated", "staff", "direct", "ask"])
@pytest.mark.parametrize("status", [202, 429, 503])
def test_any_other_answer_is_missed(phase: str, status: int) -> None:
    assert missed(result(**{phase: [*answers(100), *answers(1, status)]})) == ["answers other than 200"]


def test_failures_alone_reach_no_time() -> None:
    found = result(think=answers(100, 503, 0.001), ask=answers(20, 503, 0.001))
    assert [target["name"] for target in found["targets"] if target["reached"]] == ["queries of a read, most"]
    assert "P95 of reads, clients that think, ms: nothing of 50.0" in text(found)


@pytest.mark.parametrize(("others", "code"), [({}, 0), ({"saturated": answers(1, 503)}, 1)])
def test_the_exit_code_tells_of_other_answers(
    others: dict[str, list[Answer]], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "run", lambda _self: result(**others))
    monkeypatch.setattr(sys, "argv", ["bench_api"])
    assert main() == code
