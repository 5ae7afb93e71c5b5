"""What stress commands have in common: bounded arguments, loopback alone, what the exit code says, what is kept."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stress_tests.bench_cpu import Usage, others_percent
from stress_tests.bench_stack import StackError
from stress_tests.loopback import loopback_url
from stress_tests.reporting import (
    Check,
    Report,
    Table,
    at_most,
    between,
    command_parser,
    keep,
    report_text,
    run_command,
)

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc", "load_before": [0.1, 0.2]}


def report(*passed: bool | None) -> Report:
    return Report(
        name="some_test",
        title="Some",
        headline="All of it.",
        machine=MACHINE,
        parameters={},
        checks=[Check(f"check {number}", "≤ 1", "2", each) for number, each in enumerate(passed)],
        tables=[Table("Table", ("part", "ms"), [("web", 1234.5), ("worker", None)], "A note.")],
    )


def run(found: Any, *arguments: str, **settings: Any) -> int:
    def give(_options: argparse.Namespace) -> Any:
        if isinstance(found, Exception):
            raise found
        return found, {"figure": 7}

    parser = command_parser("some_test", "What it does.")
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--warm-up", type=float, default=5)
    return run_command(parser, give, arguments, **settings)


@pytest.mark.parametrize(("passed", "code"), [((True, True), 0), ((True, False, None), 1), ((True, None), 3), ((), 0)])
def test_the_exit_code_tells_what_was_missed_and_what_was_unclear(passed: tuple[bool | None, ...], code: int) -> None:
    assert run(report(*passed)) == code


def test_a_command_may_have_an_exit_code_of_its_own() -> None:
    assert run(report(False), code_of=lambda found: 10 + len(found.checks)) == 11


@pytest.mark.parametrize("error", [StackError("web is not ready"), ValueError("too few")])
def test_what_could_not_run_says_why(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(error) == 2
    assert str(error) in capsys.readouterr().err


def test_a_run_prints_its_tables_and_keeps_json_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json, page = tmp_path / "new" / "some.json", tmp_path / "some.html"
    assert run(report(True), "--json", str(as_json), "--html", str(page)) == 0
    printed = capsys.readouterr().out
    for said in ("All of it.", "1,234", "A note.", "reached", "2 processors (Quick)"):
        assert said in printed
    kept = json.loads(as_json.read_text())
    assert kept["figure"] == 7
    assert kept["report"]["machine"] == MACHINE
    assert [check["verdict"] for check in kept["report"]["checks"]] == ["reached"]
    assert "<h1>Some</h1>" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [((), {}), (("--users", "10", "--warm-up", "5"), {}), (("--warm-up", "20"), {"warm_up": 20.0})],
)
def test_parameters_other_than_the_defaults_are_kept(
    arguments: Sequence[str], changed: dict[str, Any], tmp_path: Path
) -> None:
    assert run(report(True), "--json", str(tmp_path / "some.json"), *arguments) == 0
    kept = json.loads((tmp_path / "some.json").read_text())
    assert kept["report"]["changed"] == changed


def test_what_others_used_during_the_run_is_printed_and_kept_by_run_and_by_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = iter([Usage(100, 500, 40), Usage(110, 512, 47), Usage(110, 512, 47)])
    monkeypatch.setattr(Usage, "now", lambda: next(moments))
    began = MACHINE | {"began": Usage.now()}
    told = dataclasses.replace(report(True), machine=began)
    for path in (tmp_path / "run.json", tmp_path / "keep.json"):
        if path.stem == "run":
            run(told, "--json", str(path))
        else:
            keep(told, {}, argparse.Namespace(json=path, html=None))
        # Ten seconds of two processors: twelve of twenty were used, seven of them by the run.
        assert json.loads(path.read_text())["report"]["machine"] == MACHINE | {"others_percent": 25.0}
    assert "others used 25 % of the processors: NOT A QUIET MACHINE" in capsys.readouterr().out


def test_processes_that_a_run_started_and_that_have_ended_are_its_own() -> None:
    before = Usage.now()
    work = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    after = Usage.now()
    assert after.own_s - before.own_s >= 0.25
    # On however busy a machine: nobody has more than all of it, less what was the run's own.
    processors = len(os.sched_getaffinity(0))
    assert 0 <= others_percent(before, after, processors) <= 100 - 100 * 0.25 / (processors * (after.at - before.at))


def test_nothing_measured_is_missed_and_no_zero() -> None:
    assert (at_most("added", None, 150, "ms").found, at_most("added", None, 150, "ms").verdict) == ("–", "MISSED")


def test_columns_stand_below_each_other() -> None:
    lines = report_text(report()).splitlines()
    start = lines.index("Table")
    assert [len(line) for line in lines[start + 1 : start + 4]] == [15, 15, 15]


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8000/", "http://localhost", "http://[::1]:80", "http://127.9.9.9"]
)
def test_load_may_go_to_this_machine(address: str) -> None:
    assert loopback_url(address) == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    ["http://10.0.0.1", "http://example.org", "https://127.0.0.1", "127.0.0.1:80", "http://localhost.example.org",
     "http://127.0.0.1@example.org", "http://0.0.0.0", "http://2130706433"],
)  # fmt: skip
def test_load_goes_nowhere_else(address: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        loopback_url(address)


@pytest.mark.parametrize("word", ["0", "11", "1e9", "many"])
def test_numbers_are_bounded(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=between(1, 10))
    assert parser.parse_args(["--users", "10"]).users == 10
    with pytest.raises(SystemExit):
        parser.parse_args(["--users", word])
    assert "--users" in capsys.readouterr().err
