"""What so many people need, and the simulation of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from chatbot_project.tests.documents import ROOT
from conversations.connections import SESSIONS_SECONDS
from stress_tests import scaling, scaling_needs
from stress_tests.scaling_needs import (
    FILLED,
    MIB,
    PRIMARY_BYTES,
    REPLY_SLOTS,
    SOCKETS_OF_WEB,
    STATIONS,
    WEB_BYTES_LIMIT,
    Costs,
    Demand,
    costs_of,
    most_sockets,
    needs_of,
)
from stress_tests.scaling_simulation import BEARABLE_S, LOOK_S, breaking_point, simulate

COSTS = Costs(
    turn_s={"web": 2e-3, "worker": 2e-3, "postgres": 2e-3, "redis": 0.3e-3},
    token_s={"web": 20e-6, "worker": 30e-6, "postgres": 4e-6, "redis": 5e-6},
    socket_s={"web": 2e-6, "worker": 0.0, "postgres": 0.5e-6, "redis": 0.02e-6},
    web_bytes=180 * MIB,
    socket_bytes=50 * 1024,
    source="made up",
)
DEMAND = Demand(tokens=40)


def bench(**changes: Any) -> dict[str, Any]:
    cost = {name: {"ms_per_turn": 2.0, "us_per_token": 20.0} for name in ("product", *STATIONS)}
    return {
        "cost": cost | changes,
        "memory": {"mib_before": 180.0, "kib_per_streaming_socket": 50.0},
        "machine": {"processor_name": "A processor", "commit": "abc"},
    }


def test_needs_grow_with_people_and_fill_no_server_beyond_what_is_planned() -> None:
    few, many = needs_of(1_000_000, DEMAND, COSTS), needs_of(10_000_000, DEMAND, COSTS)
    assert many.turns_per_s == pytest.approx(10 * few.turns_per_s)
    assert few.turns_per_s == pytest.approx(1_000_000 * 0.1 * 8 * 0.12 / 3600)
    for station, servers in (("web", many.web), ("worker", many.workers), ("postgres", many.postgres_cores)):
        assert many.turns_per_s * COSTS.per_turn(station, DEMAND.tokens) <= servers * FILLED


@pytest.mark.parametrize("people", [1, 10_000, 1_000_000, 30_000_000, 100_000_000])
def test_without_one_of_each_in_every_cell_there_is_room_for_all(people: int) -> None:
    needs = needs_of(people, DEMAND, COSTS)
    web, workers = needs.web - needs.cells, needs.workers - needs.cells
    assert web >= needs.cells
    assert workers >= needs.cells
    assert needs.streaming <= workers * REPLY_SLOTS * FILLED
    assert needs.sockets <= web * SOCKETS_OF_WEB
    assert needs.web_mib * MIB <= WEB_BYTES_LIMIT


def test_sockets_that_take_more_memory_need_more_processes() -> None:
    heavy = replace(COSTS, socket_bytes=500 * 1024)
    needs = needs_of(1_000_000, DEMAND, heavy)
    assert needs.web > needs_of(1_000_000, DEMAND, COSTS).web
    assert needs.web_mib * MIB <= FILLED * WEB_BYTES_LIMIT
    assert most_sockets(heavy) < SOCKETS_OF_WEB


def test_an_open_socket_costs_though_nobody_asks() -> None:
    dear = replace(COSTS, socket_s=COSTS.socket_s | {"postgres": 1e-3})
    quiet = replace(DEMAND, turns=0.1)
    assert needs_of(1_000_000, quiet, dear).postgres_cores >= 1_000_000 * 0.1 * 0.3 * 1e-3 / FILLED
    needs = needs_of(1_000_000, quiet, COSTS)
    use = simulate(needs, quiet, COSTS).use
    assert use["postgres"] == pytest.approx(
        needs.sockets_of_cell * COSTS.socket_s["postgres"] / needs.of_cell("postgres"), rel=0.2
    )


def test_celery_and_beat_hold_connections_too() -> None:
    needs = needs_of(10_000, DEMAND, COSTS)
    assert needs.connections == 12 * (needs.web + needs.workers + 2 + 1)


def test_limits_are_the_products_own() -> None:
    deployed = ROOT / "deploy" / "k8s"
    web, *_ = yaml.safe_load_all((deployed / "base" / "web.yaml").read_text())
    (container,) = web["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == f"{WEB_BYTES_LIMIT // MIB}Mi"
    scaler = yaml.safe_load((deployed / "components" / "autoscaling" / "web.yaml").read_text())
    targets = [metric["pods"]["target"] for metric in scaler["spec"]["metrics"] if metric["type"] == "Pods"]
    assert targets == [{"type": "AverageValue", "averageValue": str(SOCKETS_OF_WEB)}]
    assert settings.REPLY_SLOTS == REPLY_SLOTS
    assert settings.DATABASE_THREADS + 4 == scaling_needs.CONNECTIONS
    assert SESSIONS_SECONDS == LOOK_S


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
        asked = needs.turns_of_cell * COSTS.per_turn(station, DEMAND.tokens)
        expected = (asked + needs.sockets_of_cell * COSTS.socket_s[station]) / needs.of_cell(station)
        assert outcome.use[station] == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("station", STATIONS)
def test_what_costs_the_most_breaks_first_and_replies_wait_then(station: str) -> None:
    needs = needs_of(4_000_000, DEMAND, COSTS)
    dear = replace(COSTS, turn_s=COSTS.turn_s | {station: 0.5 * needs.of_cell(station) / needs.turns_of_cell})
    load, outcome = breaking_point(needs, DEMAND, dear)
    assert outcome.fullest == station
    assert load > 1
    assert not outcome.holds


def test_slots_give_out_where_as_many_replies_stream_as_there_are() -> None:
    needs = needs_of(300_000, DEMAND, COSTS)
    slow = replace(DEMAND, first_s=60.0)  # nothing works more, but slots are held for longer
    assert not simulate(needs, slow, COSTS).holds
    enough = replace(needs, workers=2 * round(needs.turns_of_cell * slow.reply_s / REPLY_SLOTS))
    assert simulate(enough, slow, COSTS).use["slots"] == pytest.approx(0.5, rel=0.15)
    load, outcome = breaking_point(enough, slow, COSTS)
    assert outcome.fullest == "slots"
    assert load == pytest.approx(2.0, rel=0.15)


def test_sockets_give_out_where_they_fill_the_memory() -> None:
    needs = needs_of(4_000_000, DEMAND, COSTS)
    crowded = replace(needs, sockets=0.5 * needs.web * most_sockets(COSTS))
    load, outcome = breaking_point(crowded, DEMAND, replace(COSTS, socket_s=dict.fromkeys(STATIONS, 0.0)))
    assert outcome.fullest == "sockets"
    assert load == pytest.approx(2.0, rel=0.1)


def test_one_of_each_may_be_lost() -> None:
    needs = needs_of(4_000_000, DEMAND, COSTS)
    whole, lost = simulate(needs, DEMAND, COSTS), simulate(needs, DEMAND, COSTS, lost=1)
    assert lost.holds
    assert lost.use["slots"] > whole.use["slots"]
    assert lost.use["sockets"] > whole.use["sockets"]


def test_a_cell_that_is_far_too_small_is_seen_to_wait() -> None:
    needs = replace(needs_of(4_000_000, DEMAND, COSTS), web=1)
    slow = replace(COSTS, turn_s=COSTS.turn_s | {"web": 0.05})
    assert simulate(needs, DEMAND, slow).wait_p95_s > BEARABLE_S


def test_what_is_still_waited_for_when_the_minute_is_over_counts() -> None:
    needs = replace(needs_of(4_000_000, DEMAND, COSTS), web=1)
    stuck = replace(COSTS, turn_s=COSTS.turn_s | {"web": 0.5})  # hardly one is ready before the minute is over
    assert simulate(needs, DEMAND, stuck).wait_p95_s > 100


def test_the_same_seed_plays_the_same_minute() -> None:
    needs = needs_of(1_000_000, DEMAND, COSTS)
    assert simulate(needs, DEMAND, COSTS, seed=3) == simulate(needs, DEMAND, COSTS, seed=3)


@pytest.mark.parametrize("bad", [{"cost": None}, bench(postgres={"ms_per_turn": 2.0, "us_per_token": -7.2})])
def test_costs_that_only_a_busy_machine_measures_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="quiet machine"):
        costs_of(bad)


def test_a_token_that_costs_a_part_nearly_nothing_costs_it_nothing() -> None:
    costs = costs_of(bench(postgres={"ms_per_turn": 2.0, "us_per_token": -1.4}))
    assert costs.token_s["postgres"] == 0
    assert "postgres 2.00 ms + too little to tell" in costs.told()


def test_memory_comes_from_the_bench() -> None:
    costs = costs_of(bench())
    assert (costs.web_bytes, costs.socket_bytes) == (180 * MIB, 50 * 1024)
    with pytest.raises(ValueError, match="memory"):
        costs_of(bench() | {"memory": None})


@pytest.mark.parametrize(
    ("value", "told"), [(412.3, "412"), (71.2, "71.2"), (3.583, "3.58"), (12.0, "12"), (12_345.6, "12,346")]
)
def test_figures_are_told_so_that_they_can_be_read(value: float, told: str) -> None:
    assert scaling._number(value) == told


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
    assert "Breaks first" in told
    (found,) = json.loads((tmp_path / "out.json").read_text())
    assert found["breaks"]["station"] in (*STATIONS, "slots", "sockets")
    assert found["one_lost"]["holds"]


@pytest.mark.parametrize("wrong", [["--people", "0"], ["--active", "2"], ["--tokens", "0"]])
def test_what_makes_no_sense_is_refused(wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(bench()))
    monkeypatch.setattr("sys.argv", ["scaling", "--bench", str(tmp_path / "bench.json"), *wrong])
    with pytest.raises(SystemExit) as ended:
        scaling.main()
    assert ended.value.code == 2
