"""Faults by a seed while people ask: nothing accepted may be lost, doubled, or shown as whole where it was cut.

``python -m stress_tests.chaos_test [--seed 1] [--faults 20] [--messages 500] [--users 16]``. What it does, and what the
figures mean, stands in docs/chaos.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from .chaos.checker import Verdict, check
from .chaos.client import Client, Habits, Witness
from .chaos.faults import suffered
from .chaos.people import make_clients, told
from .chaos.recoveries import KIND_HEAD, RECOVERY_SECONDS, Recovery, kind_rows, recovery_figures
from .chaos.reports import chaos_report
from .chaos.schedule import KINDS, Fault, schedule
from .chaos.stack import BOUNDS, PERSONA, ChaosStack, StackError, model_script
from .reporting import Table, command_parser, describe_machine, keep, say, table_text

SETTLE_SECONDS = 120.0  # in the end, for all that is open
WARM_UP = 20  # replies, before the first fault
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
            await asyncio.wait_for(self._witness.until(lambda: len(self._witness.completed) >= WARM_UP), 120)
            for fault in schedule(self._options.seed, self._options.faults, self._options.parts):
                await self._suffer(stack, fault)
                for life in lives:
                    if life.done():
                        life.result()  # raises what broke it
            wanted = self._options.messages
            await self._witness.until(lambda: len(self._witness.accepted) >= wanted)
            stop.set()
            say(f"{len(self._witness.accepted)} accepted; waiting for what is open")
            await asyncio.wait(lives, timeout=SETTLE_SECONDS)
            self._unsettled = [c.name for c, life in zip(clients, lives, strict=True) if not life.done()]
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)

    async def _suffer(self, stack: ChaosStack, fault: Fault) -> None:
        """One fault, and how long it takes until a reply is completed after the part is back."""
        await asyncio.sleep(fault.pause)
        say(f"{fault} ({len(self._witness.accepted)} accepted)")
        async with suffered(stack, fault):
            await asyncio.sleep(fault.seconds)
        witness = self._witness
        back, done, witness.spoken = time.monotonic(), len(witness.completed), None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(witness.until(lambda: len(witness.completed) > done), RECOVERY_SECONDS)
        whole = witness.completed[done] - back if len(witness.completed) > done else None
        words = whole if witness.spoken is None else witness.spoken - back
        self._recoveries.append(Recovery(str(fault), fault.part, fault.kind, words, whole))
        stack.check()

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
        ("recovery P50", f"{figures['recovery_s']['p50']:.2f} s"),
        ("recovery P95", f"{figures['recovery_s']['p95']:.2f} s (wanted: {TARGET_P95_SECONDS:g} s)"),
        ("recovery max", f"{figures['recovery_s']['max']:.2f} s"),
        ("first words", " / ".join(f"{figures['words_s'][name]:.2f}" for name in ("p50", "p95", "max")) + " s"),
        ("took", f"{figures['seconds']} s"),
    ]
    slow = sorted(figures["recoveries"], key=lambda each: -(each["seconds"] or RECOVERY_SECONDS))[:5]
    lines = [f"{name:<14} {value}" for name, value in rows]
    lines += ["slowest to recover:", *(f"  {each['fault']}: {each['seconds']}" for each in slow), ""]
    kinds = Table("Recovery by kind of fault, s", KIND_HEAD, kind_rows(figures["recovery_by_kind"]))
    return "\n".join(lines) + table_text(kinds)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("chaos_test", __doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--messages", type=int, default=500, help="accepted ones, at least")
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--web", type=int, default=2, help="web processes")
    parser.add_argument("--workers", type=int, default=2, help="reply workers")
    parser.add_argument("--words", type=int, default=30, help="in a question, and so in its reply")
    parser.add_argument("--think", type=float, default=0.5, metavar="SECONDS", help="between a reply and a question")
    parser.add_argument("--token-ms", type=float, default=20)
    parser.add_argument("--parts", type=lambda words: words.split(","), default=list(KINDS), help=",".join(KINDS))
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
    return 0 if whole and figures["recovery_s"]["p95"] <= TARGET_P95_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
