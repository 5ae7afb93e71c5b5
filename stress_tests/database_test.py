"""The database under a turn's statements, history pages, searches by vector, and the row versions they leave behind.

``python -m stress_tests.database_test [--sizes 10000,100000] [--threads 8]``. What is judged and how stands in
docs/stress.md. Everything runs on a PostgreSQL of its own, in a temporary directory.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .bench_database import own_database
from .bench_stack import StackError
from .reporting import (
    Check,
    Plot,
    Report,
    Series,
    Table,
    at_most,
    between,
    command_parser,
    describe_machine,
    exactly,
    parameters_of,
    run_command,
)
from .reporting.command import Found, Options

MOST_TIMES_PAGES, MOST_MORE_PAGES = 2.0, 20
LEAST_RECALL, MOST_VECTOR_MS = 0.95, 50.0
MIB = 2**20


def judged(found: Mapping[str, Any]) -> list[Check]:
    """What is wanted of the database against what was found."""
    load, vectors, vacuum = found["load"], found["vectors"], found["vacuum"]
    smallest, largest = found["sizes"][0], found["sizes"][-1]
    whole = {
        name: ", ".join(of["whole"])
        for each in (*found["sizes"], *filter(None, [found.get("partitioned")]))
        for name, of in each["operations"].items() if of["whole"]
    }  # fmt: skip
    grown = {
        name: f"{before['pages']:,} to {after['pages']:,}"
        for name, before in smallest["operations"].items()
        if (after := largest["operations"][name])["pages"] > MOST_TIMES_PAGES * before["pages"] + MOST_MORE_PAGES
    }
    left = sum(table["dead_after"] for table in vacuum.values())
    return [
        _none("large tables that a statement reads whole", whole),
        _none(f"statements that touch more pages at {largest['messages']:,} messages", grown,
              passed=None if len(found["sizes"]) < 2 else not grown),
        exactly("turns that failed under load", load["failed"], 0),
        exactly("deadlocks", load["deadlocks"], 0),
        exactly("replies under way at VACUUM", found["under_way"], load["threads"]),
        exactly("dead row versions after VACUUM", left, 0),
        _none("search by vector reads whole", dict.fromkeys(vectors["whole"], "yes")),
        at_most("search by vector, P95", vectors["ms"]["p95"], MOST_VECTOR_MS, "ms"),
        Check("its recall of the ten nearest", f"≥ {LEAST_RECALL:.0%}", f"{vectors['recall_at_10']:.1%}",
              vectors["recall_at_10"] >= LEAST_RECALL),
    ]  # fmt: skip


def _none(name: str, wrong: Mapping[str, str], *, passed: bool | None = True) -> Check:
    told = "; ".join(f"{what}: {how}" for what, how in wrong.items())
    return Check(name, "none", told or "none", passed if not wrong else False)


def report_of(found: Mapping[str, Any], options: Options, machine: Mapping[str, Any]) -> Report:
    sizes, load, vectors = found["sizes"], found["load"], found["vectors"]
    largest = sizes[-1]
    turn = sum(largest["operations"][name]["ms"] for name in OF_A_TURN)
    return Report(
        name="database_test",
        title="Database",
        headline=f"With {largest['messages']:,} messages the statements of a turn execute in {turn:.1f} ms (warm, best "
        "of at least five; without planning, commit and round trips); "
        f"{load['threads']} connections make {load['per_s']:g} turns a second.",
        machine=machine,
        parameters=parameters_of(options),
        checks=judged(found),
        tables=[
            Table(
                "Statements, explained", ("operation", *(head for size in sizes for head in _heads(size))),
                [_operation_row(name, sizes) for name in largest["operations"]],
                EXPLAINED_NOTE,
            ),
            *_tables_of_partitions(found),
            Table("Under load", ("step", "P50 ms", "P95 ms", "P99 ms", "max ms"), [
                (name, of["p50"], of["p95"], of["p99"], of["max"]) for name, of in load["times"].items()
            ], f"{load['threads']} connections at once, {load['turns']:,} turns; "
               f"{'; '.join(load['errors']) or 'no error'}."),
            Table("Row versions", VERSIONS_HEAD, [
                (name, of["updated"], f"{of['heap_only'] / max(1, of['updated']):.0%}", of["dead"], of["dead_after"],
                 of["vacuum_s"], of["bytes"] / MIB)
                for name, of in found["vacuum"].items()
            ], f"VACUUM beside {load['threads']} open connections, with {found['under_way']} replies under way."),
            Table("Search by vector", ("phrasings", "searches", "P50 ms", "P95 ms", "pages", "recall of ten"), [
                (f"{vectors['phrasings']:,}", vectors["searches"], vectors["ms"]["p50"], vectors["ms"]["p95"],
                 vectors["pages"], f"{vectors['recall_at_10']:.1%}")
            ]),
        ],
        plots=[
            Plot("Pages that an operation touches", "messages", "pages", [
                Series(name, [(size["messages"], size["operations"][name]["pages"]) for size in sizes])
                for name in PLOTTED
            ]),
        ],
    )  # fmt: skip


VERSIONS_HEAD = ("table", "updated", "touching no index", "dead", "dead after VACUUM", "VACUUM s", "MiB")
EXPLAINED_NOTE = (
    "Number of statements, milliseconds to execute and to plan them in the quickest of at least five warm runs, and "
    "8 KiB pages touched. Commits, their way to the disk and round trips come on top. What the product prepares it "
    "plans once for each connection."
)
OF_A_TURN = ("ask, in a long conversation", "claim", "read the branch, long", "checkpoint", "end")
PLOTTED = (*OF_A_TURN, "history, newest page")


def _tables_of_partitions(found: Mapping[str, Any]) -> Iterator[Table]:
    if partitioned := found.get("partitioned"):
        before, after = found["sizes"][-1]["operations"], partitioned["operations"]
        yield Table(
            f"Messages in {partitioned['partitions']} partitions",
            ("operation", "ms", "of one table", "planning ms", "of one table", "pages", "of one table"),
            [
                (name, *(each[what] for what in ("ms", "planning_ms", "pages") for each in (after[name], before[name])))
                for name in after
            ],
            "Statements as above, then once more with messages partitioned. Load and row versions are of those.",
        )


def _heads(size: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return f"statements, {size['messages']:,}", "ms", "planning ms", "pages"


def _operation_row(name: str, sizes: Sequence[Mapping[str, Any]]) -> tuple[str | int | float, ...]:
    return name, *(
        cell
        for size in sizes
        for cell in (
            size["operations"][name]["statements"],
            size["operations"][name]["ms"],
            size["operations"][name]["planning_ms"],
            size["operations"][name]["pages"],
        )
    )


def run(options: Options) -> Found:
    """Raises StackError."""
    machine = describe_machine()
    wanted = {
        "sizes": options.sizes, "threads": options.threads, "seconds": options.seconds, "faqs": options.faqs,
        "partitioned": options.partitioned,
    }  # fmt: skip
    try:
        with own_database("stress", RATE_LIMIT_ASKS="off") as python:
            found = json.loads(python("-m", "stress_tests.database_work", stdin=json.dumps(wanted)))
    except subprocess.CalledProcessError as error:
        raise StackError(f"it ended with {error.returncode}") from error
    return report_of(found, options, machine), found


def sizes(word: str) -> list[int]:
    """An argument's type: numbers of messages in rising order, with commas."""
    found = [between(10_000, 10_000_000)(each) for each in word.split(",")]
    if found != sorted(set(found)):
        raise argparse.ArgumentTypeError("sizes have to rise")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("database_test", __doc__)
    parser.add_argument("--sizes", type=sizes, default=sizes("10000,100000"), help="messages in it, with commas")
    parser.add_argument("--threads", type=between(1, 8), default=8, help="connections that ask and answer at once")
    parser.add_argument("--seconds", type=between(0.5, 600, float), default=10, help="of that")
    parser.add_argument("--partitioned", action="store_true", help="messages are partitioned before people ask at once")
    parser.add_argument("--faqs", type=between(50, 9600), default=2000, help="of five phrasings each")
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
