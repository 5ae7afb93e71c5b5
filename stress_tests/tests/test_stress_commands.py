"""What stress commands have in common: bounded arguments, loopback alone, what the exit code says, what is kept."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from stress_tests.bench_stack import StackError
from stress_tests.loopback import loopback_url
from stress_tests.reporting import Check, Report, Table, between, command_parser, report_text, run_command

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


def run(found: Any, *arguments: str) -> int:
    def give(_options: argparse.Namespace) -> Any:
        if isinstance(found, Exception):
            raise found
        return found, {"figure": 7}

    return run_command(command_parser("some_test", "What it does."), give, arguments)


@pytest.mark.parametrize(("passed", "code"), [((True, True), 0), ((True, False, None), 1), ((True, None), 3), ((), 0)])
def test_the_exit_code_tells_what_was_missed_and_what_was_unclear(passed: tuple[bool | None, ...], code: int) -> None:
    assert run(report(*passed)) == code


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
