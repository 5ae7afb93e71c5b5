"""The table of what the tests run, and what it takes for too little."""

import io
import json

import pytest

from stress_tests import coverage_by_app


def summary(lines: str, branches: str) -> dict[str, dict[str, int]]:
    covered_lines, statements = map(int, lines.split("/"))
    covered_branches, all_branches = map(int, branches.split("/"))
    counts = (covered_lines, statements, covered_branches, all_branches)
    return {"summary": dict(zip(coverage_by_app.COUNTS, counts, strict=True))}


REPORT = {
    "accounts/models.py": summary("9/10", "2/2"),
    "accounts/api/views.py": summary("10/10", "0/0"),
    "conversations/hub.py": summary("80/80", "6/8"),
}


def table(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"files": REPORT})))
    return coverage_by_app.main(list(arguments))


def test_files_are_added_up_by_app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert table(monkeypatch) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [
        ["accounts", "20", "95.0", "%", "2", "100.0", "%"],
        ["conversations", "80", "100.0", "%", "8", "75.0", "%"],
        ["in", "total", "100", "99.0", "%", "10", "80.0", "%"],
    ]


@pytest.mark.parametrize(("least", "code"), [("80", 0), ("80.1", 1), ("99", 1)])
def test_many_lines_do_not_make_up_for_untried_branches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], least: str, code: int
) -> None:
    assert table(monkeypatch, "--least", least) == code
    assert ("Below" in capsys.readouterr().out) == bool(code)
