"""A conversation that never ends costs no more by its thousandth turn than by its hundredth, in time nor in memory.

``python -m stress_tests.long_conversation_test [--turns 1000] [--conversations 4] [--warm-up 100]``. What is judged and
how stands in docs/stress.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import asyncio
import itertools
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import uvloop

from .bench_cpu import cpu_between
from .bench_load import ChatPerson, Plan, Run, drive
from .bench_stack import Stack, StackError
from .bench_turns import Outcome, percentiles_ms, product_outcome
from .chaos.slope import slope, verdict
from .reporting import (
    Check,
    Plot,
    Report,
    Series,
    Table,
    between,
    command_parser,
    describe_machine,
    exactly,
    parameters_of,
    run_command,
    say,
)
from .reporting.command import Found, Options

PRODUCT = ("web", "worker", "celery", "postgres", "redis")
#: Whose memory is judged: the others' grows up to bounds that are set for them, or with what is stored.
JUDGED_MEMORY = ("web", "worker", "celery")
PER_TURNS = 1000
MOST_COST, MOST_MEMORY, MOST_PAGE = 0.05, 0.02, 0.02
MIB, KIB = 2**20, 1024
OPENINGS = 5
#: Turns, half of which are in long conversations, until a process' caches hold as much as they ever will: the HTML of
#: 2,048 replies is the largest, and the web process has that of what pages show, which are the long conversations'.
CACHES_FULL = 4400
FEWEST_BLOCKS = 8
SLICE_TURNS = 10


@dataclass(frozen=True, kw_only=True)
class Block:
    """So many turns of each conversation that follow each other; ``last`` is the number of the last of them.

    ``cpu_ms`` is of one turn, by part, and ``new_cpu_ms`` the same of as many turns of new conversations in turns with
    them; ``rss`` in bytes, ``page_bytes`` and ``page_ms`` of the conversation's page, as they are at its end;
    ``first_ms`` and ``end_ms`` are medians from sending.
    """

    last: int
    turns: int
    cpu_ms: Mapping[str, float]
    new_cpu_ms: Mapping[str, float]
    rss: Mapping[str, int]
    first_ms: float | None
    end_ms: float | None
    page_ms: float
    page_bytes: int
    faults: Mapping[str, int]

    @property
    def cost_ms(self) -> float:
        """Of a turn, over all parts of the product."""
        return sum(self.cpu_ms.values())

    @property
    def new_cost_ms(self) -> float:
        return sum(self.new_cpu_ms.values())

    @property
    def times_new(self) -> float:
        """What a turn costs, in parts of what it costs in a new conversation in turns with it: what else the machine
        does for longer than some seconds falls out of it."""
        return self.cost_ms / self.new_cost_ms


class Talker(ChatPerson):
    """Somebody who goes on with one conversation from slice to slice, until they begin anew."""

    def reset(self) -> None:
        """The conversation stays."""

    def begin_anew(self) -> None:
        super().reset()

    @property
    def conversation(self) -> str:
        return self._conversation or ""


async def talk(stack: Stack, plan: Plan, blocks: int) -> list[Block]:
    """``blocks`` times ``plan``, by people whose conversations go on all the while, and by as many who begin anew with
    each block.

    Raises StackError where a conversation breaks off."""
    old, new = ([Talker() for _ in range(plan.users)] for _ in range(2))
    for person, cookie in zip([*old, *new], stack.cookies, strict=True):
        await person.connect(stack.web_address, cookie)
    found = []
    for number in range(1, blocks + 1):
        found.append(await _block(stack, plan, old, new, number * plan.turns))
        say(f"turn {found[-1].last}: {found[-1].cost_ms:.2f} ms, in a new conversation {found[-1].new_cost_ms:.2f} ms")
        stack.check()
    for person in (*old, *new):
        person.close()
    return found


async def _block(stack: Stack, plan: Plan, old: Sequence[Talker], new: Sequence[Talker], last: int) -> Block:
    """The old and the new take a few turns each, in turns, so that whatever else the machine does meets both. Each
    slice ends with a second of rest, which counts as its own; what Celery does later than that falls to the other kind,
    and so either kind is the first every other time."""
    for person in new:
        person.begin_anew()
    long: list[Run] = []
    fresh: list[Run] = []
    for number, turns in enumerate(slices(plan.turns)):
        both = [(old, long), (new, fresh)]
        for people, runs in both if number % 2 == 0 else both[::-1]:
            runs.append(await _slice(stack, replace(plan, turns=turns), people))
        await asyncio.to_thread(_open_pages, stack, old, 1)  # each reply once, so that the web process keeps its HTML
    pages = await asyncio.to_thread(_open_pages, stack, old)
    of_old, of_new = _outcomes(long), _outcomes(fresh)
    ended = [turn.ended_at - turn.sent_at for run in long for turn in run.turns if turn.ended_at]
    return Block(
        last=last,
        turns=len(of_old) + len(of_new),
        cpu_ms=_cpu_ms(long),
        new_cpu_ms=_cpu_ms(fresh),
        rss={name: long[-1].samples[-1].rss[name] for name in PRODUCT},
        first_ms=percentiles_ms(each.first_s for each in of_old if not each.fault)["p50"],
        end_ms=percentiles_ms(ended)["p50"],
        page_ms=1000 * median(seconds for seconds, _ in pages),
        page_bytes=max(size for _, size in pages),
        faults=dict(Counter(each.fault for each in (*of_old, *of_new) if each.fault)),  # as JSON keeps them
    )


def slices(turns: int) -> list[int]:
    """So many turns in slices of SLICE_TURNS, the last of what is left."""
    return [min(SLICE_TURNS, turns - done) for done in range(0, turns, SLICE_TURNS)]


async def _slice(stack: Stack, plan: Plan, people: Sequence[Talker]) -> Run:
    """Raises StackError where a conversation breaks off: nobody could go on with it."""
    run = await drive(plan, people, stack.parts())
    if lost := {each.fault for each in _outcomes([run]) if each.fault.startswith("lost")}:
        raise StackError(f"a conversation broke off: {', '.join(sorted(lost))}")
    return run


def _outcomes(runs: Sequence[Run]) -> list[Outcome]:
    return [product_outcome(turn, run.plan.tokens) for run in runs for turn in run.turns]


def _cpu_ms(runs: Sequence[Run]) -> dict[str, float]:
    """Of a turn, by part."""
    spent = [cpu_between(run.samples[0], run.samples[-1]) for run in runs]
    turns = sum(len(run.turns) for run in runs)
    return {name: 1000 * sum(each[name] for each in spent) / turns for name in PRODUCT}


def _open_pages(stack: Stack, people: Sequence[Talker], times: int = OPENINGS) -> list[tuple[float, int]]:
    """Seconds and bytes of each conversation's page, some times over."""
    return [_open_page(stack, person.conversation, cookie)
            for person, cookie in zip(people, stack.cookies, strict=False) for _ in range(times)]  # fmt: skip


def _open_page(stack: Stack, conversation: str, cookie: str) -> tuple[float, int]:
    url = f"http://127.0.0.1:{stack.web_port}/c/{conversation}/"
    began = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Cookie": f"sessionid={cookie}"})) as answer:
        size = len(answer.read())
        if answer.url != url:
            raise StackError(f"{url} led to {answer.url}")
    return time.perf_counter() - began, size


def judged(blocks: Sequence[Block], warm_up: int) -> list[Check]:
    """What holds of the blocks after ``warm_up`` turns: costs of all of these, memory once caches are full. Raises
    ValueError for too few of them."""
    later = _after(blocks, warm_up)
    faults = sum(sum(block.faults.values()) for block in blocks)
    turns = sum(block.turns for block in blocks)
    times = [block.times_new for block in later]
    return [
        exactly("turns complete, every character in its place", turns - faults, turns),
        _flat("processor time of a turn, held against new conversations", later, times, MOST_COST),
        _flat("bytes of the conversation's page", later, [block.page_bytes for block in later], MOST_PAGE),
        *(_memory(name, blocks) for name in JUDGED_MEMORY),
    ]


def _memory(name: str, blocks: Sequence[Block]) -> Check:
    turns = itertools.accumulate(block.turns for block in blocks)
    last = [block for block, so_far in zip(blocks, turns, strict=True) if so_far > CACHES_FULL]
    if len(last) < FEWEST_BLOCKS:
        return Check(f"memory of {name}", f"< {MOST_MEMORY:+.0%} in {PER_TURNS:,} turns", "too few turns", None)
    return _flat(f"memory of {name}", last, [block.rss[name] for block in last], MOST_MEMORY)


def _after(blocks: Sequence[Block], warm_up: int) -> list[Block]:
    return [block for block in blocks if block.last > warm_up]


def _flat(name: str, blocks: Sequence[Block], values: Sequence[float], most: float) -> Check:
    found = slope([float(block.last) for block in blocks], values, PER_TURNS).share()
    said = verdict(found, most)
    return Check(
        name,
        f"< {most:+.0%} in {PER_TURNS:,} turns",
        f"{found.rate:+.1%} ({found.low:+.1%} to {found.high:+.1%})",
        None if said == "unclear" else said == "holds",
    )


def report_of(blocks: Sequence[Block], options: Options, machine: Mapping[str, Any]) -> Report:
    """Raises ValueError for too few blocks."""
    later = _after(blocks, options.warm_up)
    first, last = later[0], later[-1]
    return Report(
        name="long_conversation_test",
        title="Long conversations",
        headline=f"{options.conversations} conversations of {last.last:,} turns: "
        f"a turn costs {first.times_new:.2f} times as much as in a new one at turn {first.last:,}, "
        f"{last.times_new:.2f} times at the end.",
        machine=machine,
        parameters=parameters_of(options),
        checks=judged(blocks, options.warm_up),
        tables=[
            Table(
                "By turns",
                ("up to turn", "ms", *PRODUCT, "new ms", "times new", "first text ms", "end ms", "page ms", "page KiB"),
                [
                    (f"{block.last:,}", block.cost_ms, *(block.cpu_ms[name] for name in PRODUCT),
                     block.new_cost_ms, block.times_new, block.first_ms, block.end_ms, block.page_ms,
                     block.page_bytes / KIB)
                    for block in blocks
                ],
                "Processor time of a turn in milliseconds, in all and by part, and in new conversations in "
                "turns with them; medians from sending; the whole page.",
            ),
            Table(
                "Growth of what a turn costs, and of memory",
                ("part", "ms a turn", "in 1,000 turns", "MiB", "in 1,000 turns "),
                [_growth_row(later, name) for name in PRODUCT],
                "Lines through the blocks after the warm-up: where they begin, and what they rise by.",
            ),
        ],
        plots=[
            Plot("Processor time of a turn", "turn", "ms", [
                Series("long conversation", [(block.last, block.cost_ms) for block in blocks]),
                Series("new conversation", [(block.last, block.new_cost_ms) for block in blocks]),
            ]),
            Plot("By part", "turn", "ms", [
                Series(name, [(block.last, block.cpu_ms[name]) for block in blocks]) for name in PRODUCT
            ]),
            Plot("Memory", "turn", "MiB", [
                Series(name, [(block.last, block.rss[name] / MIB) for block in blocks]) for name in PRODUCT
            ]),
            Plot("Time", "turn", "ms", [
                Series("first text", [(block.last, block.first_ms) for block in blocks]),
                Series("end", [(block.last, block.end_ms) for block in blocks]),
                Series("page", [(block.last, block.page_ms) for block in blocks]),
            ]),
        ],
    )  # fmt: skip


def _growth_row(blocks: Sequence[Block], name: str) -> tuple[str, float, str, float, str]:
    turns = [float(block.last) for block in blocks]
    cost = slope(turns, [block.cpu_ms[name] for block in blocks], PER_TURNS)
    memory = slope(turns, [block.rss[name] for block in blocks], PER_TURNS)
    return name, cost.start, f"{cost.share().rate:+.1%}", memory.start / MIB, f"{memory.share().rate:+.1%}"


def run(options: Options) -> Found:
    """Raises StackError, and ValueError where there are too few turns to tell anything."""
    blocks, rest = divmod(options.turns, options.block)
    if rest or (options.turns - options.warm_up) // options.block < FEWEST_BLOCKS:
        raise ValueError("--turns has to be a multiple of --block, with eight blocks or more after the warm-up")
    plan = Plan(
        name="block", users=options.conversations, turns=options.block, think_s=0, tokens=options.tokens,
        first_ms=options.first_ms, token_ms=options.token_ms,
    )  # fmt: skip
    machine = describe_machine()
    overrides = {"RATE_LIMIT_ASKS": "100000/min", "SUMMARY_MODEL": f"bench/fake?tokens={options.tokens}"}
    personas = {plan.persona: f"bench/{plan.model}"}
    with Stack(users=2 * options.conversations, personas=personas, celery=True, overrides=overrides) as stack:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(talk(stack, plan, blocks))
        audit = stack.audit()
    return report_of(found, options, machine), {"blocks": [asdict(block) for block in found], "audit": audit}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("long_conversation_test", __doc__)
    parser.add_argument("--turns", type=between(20, 100_000), default=1000, help="of each conversation")
    parser.add_argument("--conversations", type=between(1, 100), default=4, help="side by side")
    parser.add_argument("--block", type=between(1, 10_000), default=50, metavar="TURNS", help="between two samples")
    parser.add_argument(
        "--warm-up", type=between(0, 10_000), default=100, metavar="TURNS", help="until prompts are as long as they get"
    )
    parser.add_argument("--tokens", type=between(1, 2000), default=40, help="of a reply")
    parser.add_argument("--first-ms", type=between(0, 10_000, float), default=20)
    parser.add_argument("--token-ms", type=between(0, 1000, float), default=1)
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
