"""Nothing grows but what people wrote: memory, descriptors, threads and connections of every process, for as long as
people ask at a steady rate.

``python -m stress_tests.soak_test [--minutes 60] [--warm-up 10] [--users 200]``. What is judged and how stands in
docs/chaos.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from .chaos.checker import check
from .chaos.client import Client, Habits, Witness
from .chaos.people import make_clients, told
from .chaos.reports import soak_report
from .chaos.samples import Sample, take_sample
from .chaos.slope import HOUR, count_verdict, slope, verdict
from .chaos.stack import PERSONA, ChaosStack, StackError, model_script
from .reporting import command_parser, describe_machine, keep, say

RSS_SHARE_PER_HOUR = 0.01
SETTLE_SECONDS = 120.0
MIB = 1024 * 1024
JUDGED = ("web", "worker")


async def soak(options: argparse.Namespace) -> tuple[dict[str, Any], list[Sample]]:
    """Figures and verdicts, and the samples that they are of. Raises StackError."""
    script = model_script(options.token_ms)
    async with ChaosStack(web=2, workers=2, users=options.users, script=script, bounds={}) as stack:
        witness = Witness()
        habits = Habits(persona=PERSONA, words=options.words, think=options.think, stops=0.02)
        clients = make_clients(stack, witness, habits, seed=1)
        samples = await _live(stack, clients, options)
        found = check(await told(stack, clients))
    figures = judged(samples)
    figures["messages"] = found.counts["accepted"]
    figures["violations"] = dict(found.of_kind)
    figures["per_message"] = _per_message(samples, found.counts["accepted"])
    return figures, samples


async def _live(stack: ChaosStack, clients: list[Client], options: argparse.Namespace) -> list[Sample]:
    """Samples from the end of the warm-up on."""
    stop = asyncio.Event()
    lives = [asyncio.create_task(client.run(stop)) for client in clients]
    samples: list[Sample] = []
    try:
        say(f"{options.users} users; warming up for {options.warm_up:g} min")
        await asyncio.sleep(options.warm_up * 60)
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end:
            samples.append(await asyncio.to_thread(take_sample, stack))
            stack.check()
            await asyncio.sleep(options.every)
        stop.set()
        say(f"{len(samples)} samples; waiting for what is open")
        await asyncio.wait(lives, timeout=SETTLE_SECONDS)
    finally:
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
    return samples


def judged(samples: Sequence[Sample]) -> dict[str, Any]:
    """Each series with its slope, and a verdict where one is wanted of it: RSS of the product's processes by its share,
    descriptors, threads and connections by their number. Tables and logs grow with what is said, PostgreSQL's and
    Redis' memory up to their bounds: their slopes are told, not judged. Raises ValueError for too few samples."""
    times = [sample["at"] for sample in samples]
    hours = (times[-1] - times[0]) / HOUR if times else 0.0
    series = []
    for name in samples[0] if samples else ():
        if name == "at":
            continue
        what, _, of = name.partition("/")
        values = [sample.get(name, 0.0) for sample in samples]
        found = slope(times, values)
        said = ""
        if what == "rss" and of.startswith(JUDGED):
            said = verdict(found.share(), RSS_SHARE_PER_HOUR)
        elif what == "connections" or (what in ("fds", "threads") and of.startswith(JUDGED)):
            said = count_verdict(found, hours)
        shape = found.share() if what in ("rss", "memory") else found
        series.append(
            {
                "name": name, "first": values[0], "last": values[-1], "largest": max(values),
                "per_hour": shape.rate, "low": shape.low, "high": shape.high, "verdict": said,
            }
        )  # fmt: skip
    if not series:
        raise ValueError("no samples")
    return {"hours": hours, "samples": len(samples), "series": series}


def _per_message(samples: Sequence[Sample], messages: int) -> dict[str, float]:
    """Bytes that a message leaves behind in tables and logs, as the last sample has them."""
    sizes = {name: size for name, size in samples[-1].items() if name.startswith(("table/", "log/"))}
    return {name: round(size / max(1, messages), 1) for name, size in sizes.items()}


def exit_code(figures: dict[str, Any]) -> int:
    """0 where all holds, 1 where something grows or a message was not as it must be, 3 where the run was too short to
    tell."""
    said = {each["verdict"] for each in figures["series"]}
    if "grows" in said or figures.get("violations"):
        return 1
    return 3 if "unclear" in said else 0


def text(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = [f"{'':<38} {'first':>12} {'last':>12} {'per hour':>10}   95 % interval"]
    for each in figures["series"]:
        share = each["name"].startswith(("rss/", "memory/"))
        numbers = [each["per_hour"], each["low"], each["high"]]
        slope_of, low, high = (f"{n:+.2%}" if share else f"{n:+.4g}" for n in numbers)
        sized = each["name"].startswith(("rss/", "memory/", "table/", "log/"))
        first, last = (f"{n / MIB:.2f} MiB" if sized else f"{n:.0f}" for n in (each["first"], each["last"]))
        lines.append(
            f"{each['name']:<38} {first:>12} {last:>12} {slope_of:>10}   {low} to {high}  {each['verdict']}".rstrip()
        )
    lines.append(f"{figures['messages']} messages, {figures['hours']:.2f} h, {figures['samples']} samples")
    lines.append(f"violations: {figures['violations'] or 'none'}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """See ``exit_code``; 2 where it could not run."""
    parser = command_parser("soak_test", __doc__)
    parser.add_argument("--minutes", type=float, default=60, help="measured, after the warm-up")
    parser.add_argument("--warm-up", type=float, default=10, metavar="MINUTES")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--think", type=float, default=20, metavar="SECONDS")
    parser.add_argument("--words", type=int, default=30)
    parser.add_argument("--token-ms", type=float, default=20)
    parser.add_argument("--every", type=float, default=10, metavar="SECONDS", help="between two samples")
    options, machine = parser.parse_args(arguments), describe_machine()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures, samples = runner.run(soak(options))
    except (StackError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    print(text(figures))
    keep(soak_report(figures, samples, options, machine), figures, options)
    return exit_code(figures)


if __name__ == "__main__":
    sys.exit(main())
