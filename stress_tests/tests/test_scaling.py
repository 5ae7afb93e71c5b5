"""What so many people need, and the simulation of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stress_tests import scaling
from stress_tests.scaling_needs import FILLED, PRIMARY_BYTES, STATIONS, Costs, Demand, costs_of, needs_of
from stress_tests.scaling_simulation import BEARABLE_S, breaking_point, simulate

COSTS = Costs(
    turn_s={"web": 2e-3, "worker": 2e-3, "postgres": 2e-3, "redis": 0.3e-3},
    token_s={"web": 20e-6, "worker": 30e-6, "postgres": 4e-6, "redis": 5e-6},
    source="made up",
)
DEMAND = Demand(tokens=40)


def bench(**changes: Any) -> dict[str, Any]:
    cost = {name: {"ms_per_turn": 2.0, "us_per_token": 20.0} for name in ("product", *STATIONS)}
    return {"cost": cost | changes, "machine": {"processor_name": "A processor", "commit": "abc"}}


def test_needs_grow_with_people_and_fill_no_server_beyond_what_is_planned() -> None:
    few, many = needs_of(1_000_000, DEMAND, COSTS), needs_of(10_000_000, DEMAND, COSTS)
    assert many.turns_per_s == pytest.approx(10 * few.turns_per_s)
    assert few.turns_per_s == pytest.approx(1_000_000 * 0.1 * 8 * 0.12 / 3600)
    for station, servers in (("web", many.web), ("worker", many.workers), ("postgres", many.postgres_cores)):
        assert many.turns_per_s * COSTS.per_turn(station, DEMAND.tokens) <= servers * FILLED


def test_what_one_primary_cannot_keep_is_divided_among_cells() -> None:
    needs = needs_of(100_000_000, DEMAND, COSTS)
    assert needs.cells > 1
    assert needs.database_gb * 1e9 / needs.cells <= PRIMARY_BYTES
    assert needs_of(10_000, DEMAND, COSTS).cells == 1


def test_a_cell_as_planned_does_not_wait_and_is_as_full_as_it_was_meant_to_be() -> None:
    needs = needs_of(4_000_000, DEMAND, COSTS)
    outcome = simulate(needs, DEMAND, COSTS)
    assert outcome.holds
    for station in ("web", "worker"):
        expected = needs.turns_of_cell * COSTS.per_turn(station, DEMAND.tokens) / needs.of_cell(station)
        assert outcome.use[station] == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("station", STATIONS)
def test_what_costs_the_most_breaks_first_and_replies_wait_then(station: str) -> None:
    needs = needs_of(4_000_000, DEMAND, COSTS)
    dear = replace(COSTS, turn_s=COSTS.turn_s | {station: 0.5 * needs.of_cell(station) / needs.turns_of_cell})
    load, outcome = breaking_point(needs, DEMAND, dear)
    assert outcome.fullest == station
    assert load > 1
    assert not outcome.holds or max(outcome.use.values()) >= 0.99


def test_a_cell_that_is_far_too_small_is_seen_to_wait() -> None:
    needs = replace(needs_of(4_000_000, DEMAND, COSTS), web=1)
    slow = replace(COSTS, turn_s=COSTS.turn_s | {"web": 0.05})
    assert simulate(needs, DEMAND, slow).wait_p95_s > BEARABLE_S


def test_the_same_seed_plays_the_same_minute() -> None:
    needs = needs_of(1_000_000, DEMAND, COSTS)
    assert simulate(needs, DEMAND, COSTS, seed=3) == simulate(needs, DEMAND, COSTS, seed=3)


@pytest.mark.parametrize("bad", [{"cost": None}, bench(postgres={"ms_per_turn": 2.0, "us_per_token": -7.2})])
def test_costs_that_only_a_busy_machine_measures_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="quiet machine"):
        costs_of(bad)


def test_a_token_that_costs_a_part_nearly_nothing_costs_it_nothing() -> None:
    assert costs_of(bench(postgres={"ms_per_turn": 2.0, "us_per_token": -1.4})).token_s["postgres"] == 0


def test_the_command_tells_of_each_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(bench()))
    arguments = ["--bench", str(tmp_path / "bench.json"), "--people", "200000", "--tokens", "40"]
    monkeypatch.setattr("sys.argv", ["scaling", *arguments, "--json", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit) as ended:
        scaling.main()
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "200,000" in told
    assert "breaks first" in told
    (found,) = json.loads((tmp_path / "out.json").read_text())
    assert found["breaks"]["station"] in STATIONS


@pytest.mark.parametrize("wrong", [["--people", "0"], ["--active", "2"], ["--tokens", "0"]])
def test_what_makes_no_sense_is_refused(wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(bench()))
    monkeypatch.setattr("sys.argv", ["scaling", "--bench", str(tmp_path / "bench.json"), *wrong])
    with pytest.raises(SystemExit) as ended:
        scaling.main()
    assert ended.value.code == 2
