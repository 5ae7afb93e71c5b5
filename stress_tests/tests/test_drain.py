"""What a drain says of restarts, of codes that tabs were closed with, and of replies; and of a process that stays."""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stress_tests import drain_test
from stress_tests.bench_stack import StackError
from stress_tests.chaos import stack as chaos
from stress_tests.chaos.checker import Verdict, Violation
from stress_tests.drain_test import Drained, Restart, drain_report, read_closes, read_gaps, told_to_end
from stress_tests.reporting import describe_machine, exit_code, report_page, report_text

MACHINE = describe_machine()
OPTIONS = argparse.Namespace(tabs=4, rounds=1, web=2, workers=1, json=None, html=None)
WHOLE = Drained(
    restarts=[Restart("web0", 4, 10.5, 0), Restart("worker0", 3, 22.0, 0)],
    verdict=Verdict(counts=Counter(accepted=9, completed=9)),
    closes={1000: 6, 1012: 2},
    silent=0,
    gaps=[0.1, 0.2, 0.9],
    unsettled=[],
)


def missed(found: Drained) -> list[str]:
    return [check.name for check in drain_report(found, OPTIONS, MACHINE).checks if not check.passed]


def but(**changes: Any) -> Drained:
    return dataclasses.replace(WHOLE, **changes)


def violated(kind: str) -> Drained:
    return but(verdict=Verdict([Violation(kind, "c0", "so it was")], WHOLE.verdict.counts))


def ended(how: str) -> Drained:
    return but(verdict=Verdict(counts=Counter(accepted=9, completed=8) + Counter({how: 1})))


def test_what_is_whole_passes_and_is_told() -> None:
    report = drain_report(WHOLE, OPTIONS, MACHINE)
    assert exit_code(report) == 0
    assert report.headline == (
        "2 processes told to end under 4 tabs: 9 of 9 replies whole, the slowest to end took 22.0 s."
    )
    said = report_text(report)
    for part in ("worker0", "1012", "95 %"):
        assert part in said
    assert "<h1>Drain</h1>" in report_page(report)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (violated("lost"), "replies lost"),
        (violated("unanswered"), "replies lost"),
        (violated("stuck"), "replies lost"),
        (but(unsettled=["c1"]), "replies lost"),
        (violated("doubled"), "replies doubled"),
        (violated("cut"), "replies cut"),
        (ended("interrupted"), "replies cut"),
        (ended("failed"), "replies cut"),
        (violated("mixed"), "replies mixed up or shown otherwise than stored"),
        (but(closes={1000: 6, 1006: 1}), "connections closed without a code"),
        (but(closes={0: 1}), "connections closed without a code"),
        (but(restarts=[Restart("web0", 4, 30.1, 0)]), "the slowest to end"),
        (but(restarts=[Restart("web0", 4, 1.0, -9)]), "processes that ended otherwise than by themselves"),
    ],
)
def test_anything_that_is_not_as_it_must_be_is_missed(found: Drained, name: str) -> None:
    assert missed(found) == [name]
    assert exit_code(drain_report(found, OPTIONS, MACHINE)) == 1


@pytest.mark.parametrize("found", [but(restarts=[Restart("web0", 1, 1.0, 0)]), but(silent=1)])
def test_restart_that_hardly_anybody_saw_and_a_connection_that_kept_silent_are_unclear(found: Drained) -> None:
    assert exit_code(drain_report(found, OPTIONS, MACHINE)) == 3


def test_closes_and_gaps_are_read_from_what_tabs_noted() -> None:
    one = [
        {"what": "opened", "at": 1.0}, {"what": "closed", "at": 2.0, "code": 1012}, {"what": "refused", "at": 2.1},
        {"what": "opened", "at": 2.5}, {"what": "closed", "at": 3.0, "code": 1000}, {"what": "opened", "at": 3.25},
    ]  # fmt: skip
    other = [
        {"what": "opened", "at": 1.0}, {"what": "closed", "at": 2.0, "code": 1012}, {"what": "gave_up", "at": 5.0},
        {"what": "closed", "at": 5.0, "code": 1006},
    ]  # fmt: skip
    assert read_closes([one, other]) == ({1012: 2, 1000: 1}, 1)
    assert read_gaps([one, other]) == [0.25, 0.5]


OBEYS = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)
STAYS = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


@pytest.fixture
def child(tmp_path: Path) -> Any:
    started: list[chaos.Child] = []

    async def start(script: str) -> chaos.Child:
        one = chaos.Child("one", ["-c", script], {}, tmp_path / "log")
        started.append(one)
        one.start()
        while not one.said("up"):
            assert one.is_running, one.log.read_text()
        return one

    yield start
    for one in started:
        one.signal(9)  # type: ignore[arg-type]  # SIGKILL
        one.stop()


async def test_process_that_obeys_ends_by_itself(child: Callable[[str], Any]) -> None:
    _seconds, code = await told_to_end(await child(OBEYS))
    assert code == 0


async def test_process_that_stays_is_killed_and_told(
    child: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_test, "PATIENCE_SECONDS", 0.2)
    seconds, code = await told_to_end(await child(STAYS))
    assert (code, seconds >= 0.2) == (-9, True)


def test_stack_that_does_not_come_up_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Broken:
        def __init__(self, _options: argparse.Namespace) -> None: ...

        async def run(self) -> Drained:
            raise chaos.StackError("web0 does not come up")

    monkeypatch.setattr(drain_test, "Run", Broken)
    with pytest.raises(StackError, match="web0"):
        drain_test.measure(OPTIONS)
    if sys.platform.startswith("linux"):
        assert drain_test.main([]) == 2
        assert "web0 does not come up" in capsys.readouterr().err
