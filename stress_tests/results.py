"""The table of results, from the JSON that stress tests and the bench keep, put into a document between its markers.

``python -m stress_tests.results README.md long.json websockets.json bench.json …`` replaces what stands between the
lines ``<!-- results -->`` and ``<!-- /results -->``. Every row names its machine, commit and day, and the load that
other work made; what was missed or could not be told stands in it as well.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results -->", "<!-- /results -->"
QUIET_LOAD = 0.5  # of one processor, in the minute before: above that the row says so
HEAD = "| test | found | wanted | commit, day |\n|---|---|---|---|"


@dataclass(frozen=True)
class Result:
    """One run's row. ``machine`` in a line; ``checks`` are pairs of a name and a verdict, with what was found."""

    title: str
    headline: str
    machine: str
    commit: str
    day: str
    load: float | None
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
        busy = self.load is not None and self.load > QUIET_LOAD
        return f"`{self.commit}`, {self.day}{f', beside other work (load {self.load:.1f})' if busy else ''}"

    def row(self) -> str:
        return f"| {_cell(self.title)} | {_cell(self.headline)} | {_cell(self.verdict)} | {_cell(self.when)} |"


def read_result(kept: Mapping[str, Any]) -> Result:
    """Of what a stress test or the bench keeps. Raises ValueError for anything else."""
    if "report" in kept:
        report = kept["report"]
        checks = [(check["name"], check["verdict"], check["found"]) for check in report["checks"]]
        return _result(report["title"], report["headline"], report["machine"], checks)
    if "targets" in kept and "phases" in kept:
        verdicts = {True: "reached", False: "MISSED", None: "not measured"}
        targets = [(target["name"], verdicts[target["reached"]], target["found"]) for target in kept["targets"]]
        return _result("Bench", bench_headline(kept), kept["machine"], targets)
    raise ValueError("no report of a stress test or of the bench")


def bench_headline(kept: Mapping[str, Any]) -> str:
    """Its largest phase of people who think."""
    phase = max((phase for phase in kept["phases"] if phase["think_s"] >= 2 or len(kept["phases"]) == 1),
                key=lambda phase: phase["users"], default=kept["phases"][0])  # fmt: skip
    added = phase["added"]
    return (
        f"{phase['users']:,} people: {phase['product']['complete_percent']:g} % of turns complete, first token "
        f"{added['first_token_ms']['p95']:.0f} ms later (P95), each token {added['lag_ms']['p95']:.0f} ms"
    )


def _result(title: str, headline: str, machine: Mapping[str, Any], checks: Sequence[tuple[str, str, str]]) -> Result:
    memory = f", {machine['memory_gib']} GiB" if "memory_gib" in machine else ""
    load = machine.get("load_before")
    return Result(
        title=title,
        headline=headline.removesuffix("."),
        machine=f"{machine['processors']} processors ({machine['processor_name']}){memory}, Python {machine['python']}",
        commit=str(machine["commit"]),
        day=str(machine.get("date", "")).partition(" ")[0] or "day unknown",
        load=load[0] if load else None,
        checks=checks,
    )


def table(results: Iterable[Result]) -> str:
    """A table for each machine."""
    ordered = sorted(results, key=lambda result: result.machine)  # stable: rows stay as they were given
    blocks = []
    for machine, of_it in itertools.groupby(ordered, key=lambda result: result.machine):
        blocks.append("\n".join([f"On {machine}:", "", HEAD, *(result.row() for result in of_it)]))
    return "\n\n".join(blocks)


def written_into(document: str, content: str) -> str:
    """``document`` with ``content`` between the markers. Raises ValueError where these do not stand there once each."""
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise ValueError(f"it needs one line {BEGIN} and after it one line {END}")
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="results", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("document", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="JSON", help="what --json wrote")
    options = parser.parse_args(arguments)
    try:
        results = [_read(path) for path in options.runs]
        document = written_into(options.document.read_text(), table(results))
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
