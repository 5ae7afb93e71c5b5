"""Faults by a seed while people ask: nothing accepted may be lost, doubled, or shown as whole where it was cut.

``python -m stress_tests.chaos_test [--seed 1] [--faults 20] [--messages 500] [--users 16]``. What it does, and what the
figures mean, stands in docs/chaos.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from .chaos.checker import Verdict, check
from .chaos.client import Client, Habits, Witness
from .chaos.faults import suffered
from .chaos.people import make_clients, told
from .chaos.recoveries import KIND_HEAD, RECOVERY_SECONDS, Recovery, held_up_for, kind_rows, recovery_figures
from .chaos.reports import chaos_report
from .chaos.schedule import KINDS, Fault, schedule
from .chaos.stack import BOUNDS, PERSONA, ChaosStack, StackError, model_script
from .reporting import Table, between, command_parser, describe_machine, keep, say, table_text

SETTLE_SECONDS = 120.0  # in the end, for all that is open
WARM_UP, WARM_UP_SECONDS = 20, 120.0  # replies, before the first fault
SOON_SECONDS = 0.5  # so soon after a fault its consequences show: a connection that is dead is noticed when it is used
LOOK_SECONDS = 0.02
LONGEST_SECONDS = 2 * 3600.0  # that a run may take for the messages that are wanted
TARGET_P95_SECONDS = 1.0
SHOWN_VIOLATIONS = 20


class Run:
    """One run: clients that ask all the time, and beside them one fault after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._witness = Witness()
        self._recoveries: list[Recovery] = []
        self._unsettled: list[str] = []

    async def run(self) -> tuple[dict[str, Any], Verdict]:
        """Figures and verdict. Raises StackError."""
        options, began = self._options, time.monotonic()
        script = model_script(options.token_ms)
        async with ChaosStack(
            web=options.web, workers=options.workers, users=options.users, script=script, bounds=BOUNDS
        ) as stack:
            habits = Habits(persona=PERSONA, words=options.words, think=options.think)
            clients = make_clients(stack, self._witness, habits, options.seed)
            await self._live_through(stack, clients)
            verdict = check(await told(stack, clients))
            if options.keep is not None and verdict.violations:
                shutil.copytree(stack.directory, options.keep, ignore=_not_the_database, dirs_exist_ok=True)
        return self._figures(verdict, time.monotonic() - began), verdict

    async def _live_through(self, stack: ChaosStack, clients: Sequence[Client]) -> None:
        stop = asyncio.Event()
        lives = [asyncio.create_task(client.run(stop)) for client in clients]
        try:
            await self._until(lambda: len(self._witness.completed) >= WARM_UP, WARM_UP_SECONDS)
            for fault in schedule(self._options.seed, self._options.faults, self._options.parts):
                await self._suffer(stack, clients, fault)
                _raise_what_broke(lives)
            wanted = self._options.messages
            await self._until(lambda: len(self._witness.accepted) >= wanted, LONGEST_SECONDS)
            _raise_what_broke(lives)
            stop.set()
            say(f"{len(self._witness.accepted)} accepted; waiting for what is open")
            await asyncio.wait(lives, timeout=SETTLE_SECONDS)
            self._unsettled = [c.name for c, life in zip(clients, lives, strict=True) if not life.done()]
            _raise_what_broke(lives)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Raises StackError where it does not come within ``seconds``."""
        try:
            await asyncio.wait_for(self._witness.until(condition), seconds)
        except TimeoutError:
            witness = self._witness
            counts = f"{len(witness.accepted)} accepted and {len(witness.completed)} completed"
            raise StackError(f"After {seconds:g} s there are only {counts}.") from None

    async def _suffer(self, stack: ChaosStack, clients: Sequence[Client], fault: Fault) -> None:
        """One fault, how long it takes until a reply is completed after the part is back, and for how long each client
        is held up from then on."""
        await asyncio.sleep(fault.pause)
        say(f"{fault} ({len(self._witness.accepted)} accepted)")
        began = time.monotonic()
        async with suffered(stack, fault):
            if not fault.is_momentary:
                await asyncio.sleep(fault.seconds)
        over = time.monotonic()
        back = began if fault.leaves_part_up else over
        now = await self._all_go_on(clients, over)
        completed = next((at - back for at in self._witness.completed if at > back), None)
        times = [held_up_for(client.waits, back, until=over + SOON_SECONDS, now=now) for client in clients]
        held_up = [seconds for seconds in times if seconds is not None]
        self._recoveries.append(Recovery(str(fault), fault.part, fault.kind, completed, held_up))
        stack.check()

    async def _all_go_on(self, clients: Sequence[Client], over: float) -> float:
        """Until nobody is held up and a reply has been completed, but no longer than RECOVERY_SECONDS. Returns when it
        looked last."""
        completed = self._witness.completed
        await asyncio.sleep(SOON_SECONDS)
        while (now := time.monotonic()) < over + RECOVERY_SECONDS:
            if completed[-1] > over and not any(client.waits.held_up_at(now) for client in clients):
                break
            await asyncio.sleep(LOOK_SECONDS)
        return now

    def _figures(self, verdict: Verdict, seconds: float) -> dict[str, Any]:
        options = self._options
        return {
            "seed": options.seed,
            "users": options.users,
            "web": options.web,
            "workers": options.workers,
            "seconds": round(seconds),
            "faults": len(self._recoveries),
            "counts": dict(verdict.counts),
            "violations": dict(verdict.of_kind),
            "unsettled": self._unsettled,
            **recovery_figures(self._recoveries),
        }


def _raise_what_broke(lives: Sequence[asyncio.Task[None]]) -> None:
    for life in lives:
        if life.done():
            life.result()


def _not_the_database(_directory: str, names: list[str]) -> set[str]:
    return {"postgres", "redis", "run", "static"} & set(names)


def text(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    counts = figures["counts"]
    rows = [
        ("seed", figures["seed"]),
        ("faults", figures["faults"]),
        ("accepted", counts.get("accepted", 0)),
        ("stored", counts.get("stored", 0)),
        ("sent again", counts.get("sent again", 0)),
        *((name, counts.get(name, 0)) for name in ("completed", "stopped", "interrupted", "failed")),
        ("violations", sum(figures["violations"].values())),
        *((f"  {kind}", number) for kind, number in figures["violations"].items()),
        ("next reply", f"{_spread(figures['recovery_s'])} (P95 wanted: {TARGET_P95_SECONDS:g} s)"),
        ("held up", f"{figures['held_up_s']['clients']} times a client, for {_spread(figures['held_up_s'])}"),
        ("took", f"{figures['seconds']} s"),
    ]
    slow = sorted(figures["recoveries"], key=lambda each: -(each["seconds"] or RECOVERY_SECONDS))[:5]
    lines = [f"{name:<14} {value}" for name, value in rows]
    lines += ["slowest to recover:", *(f"  {each['fault']}: {each['seconds']}" for each in slow), ""]
    kinds = Table("Recovery by kind of fault, s", KIND_HEAD, kind_rows(figures["recovery_by_kind"]))
    return "\n".join(lines) + table_text(kinds)


def _spread(figures: Mapping[str, float]) -> str:
    return " / ".join(f"{figures[name]:.2f}" for name in ("p50", "p95", "max")) + " s"


def _parts(words: str) -> list[str]:
    parts = words.split(",")
    if unknown := sorted(set(parts) - set(KINDS)):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return parts


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("chaos_test", __doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=between(1, 2000), default=20)
    parser.add_argument("--messages", type=between(1, 200_000), default=500, help="accepted ones, at least")
    parser.add_argument("--users", type=between(1, 500), default=16)
    parser.add_argument("--web", type=between(1, 8), default=2, help="web processes")
    parser.add_argument("--workers", type=between(1, 8), default=2, help="reply workers")
    parser.add_argument("--words", type=between(1, 2000), default=30, help="in a question, and so in its reply")
    parser.add_argument(
        "--think", type=between(0, 600, float), default=0.5, metavar="SECONDS", help="between a reply and a question"
    )
    parser.add_argument("--token-ms", type=between(0, 1000, float), default=20)
    parser.add_argument("--parts", type=_parts, default=list(KINDS), help=",".join(KINDS))
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="copy histories and logs there after a violation"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 where all holds and recovery is as quick as is wanted, 1 where not, 2 where it could not run."""
    options, machine = _parser().parse_args(arguments), describe_machine()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
            figures, verdict = runner.run(Run(options).run())
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    for violation in verdict.violations[:SHOWN_VIOLATIONS]:
        print(f"seed {options.seed}: {violation}\n", file=sys.stderr)
    print(text(figures))
    keep(chaos_report(figures, options, TARGET_P95_SECONDS, machine), figures, options)
    whole = not verdict.violations and not figures["unsettled"]
    slowest = max(figures["recovery_s"]["p95"], figures["held_up_s"]["p95"])
    return 0 if whole and slowest <= TARGET_P95_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
