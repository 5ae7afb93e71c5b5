"""Which share of each app's lines and branches the tests run, from ``coverage json`` on standard input.

    coverage json -q -o - | python -m stress_tests.coverage_by_app --least 90

Prints a table and ends with 1 where lines or branches in total fall below ``--least`` per cent. ``coverage report
--fail-under`` would not do: it adds lines and branches up, so that many lines make up for untried branches.
"""

import argparse
import json
import sys
from collections import defaultdict
from typing import Any

COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def by_app(files: dict[str, Any]) -> dict[str, dict[str, int]]:
    """The counts of coverage's report added up by each file's first directory, and of all under ``in total``."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for path, file in files.items():
        for name in (path.partition("/")[0], "in total"):
            for count in COUNTS:
                counts[name][count] += file["summary"].get(count, 0)
    return dict(sorted(counts.items(), key=lambda item: (item[0] == "in total", item[0])))


def percent(covered: int, of: int) -> float:
    return 100.0 * covered / of if of else 100.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--least", type=float, default=0.0, metavar="PERCENT")
    least = parser.parse_args(arguments).least
    print(f"{'':18} {'lines':>8} {'covered':>9} {'branches':>9} {'covered':>9}")
    lines = branches = 0.0
    for name, count in by_app(json.load(sys.stdin)["files"]).items():
        lines = percent(count["covered_lines"], count["num_statements"])
        branches = percent(count["covered_branches"], count["num_branches"])
        print(f"{name:18} {count['num_statements']:8} {lines:7.1f} % {count['num_branches']:9} {branches:7.1f} %")
    if min(lines, branches) < least:
        print(f"Below {least:g} % in total.")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
