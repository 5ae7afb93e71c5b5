"""What a second web process and a second reply worker bring: the law by what turns and tokens cost, and what is seen.

``python -m stress_tests.scale_out_test [--users 100]``. How the law is made and what is judged stands in
docs/scaling.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import asyncio
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from .bench_load import Plan, Run, connect_chat, drive
from .bench_report import by_part, cost_of_tokens_and_turns, product_figures
from .bench_stack import Stack
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

PARTS = ("web", "worker", "postgres", "redis")
#: Of which there are as many as one likes; Redis is one process of one thread, PostgreSQL one server of many processes.
MULTIPLIED = ("web", "worker")
WANTED = 1.7
#: Processors from which on the ratio is seen, not only computed: two web processes, two workers, PostgreSQL and Redis,
#: the model server and the generator.
CORES_TO_SEE = 8
SHOWN_CORES, MOST_PROCESSES = (2, 4, 6, 8, 16), 8
FEW_TOKENS = 6
LEAVE_SECONDS = 0.5


@dataclass(frozen=True)
class Capacity:
    """Turns a second that so many processes make, and what holds them there: a part or the processors."""

    per_s: float
    bound_by: str


def capacity(turn_s: Mapping[str, float], processes: int, cores: float = math.inf) -> Capacity:
    """The law: no process does more than one processor's work, and all together no more than ``cores``.

    ``turn_s`` are seconds of a processor that a turn takes of each part, with ``processes`` web processes and as many
    reply workers; what is no part of the product counts for the processors alone.
    """
    bounds = {part: processes / turn_s[part] for part in MULTIPLIED}
    bounds["redis"] = 1 / turn_s["redis"]
    bounds["processors"] = cores / sum(turn_s.values())
    bound_by = min(bounds, key=lambda name: bounds[name])
    return Capacity(bounds[bound_by], bound_by)


def ratio(one: Mapping[str, float], two: Mapping[str, float], cores: float = math.inf) -> float:
    """Turns a second of two and two processes by those of one and one."""
    return capacity(two, 2, cores).per_s / capacity(one, 1, cores).per_s


def cores_for(one: Mapping[str, float], two: Mapping[str, float], wanted: float = WANTED) -> int | None:
    """The fewest processors with which two and two make ``wanted`` times what one and one make; None: no number."""
    enough = range(1, 129)
    return next((cores for cores in enough if ratio(one, two, cores) >= wanted and _is_free(one, cores)), None)


def _is_free(one: Mapping[str, float], cores: float) -> bool:
    """Whether one and one are not short of processors themselves: with too few, any ratio can be had."""
    return capacity(one, 1, cores).bound_by != "processors"


async def measure(stacks: Mapping[int, Stack], options: Options) -> dict[str, Any]:
    """Costs of a turn and a token, and turns a second without a pause, of each stack by its number of processes. They
    take turns, round by round: so whatever else the machine does meanwhile falls to both. Two of each have twice the
    people: what a process does once a tick for all that it streams costs each of them the less, the more they are."""
    for number, stack in stacks.items():
        await _run(stack, Plan(name="warm-up", users=number * options.users, turns=1, think_s=0, tokens=FEW_TOKENS))
    runs: dict[int, dict[str, list[Run]]] = {number: {"many": [], "few": [], "rush": []} for number in stacks}
    for _ in range(options.rounds):
        for place, name in enumerate(("many", "few", "rush")):
            for number, stack in stacks.items():
                runs[number][name].append(await _run(stack, plans(options, number)[place]))
    return {str(number): figures_of(each) for number, each in runs.items()}


def figures_of(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """All rounds of one stack together."""
    figures = {name: together([product_figures(run) for run in each]) for name, each in runs.items()}
    seconds = sum(_seconds_of(run) for run in runs["rush"])
    generator = sum(run.generator_cpu_s for run in runs["many"])
    return figures | {
        "cost": cost_of_tokens_and_turns(figures["many"], figures["few"]),
        "turn_s": turn_seconds(figures["many"], generator),
        "seen_per_s": round(figures["rush"]["completed"] / seconds, 2) if seconds else 0.0,
    }


def together(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Turns, tokens and processor time of several runs of a plan, added up."""
    sums = {name: sum(each[name] for each in rounds) for name in ("turns", "completed", "tokens")}
    spent: dict[str, Any] = {"product_seconds": sum(each["cpu"]["product_seconds"] for each in rounds)}
    for of in ("seconds", "seconds_by_process"):
        spent[of] = {name: sum(each["cpu"][of][name] for each in rounds) for name in rounds[0]["cpu"][of]}
    return sums | {"cpu": spent}


def _seconds_of(run: Run) -> float:
    """From the first question to the last ending; 0 where there is none."""
    sent = [turn.sent_at for turn in run.turns if turn.sent_at]
    ended = [turn.ended_at for turn in run.turns if turn.ended_at]
    return max(ended) - min(sent) if ended else 0.0


def plans(options: Options, processes: int = 1) -> tuple[Plan, Plan, Plan]:
    """Turns at the same rate with many and with few tokens, and as many as can be without a pause."""
    users = processes * options.users
    many = Plan(name="many", users=users, turns=options.turns, think_s=options.think, tokens=options.tokens)
    saved_s = (options.tokens - FEW_TOKENS) * many.token_ms / 1000
    think_s = options.think + saved_s
    few = Plan(name="few", users=users, turns=options.turns, think_s=think_s, tokens=FEW_TOKENS)
    hasty = Plan(
        name="rush", users=users, turns=options.turns, think_s=0, spread_s=0.2, tokens=options.tokens,
        first_ms=0, token_ms=0,
    )  # fmt: skip
    return many, few, hasty


async def _run(stack: Stack, plan: Plan) -> Run:
    say(f"{len(stack.web_ports)} and {len(stack.web_ports)}: {plan.name}")
    people = await connect_chat(stack.web_addresses, stack.cookies[: plan.users])
    run = await drive(plan, people, stack.parts())
    for person in people:
        person.close()
    await asyncio.sleep(LEAVE_SECONDS)
    stack.check()
    return run


def turn_seconds(figures: Mapping[str, Any], generator_s: float) -> dict[str, float]:
    """Seconds of a processor that a whole turn took, of each part, of the model server and of the generator."""
    spent = by_part(figures["cpu"]["seconds_by_process"]) | {"generator": generator_s}
    return {name: seconds / max(1, figures["completed"]) for name, seconds in spent.items()}


def judged(found: Mapping[str, Any], cores: int) -> list[Check]:
    """What is wanted of two and two against what was found. How many times as many turns they make is unclear where
    some were not whole: nobody knows what those cost."""
    one, two = found["1"], found["2"]
    runs = [each[name] for each in (one, two) for name in ("many", "few", "rush")]
    whole, turns = sum(run["completed"] for run in runs), sum(run["turns"] for run in runs)
    by_law = ratio(one["turn_s"], two["turn_s"])
    checks = [
        exactly("turns complete", whole, turns),
        _times("two and two by the law, with processors enough", by_law, whole == turns),
    ]
    if cores >= CORES_TO_SEE:
        seen = two["seen_per_s"] / one["seen_per_s"]
        checks.append(_times("two and two as seen", seen, whole == turns))
    return checks


def _times(name: str, found: float, is_clear: bool) -> Check:
    return Check(name, f"≥ {WANTED:g} ×", f"{found:.2f} ×", found >= WANTED if is_clear else None)


def report_of(found: Mapping[str, Any], options: Options, machine: Mapping[str, Any]) -> Report:
    one, two = found["1"], found["2"]
    cores = machine["processors"]
    enough = cores_for(one["turn_s"], two["turn_s"])
    by_law, seen = ratio(one["turn_s"], two["turn_s"]), two["seen_per_s"] / one["seen_per_s"]
    return Report(
        name="scale_out_test",
        title="Scaling out",
        headline=f"Two web processes and two reply workers make {by_law:.2f} times as many turns by what each turn "
        f"costs, with processors enough, {WANTED:g} times from {enough or 'no number of'} on; here, with {cores} for "
        f"everything, {seen:.2f} times.",
        machine=machine,
        parameters=parameters_of(options),
        checks=judged(found, cores),
        tables=[
            Table(
                "What a turn and a token cost",
                ("part", "ms a turn", "µs a token", "ms a turn, 2 + 2", "µs a token, 2 + 2"),
                [(part, *_costs(one, part), *_costs(two, part)) for part in (*PARTS, "product")],
                "By two runs with the same turns a second and many or few tokens (docs/benchmarks.md).",
            ),
            Table(
                "Each process", ("process", "ms a turn, 1 + 1", "ms a turn, 2 + 2"),
                [(name, _of_process(one, name), _of_process(two, name))
                 for name in two["many"]["cpu"]["seconds_by_process"]],
                f"Of all turns of {options.tokens} tokens, whichever process answered them.",
            ),
            Table(
                "The law", ("processors", "1 + 1 a second", "bound by", "2 + 2 a second", "bound by ", "times"),
                [_law_row(one["turn_s"], two["turn_s"], each) for each in (*SHOWN_CORES, math.inf)],
                f"Of turns of {options.tokens} tokens. Seen here without a pause, with {cores} processors: "
                f"{one['seen_per_s']:g} and {two['seen_per_s']:g} turns a second.",
            ),
        ],
        plots=[
            Plot("Turns a second by the law", "web processes, and as many reply workers", "turns a second", [
                Series(f"{cores} processors", _curve(two["turn_s"], cores)),
                Series("as many as are wanted", _curve(two["turn_s"], math.inf)),
            ]),
        ],
    )  # fmt: skip


def _costs(each: Mapping[str, Any], part: str) -> tuple[float, float]:
    return each["cost"][part]["ms_per_turn"], each["cost"][part]["us_per_token"]


def _of_process(each: Mapping[str, Any], name: str) -> float | None:
    spent = each["many"]["cpu"]["seconds_by_process"].get(name)
    return None if spent is None else 1000 * spent / max(1, each["many"]["completed"])


def _law_row(one: Mapping[str, float], two: Mapping[str, float], cores: float) -> tuple[str | float, ...]:
    first, second = capacity(one, 1, cores), capacity(two, 2, cores)
    name = "enough" if math.isinf(cores) else f"{cores:g}"
    return name, first.per_s, first.bound_by, second.per_s, second.bound_by, second.per_s / first.per_s


def _curve(turn_s: Mapping[str, float], cores: float) -> list[tuple[float, float]]:
    return [(number, capacity(turn_s, number, cores).per_s) for number in range(1, MOST_PROCESSES + 1)]


def run(options: Options) -> Found:
    """Raises StackError, and ValueError where too little was measured for the law."""
    machine = describe_machine()
    personas = {plan.persona: f"bench/{plan.model}" for plan in plans(options)}
    personas |= {(warm := Plan(name="", users=1, tokens=FEW_TOKENS)).persona: f"bench/{warm.model}"}
    with (
        Stack(users=options.users, personas=personas) as one,
        Stack(users=2 * options.users, personas=personas, web=2, workers=2) as two,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(measure({1: one, 2: two}, options))
    if not all(each["turn_s"][part] > 0 for each in found.values() for part in PARTS):
        raise ValueError("too few turns: a part's processor time is not to be told from none")
    if not all(each["seen_per_s"] > 0 for each in found.values()):
        raise ValueError("no turn was whole of those that were asked without a pause")
    return report_of(found, options, machine), found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("scale_out_test", __doc__)
    parser.add_argument("--users", type=between(2, 2000), default=100, help="of each process of a kind")
    parser.add_argument("--turns", type=between(1, 100), default=4, help="of each person, in each run")
    parser.add_argument("--rounds", type=between(1, 20), default=3, help="of one of each and two of each in turns")
    parser.add_argument("--think", type=between(0, 60, float), default=4, metavar="SECONDS", help="between turns")
    parser.add_argument("--tokens", type=between(10, 2000), default=60, help="of a reply")
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
