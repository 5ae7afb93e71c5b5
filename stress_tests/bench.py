"""``make bench``: what relaying a reply through Nono costs over talking to the model server directly.

``python -m stress_tests.bench [--sizes 10,100,500,1000] [--quick] [--json FILE]``. How it measures, and what the
figures mean, stands in docs/benchmarks.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import uvloop

from . import bench_report as report
from .bench_cpu import rss_bytes
from .bench_load import Person, Plan, Run, connect_chat, connect_direct, drive
from .bench_report import COST_USERS
from .bench_stack import Stack
from .bench_turns import direct_outcome, product_outcome
from .reporting import (
    Report,
    at_end,
    between,
    command_parser,
    describe_machine,
    parameters_of,
    run_command,
    say,
)
from .reporting.command import MISSED, REACHED, Found, Options

MIB = 1024 * 1024
SETTLE_SECONDS = 3.0
LEAVE_SECONDS = 0.5
SIZES, QUICK_SIZES = (10, 100, 500, 1000), (10, 50)
FEW_TOKENS, MANY_TOKENS = 6, 120
COST_ROUNDS = 2
BURST_ROUNDS = 3
BURST = {"users": 50, "turns": 1, "think_s": 0.0, "spread_s": 0.0, "tokens": 200, "first_ms": 0.0, "token_ms": 0.0}


class Bench:
    """All phases of one run, in the order in which they are measured."""

    def __init__(self, sizes: Sequence[int], *, quick: bool, web: int = 1, workers: int = 1) -> None:
        self.quick = quick
        self.processes = {"web": web, "workers": workers}
        turns, think, tokens = (2, 0.5, 30) if quick else (3, 10.0, 60)
        self.phases = [
            Plan(name=f"{size} users", users=size, turns=turns, think_s=think, tokens=tokens) for size in sizes
        ]
        hasty, hasty_think = (100, 0.2) if quick else (max(sizes), 1.0)
        name = f"{hasty} users, think {hasty_think:g} s"
        self.phases.append(Plan(name=name, users=hasty, turns=turns, think_s=hasty_think, tokens=tokens))
        self.memory = Plan(
            name="memory", users=20 if quick else 200, turns=1, spread_s=0.5, tokens=100, first_ms=200.0, token_ms=20.0
        )
        self.settle_s = 1.0 if quick else SETTLE_SECONDS
        self.idle_sockets = 100 if quick else 1000
        self.bursts = [Plan(name=f"burst {number}", **BURST) for number in range(1 if quick else BURST_ROUNDS)]  # type: ignore[arg-type]

    @property
    def cost_plans(self) -> tuple[Plan, Plan] | None:
        """Of few tokens and of many, whose turns follow each other at the pace of the phase at 500 users."""
        like = next((plan for plan in self.phases if plan.users == COST_USERS), None)
        if like is None and self.quick:
            like = max(self.phases[:-1], key=lambda plan: plan.users)
        if like is None:
            return None
        return _with_tokens(like, FEW_TOKENS), _with_tokens(like, min(MANY_TOKENS, like.tokens + _spare_tokens(like)))

    def plans(self) -> list[Plan]:
        """Every plan that goes through the product."""
        return [self.memory, *self.phases, *(self.cost_plans or ()), *self.bursts]

    def run(self) -> dict[str, Any]:
        """Start everything, measure, stop everything. Raises StackError."""
        began, described = time.monotonic(), describe_machine()
        plans = self.plans()
        users = max(self.idle_sockets, *(plan.users for plan in plans))
        personas = {plan.persona: f"bench/{plan.model}" for plan in plans}
        with Stack(
            users=users, personas=personas, web=self.processes["web"], workers=self.processes["workers"]
        ) as stack:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                result = runner.run(self._measure(stack))
            result["audit"] = stack.audit()
        took = {"pins": stack.pins, "seconds": round(time.monotonic() - began)}
        return result | {"machine": at_end(described) | self.processes | took}

    async def _measure(self, stack: Stack) -> dict[str, Any]:
        warm_up = Plan(name="warm-up", users=20, turns=2, think_s=0.5, tokens=self.phases[0].tokens)
        await product(stack, warm_up)
        result: dict[str, Any] = {"memory": await self._measure_memory(stack)}
        result["burst"] = {
            "product": report.burst_figures([await product(stack, plan) for plan in self.bursts], product_outcome),
            "direct": report.burst_figures([await direct(stack, plan) for plan in self.bursts], direct_outcome),
        }
        result["phases"] = [await self._measure_phase(stack, plan) for plan in self.phases]
        if self.cost_plans:
            result["cost_users"] = self.cost_plans[0].users
            result["cost_rounds"] = []
            for number in range(1 if self.quick else COST_ROUNDS):
                # Now the one first and now the other: what else the machine does changes meanwhile.
                order = self.cost_plans if number % 2 == 0 else self.cost_plans[::-1]
                found = [report.product_figures(await product(stack, plan)) for plan in order]
                result["cost_rounds"].append(report.CostRound(*(found if number % 2 == 0 else found[::-1])))
            with contextlib.suppress(ValueError):
                result["cost"] = report.cost_of_rounds(result["cost_rounds"])
        return result

    async def _measure_phase(self, stack: Stack, plan: Plan) -> dict[str, Any]:
        plain = report.direct_figures(await direct(stack, plan))
        through = report.product_figures(await product(stack, plan))
        return {
            "name": plan.name,
            "users": plan.users,
            "think_s": plan.think_s,
            "product": through,
            "direct": plain,
            "added": report.added(through, plain),
        }

    async def _measure_memory(self, stack: Stack) -> dict[str, Any]:
        """Resident memory of the web process: at rest, with idle sockets, and while some of them stream."""
        say(f"memory of {self.idle_sockets} sockets")
        pid = stack.parts().pids["web"]
        await asyncio.sleep(self.settle_s)
        before = rss_bytes(pid)
        people = await connect_chat([stack.web_address], stack.cookies[: self.idle_sockets])
        await asyncio.sleep(self.settle_s)
        idle = rss_bytes(pid)
        run = await drive(self.memory, people[: self.memory.users], stack.parts())
        streaming = max(sample.rss["web"] for sample in run.samples)
        outcomes = [product_outcome(turn, self.memory.tokens) for turn in run.turns]
        await leave(people)
        stack.check()
        per_idle = (idle - before) / len(people)
        return {
            "mib_before": round(before / MIB, 1),
            "mib_idle": round(idle / MIB, 1),
            "mib_streaming": round(streaming / MIB, 1),
            "idle_sockets": len(people),
            "streaming_sockets": self.memory.users,
            "kib_per_idle_socket": round(per_idle / report.KIB, 1),
            "kib_per_streaming_socket": round((per_idle + (streaming - idle) / self.memory.users) / report.KIB, 1),
            **report.completeness(outcomes),
        }


def _spare_tokens(like: Plan) -> int:
    """How many more a reply may have while people still think in the time that is left to a turn."""
    return int(0.8 * like.think_s * 1000 / like.token_ms)


def _with_tokens(like: Plan, tokens: int) -> Plan:
    """As ``like``, at its pace: what replies take less, thoughts take more."""
    saved_s = (like.tokens - tokens) * like.token_ms / 1000
    return replace(like, name=f"{like.users} users, {tokens} tokens", tokens=tokens, think_s=like.think_s + saved_s)


async def product(stack: Stack, plan: Plan) -> Run:
    """The plan's people through the product."""
    say(f"{plan.name}, through the product")
    people = await connect_chat(stack.web_addresses, stack.cookies[: plan.users])
    run = await drive(plan, people, stack.parts())
    await leave(people)
    stack.check()
    return run


async def direct(stack: Stack, plan: Plan) -> Run:
    """The same people straight to the model server."""
    say(f"{plan.name}, directly")
    people = await connect_direct(stack.model_address, plan.users)
    run = await drive(plan, people, stack.parts())
    await leave(people)
    return run


async def leave(people: Sequence[Person]) -> None:
    """Close all connections and give the servers a moment to notice."""
    for person in people:
        person.close()
    await asyncio.sleep(LEAVE_SECONDS)


async def baseline(sizes: Sequence[int], *, quick: bool) -> list[dict[str, Any]]:
    """The model server alone, to see what the generator and the machine can do."""
    with Stack(users=0, personas={}, model_only=True) as stack:
        plans = Bench(sizes, quick=quick).phases
        return [{"name": plan.name, **report.direct_figures(await direct(stack, plan))} for plan in plans]


def run(options: Options) -> Found:
    """Raises StackError."""
    sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
    parameters = parameters_of(options) | {"sizes": ",".join(map(str, sizes))}
    if not options.baseline_only:
        result = Bench(sizes, quick=options.quick, web=options.web, workers=options.workers).run()
        return report.report_of(result, parameters), result
    machine = describe_machine()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        phases = runner.run(baseline(sizes, quick=options.quick))
    return report.baseline_report(phases, parameters, machine), {"baseline": phases}


def broken_off(found: Report) -> int:
    """The exit code: 1 where a turn of any phase was not whole, 0 where all were, however late."""
    turns = [check for check in found.checks if check.name.startswith(report.TURNS)]
    return REACHED if all(check.passed for check in turns) else MISSED


def numbers(word: str) -> list[int]:
    """An argument's type: numbers of people, with commas."""
    return [between(1, 10_000)(each) for each in word.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("bench", __doc__)
    parser.add_argument("--sizes", type=numbers, help="numbers of users, with commas (10,100,500,1000)")
    parser.add_argument("--quick", action="store_true", help="under a minute: 10 and 50 users, short pauses")
    parser.add_argument("--web", type=between(1, 16), default=1, help="web processes")
    parser.add_argument("--workers", type=between(1, 16), default=1, help="reply workers")
    parser.add_argument("--baseline-only", action="store_true", help="the model server and the generator alone")
    return run_command(parser, run, arguments, broken_off)


if __name__ == "__main__":
    sys.exit(main())
