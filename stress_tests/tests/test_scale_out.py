"""The law of scaling out: what a turn costs tells what more processes bring, until something shared is full."""

import math
from argparse import Namespace
from typing import Any

import pytest

from stress_tests import scale_out_test
from stress_tests.bench_report import by_part
from stress_tests.bench_turns import Turn
from stress_tests.reporting import report_page
from stress_tests.scale_out_test import (
    Capacity,
    capacity,
    cores_for,
    figures_of,
    judged,
    ratio,
    report_of,
    together,
    turn_seconds,
)

ONE = {"web": 0.008, "worker": 0.010, "postgres": 0.004, "redis": 0.001, "model": 0.002, "generator": 0.003}
MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}


def test_the_dearest_process_bounds_one_of_each() -> None:
    assert capacity(ONE, 1) == Capacity(100.0, "worker")
    assert capacity(ONE | {"web": 0.02}, 1) == Capacity(50.0, "web")


def test_two_of_each_make_twice_as_many_where_turns_cost_the_same() -> None:
    assert ratio(ONE, ONE) == pytest.approx(2.0)
    assert ratio(ONE, ONE | {"worker": 0.0125}) == pytest.approx(1.6)


def test_redis_is_one_process_however_many_web_processes_there_are() -> None:
    assert capacity(ONE | {"redis": 0.008}, 2) == Capacity(125.0, "redis")


def test_too_few_processors_bound_all_of_it() -> None:
    held = capacity(ONE, 2, cores=2)
    assert held.bound_by == "processors"
    assert held.per_s == pytest.approx(2 / sum(ONE.values()))
    assert ratio(ONE, ONE, cores=2) == pytest.approx(1.0)


def test_processors_from_which_on_it_holds_are_those_that_the_turns_need() -> None:
    needed = 1.7 * 100 * sum(ONE.values())
    assert cores_for(ONE, ONE) == math.ceil(needed)
    assert cores_for(ONE, ONE | {"worker": 0.02}) is None


def test_processes_of_one_kind_are_counted_together() -> None:
    assert by_part({"web": 1.0, "web2": 0.5, "worker": 2.0, "worker12": 1.0, "postgres": 0.25}) == {
        "web": 1.5, "worker": 3.0, "postgres": 0.25,
    }  # fmt: skip


def test_rounds_are_added_up_and_time_is_of_whole_turns() -> None:
    one = {"turns": 10, "completed": 8, "tokens": 600, "cpu": {
        "product_seconds": 1.0, "seconds": {"web": 0.5}, "seconds_by_process": {"web": 0.25, "web2": 0.25},
    }}  # fmt: skip
    both = together([one, one])
    assert (both["turns"], both["completed"], both["tokens"], both["cpu"]["seconds"]) == (20, 16, 1200, {"web": 1.0})
    assert turn_seconds(both, 0.4) == {"web": 0.0625, "generator": 0.025}


def test_turns_that_were_refused_make_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"turns": 10, "completed": 5, "tokens": 300, "cpu": {
        "product_seconds": 1.0, "seconds": {}, "seconds_by_process": {},
    }}  # fmt: skip
    monkeypatch.setattr(scale_out_test, "product_figures", lambda _run: figures)
    monkeypatch.setattr(scale_out_test, "cost_of_tokens_and_turns", lambda *_: {})
    for ended_at, per_s in ((3.0, 2.5), (0.0, 0.0)):
        run: Any = Namespace(turns=[Turn(0, 1.0, ended_at=ended_at)], generator_cpu_s=0.0)
        assert figures_of({name: [run] for name in ("many", "few", "rush")})["seen_per_s"] == per_s


def found(**of_two: Any) -> dict[str, Any]:
    run = {"turns": 100, "completed": 100, "cpu": {"seconds_by_process": {"web": 0.8, "worker": 1.0}}}
    parts = ("web", "worker", "postgres", "redis", "product")
    cost = {part: {"ms_per_turn": 8.0, "us_per_token": 12.0} for part in parts}
    each = {"many": run, "few": run, "rush": run, "cost": cost, "turn_s": ONE, "seen_per_s": 40.0}
    two = {"many": run | {"cpu": {"seconds_by_process": {"web": 0.4, "web2": 0.4, "worker": 0.5, "worker2": 0.5}}}}
    return {"1": each, "2": each | two | of_two}


def verdicts(of: dict[str, Any], cores: int) -> list[str]:
    return [check.verdict for check in judged(of, cores)]


def test_on_few_processors_only_the_law_is_judged() -> None:
    assert verdicts(found(), 2) == ["reached", "reached"]
    assert verdicts(found(turn_s=ONE | {"worker": 0.013}), 2) == ["reached", "MISSED"]


def test_on_many_processors_what_is_seen_counts_as_well() -> None:
    assert verdicts(found(seen_per_s=70.0), 8) == ["reached", "reached", "reached"]
    assert verdicts(found(seen_per_s=60.0), 8) == ["reached", "reached", "MISSED"]


def test_turns_that_broke_off_are_missed_and_leave_the_law_unclear() -> None:
    broken = {"turns": 100, "completed": 99, "cpu": {"seconds_by_process": {"web": 1.0}}}
    assert verdicts(found(many=broken), 8) == ["MISSED", "unclear", "unclear"]


def test_the_page_shows_the_law_and_each_process() -> None:
    page = report_page(report_of(found(), Namespace(users=100, tokens=60), MACHINE))
    # With five it is 1.79 times: both figures stand with the processors that they are of.
    assert "make 2.00 times as many turns by what each turn costs, with processors enough, 1.7 times from 5 on" in page
    assert ratio(ONE, ONE, 5) == pytest.approx(1.79, abs=0.01)
    for shown in ("web2", "worker2", "enough", "processors"):
        assert f"<td>{shown}</td>" in page
    assert page.count("<svg") == 1
