"""The table of results: what runs said, with their machine, and nothing of what was missed left out."""

import json
from pathlib import Path
from typing import Any

import pytest

from stress_tests.results import BEGIN, END, Row, main, read_result, rows_of, table, written_into

MACHINE = {
    "processors": 2, "processor_name": "Quick", "memory_gib": 16.0, "python": "3.11.7", "commit": "abc1234",
    "date": "2026-11-29 10:00:00 UTC", "load_before": [0.1, 0.2, 0.3],
}  # fmt: skip


def stress(machine: dict[str, Any] | None = None, **verdicts: str) -> dict[str, Any]:
    checks = [{"name": name, "verdict": verdict, "found": "3 ms"} for name, verdict in verdicts.items()]
    report = {"title": "Sockets", "headline": "All | of it.", "machine": MACHINE | (machine or {}), "checks": checks}
    return {"report": report, "figures": 1}


def bench() -> dict[str, Any]:
    def phase(users: int, think_s: float) -> dict[str, Any]:
        product = {"complete_percent": 100.0, "first_token_ms": {"p95": 200 + users / 10}}
        added = {"first_token_ms": {"p95": users / 10}, "lag_ms": {"p95": users / 20}}
        return {"users": users, "think_s": think_s, "added": added, "product": product}

    return {
        "phases": [phase(100, 10.0), phase(1000, 10.0), phase(1000, 1.0)],
        "targets": [
            {"name": "first", "reached": True, "found": "1 ms"},
            {"name": "lag", "reached": None, "found": "–"},
        ],
        "machine": {"processors": 2, "processor_name": "Quick", "python": "3.11.7", "commit": "abc"},
    }


def test_a_run_becomes_a_row_that_tells_what_was_not_reached() -> None:
    row = read_result(stress(opened="reached", pong="MISSED", memory="unclear")).row().line
    told = "1 of 3 reached; MISSED: pong (3 ms); unclear: memory (3 ms)"
    assert row == f"| Sockets | All \\| of it | {told} | `abc1234`, 2026-11-29 |"


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        # Quiet before, disturbed while it ran: the load before says nothing of it.
        ({"load_before": [0.0], "others_percent": 5.0}, ", beside other work (5 % of the processors)"),
        # Only its own earlier test had left that load.
        ({"load_before": [6.2], "others_percent": 4.9}, ""),
        # Kept before others were measured.
        ({"load_before": [6.21, 5, 4]}, ", beside other work (load 6.2)"),
        ({"load_before": [0.4]}, ""),
        ({"load_before": []}, ""),
    ],
)
def test_other_work_beside_a_run_is_told_as_it_was_during_the_run(machine: dict[str, Any], told: str) -> None:
    row = read_result(stress(machine, opened="reached")).row().line
    assert row.endswith(f"| `abc1234`, 2026-11-29{told} |")


def test_a_row_tells_parameters_that_were_changed_and_changes_that_were_not_committed() -> None:
    kept = stress({"commit": "abc1234+"}, opened="reached")
    kept["report"]["changed"] = {"warm_up": 20.0, "rates": [0.5, 100.0], "users": 1000000, "quick": True}
    given = "`--warm-up 20 --rates 0.5,100 --users 1000000 --quick`"
    assert read_result(kept).row().line.endswith(f"| `abc1234` with uncommitted changes, 2026-11-29, {given} |")


def test_the_bench_has_a_row_of_its_largest_phase_of_people_who_think() -> None:
    row = read_result(bench()).row().line
    assert "1,000 people: 100 % of turns complete, first token within 300 ms (P95), 100 ms more than directly" in row
    assert "1 of 2 reached; not measured: lag (–)" in row


def test_each_machine_has_a_table_of_its_own() -> None:
    runs = (stress(a="reached"), stress({"processors": 8}, a="reached"), stress())
    made = table(read_result(each).row() for each in runs)
    assert made.count("| test | found |") == 2
    assert made.count("| Sockets |") == 3
    assert "On 8 processors (Quick), 16.0 GiB, Python 3.11.7:" in made


def test_what_was_written_is_read_again() -> None:
    rows = [Row("A", "one", "| one | a \\| b |  | x |"), Row("A", "two \\| of", "| two \\| of | b |  | x |")]
    rows.append(Row("B: with, more", "one", "| one | c |  | x |"))
    assert list(rows_of(table(rows))) == rows


def test_only_rows_of_the_tests_that_ran_again_are_replaced_and_nothing_outside_the_markers() -> None:
    old = table([Row("A", "one", "| one | 1 |"), Row("A", "two", "| two | 2 |"), Row("B", "one", "| one | 3 |")])
    written = written_into(f"before\n{BEGIN}\n{old}\n{END}\nafter\n", [Row("B", "one", "| one | 4 |")])
    new = table([Row("A", "two", "| two | 2 |"), Row("B", "one", "| one | 4 |")])
    assert written == f"before\n{BEGIN}\n{new}\n{END}\nafter\n"


@pytest.mark.parametrize("document", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {END} {BEGIN} {END}"])
def test_a_document_without_its_markers_is_left_alone(document: str, tmp_path: Path) -> None:
    path, run = tmp_path / "README.md", tmp_path / "run.json"
    path.write_text(document)
    run.write_text(json.dumps(stress(a="reached")))
    assert main([str(path), str(run)]) == 2
    assert path.read_text() == document


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    path, run = tmp_path / "README.md", tmp_path / "run.json"
    path.write_text(f"# Title\n\n{BEGIN}\n{END}\n")
    run.write_text(json.dumps(stress(a="reached")))
    assert main([str(path), str(run)]) == 0
    assert "| Sockets | All \\| of it | 1 of 1 reached |" in path.read_text()


def test_a_file_of_something_else_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, run = tmp_path / "README.md", tmp_path / "other.json"
    path.write_text(f"{BEGIN}{END}")
    run.write_text('{"some": "thing"}')
    assert main([str(path), str(run)]) == 2
    assert "other.json" in capsys.readouterr().err
