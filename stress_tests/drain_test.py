"""Every process is told to end (SIGTERM) and started again, one after the other, while people read streaming replies.

``python -m stress_tests.drain_test [--tabs 60] [--rounds 1] [--web 2] [--workers 2]``. What is wanted stands in
docs/chaos.md: every process ends by itself within 30 s, every tab is closed with a code that tells why and goes on
elsewhere, and no reply is lost, doubled or cut. Everything runs on this machine, in a temporary directory, on loopback.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from .bench_stack import StackError
from .bench_turns import percentile
from .chaos import stack as chaos
from .chaos.checker import Verdict, check
from .chaos.client import Client, Habits, Witness
from .chaos.history import Line
from .chaos.people import make_clients, told
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
    say,
)
from .reporting.machine import Machine

LIMIT_SECONDS = 30.0
#: How long one that does not end is waited for, to tell by how much.
PATIENCE_SECONDS = 60.0
STREAM_SECONDS = 120.0  # until enough tabs see a reply being written
SETTLE_SECONDS = 180.0
#: The client's own, when it leaves as it was asked to, and the server's "come back".
CODED = (1000, 1012)
LOST = ("lost", "unanswered", "stuck", "replies")


@dataclass(frozen=True)
class Restart:
    """One process that was told to end. ``streaming`` tabs saw a reply being written then."""

    process: str
    streaming: int
    seconds: float
    exit_code: int | None


@dataclass(frozen=True)
class Drained:
    """What a run has shown. ``closes`` counts by code, but for connections that kept silent until their tab gave up
    (``silent``); ``gaps`` are the seconds that a tab was without one."""

    restarts: Sequence[Restart]
    verdict: Verdict
    closes: Mapping[int, int]
    silent: int
    gaps: Sequence[float]
    unsettled: Sequence[str]

    def violations(self, kinds: Iterable[str]) -> int:
        return sum(self.verdict.of_kind[kind] for kind in kinds)

    @property
    def lost(self) -> int:
        return self.violations(LOST) + len(self.unsettled)

    @property
    def cut(self) -> int:
        """With those that ended short of their end and say so: nobody stopped any."""
        return self.violations(["cut"]) + sum(self.verdict.counts[how] for how in ("interrupted", "failed", "stopped"))

    @property
    def others(self) -> int:
        return len(self.verdict.violations) - self.violations([*LOST, "doubled", "cut"])

    @property
    def uncoded(self) -> int:
        return sum(number for code, number in self.closes.items() if code not in CODED)


def read_closes(histories: Iterable[Sequence[Line]]) -> tuple[Counter[int], int]:
    """The codes that connections were closed with, of which 1006 and 0 are none; and how many were given up."""
    codes: Counter[int] = Counter()
    silent = 0
    for lines in histories:
        was = ""
        for line in lines:
            if line["what"] == "closed" and was == "gave_up":
                silent += 1
            elif line["what"] == "closed":
                codes[line["code"]] += 1
            was = line["what"]
    return codes, silent


def read_gaps(histories: Iterable[Sequence[Line]]) -> list[float]:
    """From each close to the next connection of the same tab, shortest first."""
    found = []
    for lines in histories:
        closed_at: float | None = None
        for line in lines:
            if line["what"] == "closed":
                closed_at = line["at"]
            elif line["what"] == "opened" and closed_at is not None:
                found.append(line["at"] - closed_at)
                closed_at = None
    return sorted(found)


async def told_to_end(child: chaos.Child) -> tuple[float, int | None]:
    """The seconds from SIGTERM until it has ended, and its exit code; killed after PATIENCE_SECONDS."""
    at = time.monotonic()
    child.signal(signal.SIGTERM)
    await child.ended(PATIENCE_SECONDS)
    return time.monotonic() - at, child.exit_code


class Run:
    """People who read, and processes that are restarted meanwhile."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._restarts: list[Restart] = []

    async def run(self) -> Drained:
        """Raises StackError."""
        options = self._options
        script = chaos.model_script(options.token_ms)
        # Of the product's own time limits none is changed.
        stack = chaos.ChaosStack(
            web=options.web, workers=options.workers, users=options.tabs, script=script, bounds={}
        )  # fmt: skip
        async with stack:
            habits = Habits(
                persona=chaos.PERSONA, words=options.words, think=0.2, stops=0, stays=options.stays / 100, patience=20
            )  # fmt: skip
            clients = make_clients(stack, Witness(), habits, options.seed)
            unsettled = await self._live_through(stack, clients)
            found = await told(stack, clients)
        histories = list(found.histories.values())
        closes, silent = read_closes(histories)
        return Drained(self._restarts, check(found), closes, silent, read_gaps(histories), unsettled)

    async def _live_through(self, stack: chaos.ChaosStack, clients: Sequence[Client]) -> list[str]:
        """The names of those who still wait for a reply in the end."""
        stop = asyncio.Event()
        lives = [asyncio.create_task(client.run(stop)) for client in clients]
        try:
            for _round in range(self._options.rounds):
                for child in stack.children:
                    await self._restart(stack, child, clients)
                    for life in lives:
                        if life.done():
                            life.result()  # raises what broke it
            stop.set()
            say("all were restarted; waiting for what is open")
            await asyncio.wait(lives, timeout=SETTLE_SECONDS)
            return [client.name for client, life in zip(clients, lives, strict=True) if not life.done()]
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)

    async def _restart(self, stack: chaos.ChaosStack, child: chaos.Child, clients: Sequence[Client]) -> None:
        """As a deploy does: the next one is told only once this one is back."""

        def streaming() -> int:
            return sum(client.is_streaming for client in clients)

        deadline = time.monotonic() + STREAM_SECONDS
        while (before := streaming()) < len(clients) / 2 and time.monotonic() < deadline:  # noqa: ASYNC110  many clients
            await asyncio.sleep(0.1)
        seconds, code = await told_to_end(child)
        self._restarts.append(Restart(child.name, before, seconds, code))
        say(f"{child.name} was told to end while {before} replies streamed, and did after {seconds:.1f} s")
        child.start()
        await stack.until_ready(child)
        stack.check()


def drain_report(found: Drained, options: argparse.Namespace, machine: Machine) -> Report:
    longest = max(restart.seconds for restart in found.restarts)
    fewest = min(restart.streaming for restart in found.restarts)
    counts = found.verdict.counts
    return Report(
        name="drain_test",
        title="Drain",
        headline=(
            f"{len(found.restarts)} processes told to end under {options.tabs} tabs: {counts['completed']:,} of "
            f"{counts['accepted']:,} replies whole, the slowest to end took {longest:.1f} s."
        ),
        machine=machine,
        parameters=parameters_of(options),
        checks=[
            at_most("the slowest to end", longest, LIMIT_SECONDS, "s"),
            exactly("processes that ended otherwise than by themselves", _badly_ended(found.restarts), 0),
            exactly("replies lost", found.lost, 0),
            exactly("replies doubled", found.violations(["doubled"]), 0),
            exactly("replies cut", found.cut, 0),
            exactly("replies mixed up or shown otherwise than stored", found.others, 0),
            exactly("connections closed without a code", found.uncoded, 0),
            # A drain that kept them waiting, or a machine that did: which of both cannot be told.
            Check("connections silent for two seconds", "0", str(found.silent), None if found.silent else True),
            Check(
                "tabs that saw a reply being written, at each restart",
                f"≥ {options.tabs / 2:g}", str(fewest), True if fewest >= options.tabs / 2 else None,
            ),
        ],
        tables=[
            Table(
                "Restarts",
                ("process", "streaming", "seconds to end", "exit code"),
                [(each.process, each.streaming, each.seconds, each.exit_code) for each in found.restarts],
            ),
            Table("Close codes", ("code", "connections"), [(str(code), n) for code, n in sorted(found.closes.items())]),
            Table(
                "Without a connection",
                ("share of closes", "seconds"),
                [(name, percentile(found.gaps, at)) for name, at in (("half", 0.5), ("95 %", 0.95), ("all", 1.0))]
                if found.gaps else [],
            ),
            Table("Counts", ("what", "number"), [*counts.items(), *found.verdict.of_kind.items()]),
        ],
        plots=[
            Plot("Seconds to end", "restart", "seconds", [
                Series("seconds", [(float(n), each.seconds) for n, each in enumerate(found.restarts, 1)])
            ])
        ],
    )  # fmt: skip


def _badly_ended(restarts: Iterable[Restart]) -> int:
    return sum(restart.exit_code != 0 for restart in restarts)


def measure(options: argparse.Namespace) -> tuple[Report, dict[str, Any]]:
    """Raises StackError."""
    machine = describe_machine()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(Run(options).run())
    except chaos.StackError as error:
        raise StackError(str(error)) from error
    for violation in found.verdict.violations[:10]:
        print(f"{violation}\n", file=sys.stderr)
    figures = {
        "restarts": [asdict(restart) for restart in found.restarts],
        "closes": dict(found.closes),
        "silent": found.silent,
        "gaps_s": [round(gap, 3) for gap in found.gaps],
        "counts": dict(found.verdict.counts),
        "violations": dict(found.verdict.of_kind),
        "unsettled": list(found.unsettled),
    }
    return drain_report(found, options, machine), figures


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 where something was lost, doubled, cut or closed without a code, or a process took too long."""
    parser = command_parser("drain_test", __doc__)
    parser.add_argument("--tabs", type=between(2, 1000), default=60, help="people who read (%(default)s)")
    parser.add_argument("--rounds", type=between(1, 50), default=1, help="restarts of each process (%(default)s)")
    parser.add_argument("--web", type=between(2, 8), default=2, help="web processes (%(default)s)")
    parser.add_argument("--workers", type=between(1, 8), default=2, help="reply workers (%(default)s)")
    parser.add_argument("--words", type=between(10, 1000), default=150, help="in a reply, about (%(default)s)")
    parser.add_argument("--token-ms", type=between(1, 1000, float), default=50, help="between two (%(default)s)")
    parser.add_argument(
        "--stays", type=between(0, 100), default=20, metavar="PERCENT",
        help="of tabs do not leave when they are told, until they are closed (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    return run_command(parser, measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
