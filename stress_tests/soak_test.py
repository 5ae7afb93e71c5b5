"""Nothing grows but what people wrote: memory, descriptors, threads and connections of every process, for as long as
people ask at a steady rate.

``python -m stress_tests.soak_test [--minutes 60] [--warm-up 10] [--users 200]``. What is judged and how stands in
docs/chaos.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import uvloop

from . import bench_stack
from .chaos.checker import check
from .chaos.client import Client, Habits, Witness
from .chaos.people import make_clients, told
from .chaos.reports import soak_report
from .chaos.samples import Sample, take_sample
from .chaos.slope import HOUR, count_verdict, slope, verdict
from .chaos.stack import PERSONA, ChaosStack, StackError, model_script
from .reporting import Report, between, command_parser, describe_machine, run_command, say

RSS_SHARE_PER_HOUR = 0.01
SETTLE_SECONDS = 120.0
JUDGED = ("web", "worker")
#: Of the messages that so many people ask in the time, where nothing keeps them.
WANTED_SHARE = 0.8
ANSWER_SECONDS = 1.0  # beside its words, for which they wait as well


@dataclass(frozen=True)
class Soaked:
    """What a run leaves: samples from the end of the warm-up on, when each message was accepted (``time.monotonic``, of
    the whole run), how replies ended, violations by kind, and clients that still waited in the end."""

    samples: Sequence[Sample]
    accepted: Sequence[float]
    counts: Mapping[str, int]
    violations: Mapping[str, int]
    unsettled: Sequence[str]


async def soak(options: argparse.Namespace) -> Soaked:
    """Raises StackError."""
    script = model_script(options.token_ms)
    async with ChaosStack(web=2, workers=2, users=options.users, script=script, bounds={}) as stack:
        witness = Witness()
        habits = Habits(persona=PERSONA, words=options.words, think=options.think, stops=0.02)
        clients = make_clients(stack, witness, habits, seed=1)
        samples = await _live(stack, clients, options)
        unsettled = [client.name for client in clients if not client.is_idle]
        found = check(await told(stack, clients))
    return Soaked(samples, witness.accepted, dict(found.counts), dict(found.of_kind), unsettled)


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
            for life in lives:
                if life.done():
                    life.result()  # raises what broke it
            await asyncio.sleep(options.every)
        stop.set()
        say(f"{len(samples)} samples; waiting for what is open")
        await asyncio.wait(lives, timeout=SETTLE_SECONDS)
    finally:
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
    return samples


def figures_of(found: Soaked, *, users: int, think: float, words: int, token_ms: float) -> dict[str, Any]:
    """Everything that is told of a run, the samples among it; messages are those of the time that was measured. Raises
    ValueError for too few samples."""
    figures = judged(found.samples)
    start, end = found.samples[0]["at"], found.samples[-1]["at"]
    turn_seconds = think + words * token_ms / 1000 + ANSWER_SECONDS
    return figures | {
        "users": users,
        "messages": sum(start <= at <= end for at in found.accepted),
        "expected": int(WANTED_SHARE * users * (end - start) / turn_seconds),
        "counts": dict(found.counts),
        "violations": dict(found.violations),
        "unsettled": list(found.unsettled),
        "per_message": _per_message(found.samples, len(found.accepted)),
        **asdict(found),
    }


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
    return {"hours": hours, "series": series}


def _per_message(samples: Sequence[Sample], messages: int) -> dict[str, float]:
    """Bytes that a message leaves behind in tables and logs, as the last sample has them."""
    sizes = {name: size for name, size in samples[-1].items() if name.startswith(("table/", "log/"))}
    return {name: round(size / max(1, messages), 1) for name, size in sizes.items()}


def measured(options: argparse.Namespace) -> tuple[Report, dict[str, Any]]:
    """The run, or the judgement of one whose figures were kept. Raises StackError or ValueError."""
    machine = describe_machine()
    if options.judge is not None:
        found, parameters, machine = read_kept(options.judge)
        vars(options).update(parameters, judge=None)  # what is kept of it is that run's
    else:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(soak(options))
        except StackError as error:
            raise bench_stack.StackError(str(error)) from error
    figures = figures_of(
        found, users=options.users, think=options.think, words=options.words, token_ms=options.token_ms
    )
    return soak_report(figures, found.samples, options, machine), figures


def read_kept(path: Path) -> tuple[Soaked, Mapping[str, Any], dict[str, Any]]:
    """A run that ``--json`` kept, its parameters and its machine. Raises ValueError where there is none."""
    try:
        kept = json.loads(path.read_text())
        found = Soaked(**{field.name: kept[field.name] for field in fields(Soaked)})
        return found, kept["report"]["parameters"], kept["report"]["machine"]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no soak that can be judged again: {error!r}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, as of all stress tests."""
    parser = command_parser("soak_test", __doc__)
    parser.add_argument("--minutes", type=between(0.5, 24 * 60, float), default=60, help="measured, after the warm-up")
    parser.add_argument("--warm-up", type=between(0, 24 * 60, float), default=10, metavar="MINUTES")
    parser.add_argument("--users", type=between(1, 2000), default=200)
    parser.add_argument("--think", type=between(0, 3600, float), default=20, metavar="SECONDS")
    parser.add_argument("--words", type=between(1, 2000), default=30)
    parser.add_argument("--token-ms", type=between(0, 1000, float), default=20)
    parser.add_argument("--every", type=between(1, 600, float), default=10, metavar="SECONDS", help="between samples")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="run nothing: judge what --json kept of a run")
    return run_command(parser, measured, arguments)


if __name__ == "__main__":
    sys.exit(main())
