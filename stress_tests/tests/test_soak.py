"""What a soak says of its samples: what grows is found to grow, noise and steady things are not."""

import dataclasses
import math
import random
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from stress_tests.chaos.reports import soak_report
from stress_tests.chaos.slope import slope, student, verdict
from stress_tests.reporting import Report, describe_machine, exit_code, keep
from stress_tests.soak_test import Soaked, figures_of, judged, main

MIB = 1024 * 1024
TIMES = [10.0 * number for number in range(360)]


def rss(per_hour: float, noise: float = 0.002) -> list[float]:
    """An hour of a process of 200 MiB that grows by a share per hour."""
    chance = random.Random(3)
    return [200 * MIB * (1 + per_hour * at / 3600 + chance.gauss(0, noise)) for at in TIMES]


def samples(**series: list[float]) -> list[dict[str, float]]:
    names = {name.replace("_", "/"): values for name, values in series.items()}
    return [{"at": at, **{name: values[n] for name, values in names.items()}} for n, at in enumerate(TIMES)]


@pytest.mark.parametrize(("share", "said"), [(0.0, "holds"), (-0.05, "holds"), (0.03, "grows")])
def test_memory_is_judged_by_its_share_per_hour(share: float, said: str) -> None:
    found = slope(TIMES, rss(share)).share()
    assert found.low <= share <= found.high
    assert verdict(found, 0.01) == said


def test_short_and_noisy_run_is_unclear() -> None:
    assert verdict(slope(TIMES[:6], rss(0.0, noise=0.02)[:6]).share(), 0.01) == "unclear"


def test_samples_that_follow_each_other_closely_widen_the_interval() -> None:
    chance = random.Random(1)
    wandering, at = [], 0.0
    for _time in TIMES:
        at += chance.gauss(0, 1)
        wandering.append(at)
    shuffled = random.Random(2).sample(wandering, len(wandering))
    near, far = slope(TIMES, wandering), slope(TIMES, shuffled)
    assert near.high - near.low > 2 * (far.high - far.low)


def test_slope_of_few_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        slope([1.0, 2.0], [1.0, 2.0])


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in found["series"]}


def test_steady_processes_hold_and_what_is_written_may_grow() -> None:
    found = judged(samples(rss_web0=rss(0.0), fds_web0=[40.0 + n % 3 for n in range(360)], table_m=rss(9.0)))
    assert verdicts(found) == {"rss/web0": "holds", "fds/web0": "holds", "table/m": ""}


@pytest.mark.parametrize("name", ["fds_worker1", "threads_web0", "connections_redis"])
def test_leak_of_one_in_ten_minutes_grows(name: str) -> None:
    found = judged(samples(**{name: [40.0 + at // 600 for at in TIMES]}))
    assert list(verdicts(found).values()) == ["grows"]


def test_number_that_goes_up_and_down_so_that_nothing_can_be_told_is_unclear() -> None:
    found = judged(samples(fds_worker0=[40.0 + 30 * (at // 900 % 2) for at in TIMES]))
    assert verdicts(found) == {"fds/worker0": "unclear"}


@pytest.mark.parametrize("follows", [0.0, 0.8, 0.95])
def test_interval_holds_the_truth_as_often_as_it_says(follows: float) -> None:
    """Of 200 series that do not grow, each value so much like the one before it."""
    chance, held = random.Random(5), 0
    for _series in range(200):
        values, at = [], chance.gauss(0, 1) / math.sqrt(1 - follows**2)
        for _time in TIMES:
            at = follows * at + chance.gauss(0, 1)
            values.append(at)
        found = slope(TIMES, values)
        held += found.low <= 0 <= found.high
    assert 0.9 <= held / 200 <= 0.99


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (2, 4.303), (3, 3.182), (10, 2.228), (1000, 1.962)])
def test_students_t_is_that_of_the_tables(freedom: int, expected: float) -> None:
    assert student(freedom) == pytest.approx(expected, rel=0.002)


SOAKED = Soaked(
    samples=samples(rss_web0=rss(0.0)),
    accepted=[at * 2 - 1200 for at in range(2400)],  # one every two seconds, from 20 minutes before the first sample on
    counts={"accepted": 2400, "completed": 2380, "stopped": 20},
    violations={},
    unsettled=[],
)


def report_of(users: int = 13, **changes: Any) -> Report:
    figures = figures_of(dataclasses.replace(SOAKED, **changes), users=users, think=20, words=30, token_ms=20)
    return soak_report(figures, SOAKED.samples, Namespace(users=users), describe_machine())


def test_messages_are_those_of_the_time_that_was_measured() -> None:
    report = report_of()
    assert exit_code(report) == 0
    assert report.headline == "1,796 messages in 1.00 h of 13 people."


@pytest.mark.parametrize(
    "changes",
    [
        {"violations": {"lost": 1}},
        {"counts": {"failed": 1}},
        {"counts": {"interrupted": 1}},
        {"unsettled": ["c7"]},
        {"accepted": SOAKED.accepted[:900]},
        {"users": 20},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_run_in_which_replies_break_off_or_people_cannot_ask_fails(changes: dict[str, Any]) -> None:
    assert exit_code(report_of(**changes)) == 1


def test_what_a_run_kept_is_judged_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = figures_of(SOAKED, users=13, think=20, words=30, token_ms=20)
    options = Namespace(users=13, think=20, words=30, token_ms=20, json=tmp_path / "soak.json", html=None)
    machine = describe_machine() | {"commit": "of that run"}
    keep(soak_report(figures, SOAKED.samples, options, machine), figures, options)
    assert main(["--judge", str(options.json)]) == 0
    said = capsys.readouterr().out
    assert "1,796 messages" in said
    assert "of that run" in said


@pytest.mark.parametrize(
    ("kept", "why"),
    [(None, "No such file"), ("{}", "KeyError('samples')"), ("[]", "holds no soak"), ("half a li", "Expecting value")],
)
def test_what_holds_no_run_that_was_kept_is_refused(
    kept: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "soak.json"
    if kept is not None:
        path.write_text(kept)
    assert main(["--judge", str(path)]) == 2
    assert why in capsys.readouterr().err
