"""The table of results, from the JSON that stress tests and the bench keep, put into a document between its markers.

``python -m stress_tests.results README.md long.json websockets.json bench.json …`` puts them between the lines
``<!-- results -->`` and ``<!-- /results -->``, each in the place of that test's earlier row; rows of tests that did not
run again stay. Every row names its machine, commit and day, parameters other than the command's defaults, and what
other work took of the processors; what was missed or could not be told stands in it as well.
"""

import argparse
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import bench_report
from .reporting.machine import QUIET_PERCENT

BEGIN, END = "<!-- results -->", "<!-- /results -->"
QUIET_LOAD = 0.5  # of one processor, in the minute before: of runs that kept nothing else
ON = "On "
_CELL = re.compile(r"(?<!\\)\|")
HEAD = "| test | found | wanted | commit, day |\n|---|---|---|---|"


class Row(NamedTuple):
    """A line of a machine's table; ``test`` is its first cell."""

    machine: str
    test: str
    line: str


@dataclass(frozen=True)
class Result:
    """One run's row. ``machine`` in a line; ``checks`` are pairs of a name and a verdict, with what was found;
    ``changed`` are parameters other than the defaults, ``beside`` is what else the machine did."""

    title: str
    headline: str
    machine: str
    commit: str
    day: str
    changed: Mapping[str, Any]
    beside: str
    checks: Sequence[tuple[str, str, str]]

    @property
    def verdict(self) -> str:
        """How many were reached, and each that was not."""
        reached = sum(1 for _, verdict, _ in self.checks if verdict == "reached")
        others = [f"{verdict}: {name} ({found})" for name, verdict, found in self.checks if verdict != "reached"]
        told = f"{reached} of {len(self.checks)} reached"
        return "; ".join([told, *others])

    @property
    def when(self) -> str:
        clean = self.commit.removesuffix("+")
        dirty = " with uncommitted changes" if clean != self.commit else ""
        given = f"`{_as_given(self.changed)}`" if self.changed else ""
        return ", ".join(filter(None, (f"`{clean}`{dirty}", self.day, given, self.beside)))

    def row(self) -> Row:
        """It as a line of its machine's table."""
        test = _cell(self.title)
        line = f"| {test} | {_cell(self.headline)} | {_cell(self.verdict)} | {_cell(self.when)} |"
        return Row(self.machine, test, line)


def read_result(kept: Mapping[str, Any]) -> Result:
    """Of what a stress test keeps, or of what the bench kept before it had a report. Raises ValueError for anything
    else."""
    if "report" in kept:
        report = kept["report"]
        checks = [(check["name"], check["verdict"], check["found"]) for check in report["checks"]]
        changed = report.get("changed", {})
        return _result(report["title"], report["headline"], report["machine"], checks, changed)
    if "targets" in kept and "phases" in kept:
        verdicts = {True: "reached", False: "MISSED", None: "not measured"}
        targets = [(target["name"], verdicts[target["reached"]], target["found"]) for target in kept["targets"]]
        return _result("Bench", bench_report.headline(kept), kept["machine"], targets, {})
    raise ValueError("no report of a stress test or of the bench")


def _result(
    title: str,
    headline: str,
    machine: Mapping[str, Any],
    checks: Sequence[tuple[str, str, str]],
    changed: Mapping[str, Any],
) -> Result:
    memory = f", {machine['memory_gib']} GiB" if "memory_gib" in machine else ""
    return Result(
        title=title,
        headline=headline.removesuffix("."),
        machine=f"{machine['processors']} processors ({machine['processor_name']}){memory}, Python {machine['python']}",
        commit=str(machine["commit"]),
        day=str(machine.get("date", "")).partition(" ")[0] or "day unknown",
        changed=changed,
        beside=_beside(machine),
        checks=checks,
    )


def _beside(machine: Mapping[str, Any]) -> str:
    """Whether others worked as well; of earlier runs the load before them is all that is known."""
    if (others := machine.get("others_percent")) is not None:
        return f"beside other work ({others:.0f} % of the processors)" if others >= QUIET_PERCENT else ""
    load = (machine.get("load_before") or [0.0])[0]
    return f"beside other work (load {load:.1f})" if load > QUIET_LOAD else ""


def _as_given(changed: Mapping[str, Any]) -> str:
    """Parameters as on the command line."""
    return " ".join(
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {_word(value)}") for name, value in changed.items()
    )


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_word, value))
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def table(rows: Iterable[Row]) -> str:
    """A table for each machine."""
    ordered = sorted(rows, key=lambda row: row.machine)  # stable: a machine's rows stay as they were given
    blocks = []
    for machine, of_it in itertools.groupby(ordered, key=lambda row: row.machine):
        blocks.append("\n".join([f"{ON}{machine}:", "", HEAD, *(row.line for row in of_it)]))
    return "\n\n".join(blocks)


def rows_of(content: str) -> Iterator[Row]:
    """Those of ``table``."""
    machine = ""
    for line in content.splitlines():
        if line.startswith(ON):
            machine = line.removeprefix(ON).removesuffix(":")
        elif line.startswith("| ") and line not in HEAD:
            yield Row(machine, _CELL.split(line)[1].strip(), line)


def renewed(rows: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """``rows`` with ``new``, each in the place of the first of the same test; of others of it nothing stays."""
    left = {row.test: row for row in new}
    tests = set(left)
    placed = [left.pop(row.test, None) if row.test in tests else row for row in rows]
    return [row for row in placed if row is not None] + list(left.values())


def written_into(document: str, new: Sequence[Row]) -> str:
    """``document`` with the table between its markers renewed. Raises ValueError where these do not stand there once
    each."""
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise ValueError(f"it needs one line {BEGIN} and after it one line {END}")
    before, _, rest = document.partition(BEGIN)
    content, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(renewed(rows_of(content), new))}\n{END}{after}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="results", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("document", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="JSON", help="what --json wrote")
    options = parser.parse_args(arguments)
    try:
        rows = [_read(path).row() for path in options.runs]
        document = written_into(options.document.read_text(), rows)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    options.document.write_text(document)
    return 0


def _read(path: Path) -> Result:
    try:
        return read_result(json.loads(path.read_text()))
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
