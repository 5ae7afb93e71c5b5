"""What the bench says of its figures: a good run reaches everything, and no phase's faults are passed over."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from stress_tests import bench
from stress_tests.bench_load import Plan, Run
from stress_tests.bench_report import (
    PRODUCT,
    CostRound,
    added,
    burst_figures,
    completeness,
    cost_of_rounds,
    report_of,
)
from stress_tests.bench_turns import Outcome, Turn
from stress_tests.reporting import report_page, report_text

MACHINE = {
    "processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc", "pins": {"web": 0}, "seconds": 60,
}  # fmt: skip
WHOLE = {"turns": 30, "completed": 30, "complete_percent": 100.0, "faults": {}}
BROKEN = WHOLE | {"completed": 29, "faults": {"gap in the text": 1}}
MANY = {"p50": 210.0, "p95": 300.0, "p99": 320.0, "max": 340.0}
DIRECT = {"p50": 200.0, "p95": 240.0, "p99": 250.0, "max": 260.0}
LAGS = {"p50": 20.0, "p95": 40.0, "p99": 50.0, "max": 60.0}
NONE = dict.fromkeys(MANY)


def through(**changes: Any) -> dict[str, Any]:
    cpu = {
        "product_us_per_token_all_in": 280.0, "product_ms_per_turn_all_in": 17.0,
        "steady_share_of_a_processor": dict.fromkeys(PRODUCT, 0.2),
    }  # fmt: skip
    queued = {"turns": 0, "largest_position": 0, "wait_ms": NONE}
    rest = {"cpu": cpu, "queued": queued, "generator_cpu_percent": 9.0, "others_cpu_percent": 1.0}
    return {**WHOLE, "first_token_ms": MANY, "lag_ms": LAGS, **rest} | changes


def phase(product: dict[str, Any], *, users: int = 1000, think_s: float = 10.0) -> dict[str, Any]:
    plain = WHOLE | {"first_token_ms": DIRECT, "lag_ms": dict.fromkeys(LAGS, 1.0)}
    return {
        "name": f"{users} users", "users": users, "think_s": think_s, "product": product, "direct": plain,
        "added": added(product, plain),
    }  # fmt: skip


def good() -> dict[str, Any]:
    burst = WHOLE | {"tokens_per_s": 40_000, "rounds": [39_000, 40_000, 41_000]}
    found = {
        "machine": MACHINE,
        "phases": [phase(through())],
        "cost_rounds": [CostRound(WHOLE, WHOLE)],
        "burst": {"product": burst, "direct": burst},
        "memory": WHOLE | {"mib_idle": 200.0, "idle_sockets": 1000, "kib_per_idle_socket": 37.0},
        "cost": {
            **{name: {"us_per_token": 55.0, "ms_per_turn": 7.0} for name in ("product", *PRODUCT)},
            "us_per_token_of_rounds": [55.0],
        },
        "cost_users": 500,
        "audit": {"replies": {"completed": 30}, "wrong_text": 0},
    }
    return copy.deepcopy(found)


def missed(found: dict[str, Any]) -> list[str]:
    return [check.name for check in report_of(found, {}).checks if check.passed is False]


def test_a_good_run_reaches_everything() -> None:
    report = report_of(good(), {"sizes": "1000"})
    assert (missed(good()), bench.broken_off(report)) == ([], 0)
    assert report.headline.startswith("1,000 people: 100 % of turns complete, first token within 300 ms (P95), ")
    assert report_page(report).count("<svg") == 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("1000 users", lambda f: f["phases"][0].update(product=through(**BROKEN))),
        ("few tokens, 1", lambda f: f.update(cost_rounds=[CostRound(BROKEN, WHOLE)])),
        ("many tokens, 2", lambda f: f.update(cost_rounds=[CostRound(WHOLE, WHOLE), CostRound(WHOLE, BROKEN)])),
        ("burst", lambda f: f["burst"].update(product=f["burst"]["product"] | BROKEN)),
        ("memory", lambda f: f["memory"].update(BROKEN)),
        ("memory", lambda f: f["memory"].update(turns=0, completed=0)),
    ],
)
def test_a_turn_of_any_phase_that_is_not_whole_is_missed_and_the_exit_code_says_so(
    name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    found = good()
    change(found)
    assert missed(found) == [f"turns complete, {name}"]
    assert bench.broken_off(report_of(found, {})) == 1


def test_nearly_all_is_not_shown_as_all() -> None:
    found = good() | {"phases": [phase(through(turns=3000, completed=2999, complete_percent=99.967))]}
    assert report_of(found, {}).tables[1].rows[0][2] == "99.967"


def test_late_turns_are_missed_but_no_reason_to_fail() -> None:
    found = good() | {"phases": [phase(through(lag_ms=dict.fromkeys(LAGS, 200.0)))]}
    assert len(missed(found)) == 2
    assert bench.broken_off(report_of(found, {})) == 0


def test_a_phase_without_a_good_turn_added_nothing_that_could_be_within_a_limit() -> None:
    lost = through(**WHOLE | {"completed": 0, "complete_percent": 0.0}, first_token_ms=NONE, lag_ms=NONE)
    found = good() | {"phases": [phase(lost)]}
    assert missed(found) == [
        "added time to first token P95, 1000 users", "added lag per token P50, 1000 users",
        "added lag per token P95, 1000 users", "turns complete, 1000 users",
    ]  # fmt: skip
    report = report_of(found, {})
    assert [check.found for check in report.checks[:3]] == ["–"] * 3
    assert "first token within – (P95), – more than directly" in report_text(report)
    assert report_page(report)


def test_a_token_cannot_cost_less_than_nothing() -> None:
    found = good()
    found["cost"]["product"]["us_per_token"] = -1.7
    told = [check for check in report_of(found, {}).checks if check.name.startswith("processor time per")]
    assert [check.verdict for check in told] == ["unclear", "unclear"]


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    found = {name: value for name, value in good().items() if name not in ("cost", "cost_users", "cost_rounds")}
    unclear = [check for check in report_of(found, {}).checks if check.passed is None]
    assert [check.found for check in unclear] == ["not measured"] * 2


def test_latencies_stand_beside_what_they_are_the_difference_of() -> None:
    table = report_of(good(), {}).tables[0]
    assert table.head[4:7] == ("P95 ms", "P95 directly", "P95 added")
    assert [list(row[4:7]) for row in table.rows] == [[300.0, 240.0, 60.0], [40.0, 1.0, 39.0]]


def test_completeness_counts_every_outcome() -> None:
    outcomes = [Outcome(), Outcome(fault="gap in the text"), Outcome()]
    assert completeness(outcomes) == {
        "turns": 3, "completed": 2, "complete_percent": 66.667, "faults": {"gap in the text": 1},
    }  # fmt: skip


def test_a_bursts_broken_turns_are_counted_over_all_rounds() -> None:
    lost = Turn(0, 1.0, fault="lost: closed with 1006")
    run = Run(plan=Plan(name="b", users=1), turns=[lost], samples=[], steady_from=0, steady_to=0, generator_cpu_s=0)
    found = burst_figures([run, run])
    assert (found["tokens_per_s"], found["turns"], found["completed"]) == (0, 2, 0)


def spent(tokens: int, seconds: float, *, turns: int = 10, completed: int = 10) -> dict[str, Any]:
    """A run of ten turns; each part of the product took ``seconds``."""
    parts = dict.fromkeys(PRODUCT, seconds)
    return {
        "turns": turns, "completed": completed, "tokens": tokens * turns,
        "cpu": {"seconds": parts, "product_seconds": sum(parts.values())},
    }  # fmt: skip


def test_a_tokens_cost_is_told_from_a_turns_over_all_rounds() -> None:
    # A turn takes 1 ms of each of four parts and a token 10 µs; the second round's long run had a hiccup of 2 ms.
    rounds = [CostRound(spent(6, 0.0106), spent(106, 0.0206)), CostRound(spent(6, 0.0106), spent(106, 0.0226))]
    cost = cost_of_rounds(rounds)
    assert cost["us_per_token_of_rounds"] == [40.0, 48.0]
    assert cost["product"] == {"us_per_token": 44.0, "ms_per_turn": 3.98}
    assert cost["web"] == {"us_per_token": 11.0, "ms_per_turn": 0.99}


@pytest.mark.parametrize("broken", [spent(0, 0.01), spent(60, 0.01, completed=9)])
def test_cost_of_replies_that_broke_off_cannot_be_told(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="broke off"):
        cost_of_rounds([CostRound(spent(6, 0.01), broken)])


@pytest.mark.parametrize("wrong", [["--sizes", "0"], ["--sizes", "10,20000"], ["--sizes", "many"], ["--web", "17"]])
def test_arguments_are_bounded(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err
