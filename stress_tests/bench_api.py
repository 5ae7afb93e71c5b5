"""``python -m stress_tests.bench_api [--callers 50] [--messages 100000]``: what the JSON API costs.

Reads at 50 concurrent clients with 100,000 messages of 1000 people in the database, and what asking over HTTP adds to
the model's own time. Everything runs on this machine, in a temporary directory, on loopback; how it measures stands in
docs/benchmarks.md.
"""

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop

from .bench_api_load import Answer, ask_all, post, read_all
from .bench_cpu import cpu_between
from .bench_load import Plan
from .bench_stack import Stack
from .bench_turns import less, percentiles_ms
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
    ms,
    parameters_of,
    run_command,
    say,
)
from .reporting.command import Found, Options

LIMITS = ("RATE_LIMIT_REQUESTS", "RATE_LIMIT_ASKS", "RATE_LIMIT_GUEST", "RATE_LIMIT_ADDRESS")
MOST_READ_MS, MOST_ADDED_MS, MOST_QUERIES = 50.0, 30.0, 8
MESSAGES_OF_A_CALLER = 20  # at least: a conversation
STREAM = "text/event-stream"
DELTA, CONTENT = b"event: reply.delta", b'"content":"'


class Bench:
    """All phases of one run."""

    def __init__(self, *, messages: int, people: int, callers: int, seconds: float, turns: int, model: Plan) -> None:
        self.callers = callers
        self.messages, self.people, self.seconds, self.turns = messages, people, seconds, turns
        self.model = model

    def run(self) -> dict[str, Any]:
        """Start everything, measure, stop everything. Raises StackError."""
        overrides = dict.fromkeys(LIMITS, "50000/s")
        personas = {self.model.persona: f"bench/{self.model.model}"}
        with Stack(users=0, personas={}, overrides=overrides) as stack:
            say(f"{self.messages} messages of {self.people} people")
            rows = {"people": self.people, "messages": self.messages, "callers": self.callers, "personas": personas}
            made = stack.python("-m", "stress_tests.bench_api_seed", "make", given=rows)
            callers, admin = made["callers"], made["admin"]
            result: dict[str, Any] = {"messages": made["messages"], "people": self.people, "callers": self.callers}
            counted = stack.python("-m", "stress_tests.bench_api_seed", "queries", given=[callers[0], admin])
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                result["reads"] = runner.run(self._reads(stack, callers, admin))
                result["asks"] = runner.run(self._asks(stack, callers))
            result["queries"] = counted
            result["audit"] = stack.audit()
            stack.check()
        return result

    async def _reads(self, stack: Stack, callers: list[Any], admin: Any) -> dict[str, Any]:
        await read_all(stack.web_address, callers, seconds=3, think_s=0.2)  # connections, plans and caches
        found = {}
        for name, think_s in (("think", 1.0), ("saturated", 0.0)):
            say(f"reads, {name}")
            before = stack.parts().sample()
            answers = await read_all(stack.web_address, callers, seconds=self.seconds, think_s=think_s)
            found[name] = read_figures(answers) | {"cpu_s": cpu_between(before, stack.parts().sample())}
        say("figures, one client")
        answers = await read_all(stack.web_address, [admin], seconds=self.seconds / 2, think_s=0.05)
        found["staff"] = read_figures(answers)
        return found

    async def _asks(self, stack: Stack, callers: list[Any]) -> dict[str, Any]:
        host = f"127.0.0.1:{stack.web_port}"
        tokens, persona, model = [each["token"] for each in callers], self.model.persona, self.model.model

        def send(accept: str) -> Any:
            body = {"text": "What comes after 7, and why does it come there?", "persona": persona}
            return lambda number, turn: post(host, "/api/v1/chat/send", tokens[number], body, accept)

        def completion(*, direct: bool, stream: bool) -> Any:
            name = model if direct else f"persona:{persona}"
            asked = [{"role": "user", "content": "What comes after 7, and why does it come there?"}]
            body = {"model": name, "messages": asked, "stream": stream}
            return lambda number, turn: post(
                host, "/v1/chat/completions", tokens[number], body, STREAM if stream else "application/json"
            )

        direct = await self._ask(stack, "direct", completion(direct=True, stream=True), CONTENT)
        found = {"direct": direct}
        for name, request, mark in (
            ("chat/send as SSE", send(STREAM), DELTA),
            ("chat/send as JSON", send("application/json"), b""),
            ("/v1 streamed", completion(direct=False, stream=True), CONTENT),
            ("/v1 whole", completion(direct=False, stream=False), b""),
        ):
            found[name] = figures = await self._ask(stack, name, request, mark)
            figures["added_end_ms"] = less(figures["end_ms"], direct["end_ms"])
            if mark:
                figures["added_first_ms"] = less(figures["first_ms"], direct["first_ms"])
        return found

    async def _ask(self, stack: Stack, name: str, request: Any, mark: bytes) -> dict[str, Any]:
        say(f"{self.callers} ask at once, {name}")
        address = stack.model_address if name == "direct" else stack.web_address
        answers = await ask_all(
            address, self.callers, request, turns=self.turns, spread_s=self.model.reply_s, mark=mark
        )
        await asyncio.sleep(0.5)
        return {
            "statuses": dict(Counter(answer.status for answer in answers)),
            "first_ms": percentiles_ms(answer.first_s for answer in answers if answer.status == 200),
            "end_ms": percentiles_ms(answer.end_s for answer in answers if answer.status == 200),
        }


def read_figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Percentiles and rate, from the first sending to the last answer, of what was answered with 200, and percentiles
    of each address: a refusal is quick."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        if answer.status == 200:
            by_name[answer.name].append(answer.end_s)
    began = min((answer.ended_at - answer.end_s for answer in answers), default=0.0)
    took = max((answer.ended_at for answer in answers), default=0.0) - began
    return {
        "requests": len(answers),
        "per_s": round(sum(map(len, by_name.values())) / took, 1) if took else 0.0,
        "statuses": dict(Counter(answer.status for answer in answers)),
        "all_ms": percentiles_ms(seconds for times in by_name.values() for seconds in times),
        "by_address": {name: percentiles_ms(times) for name, times in sorted(by_name.items())},
    }


def checks(found: Mapping[str, Any]) -> list[Check]:
    """What was wanted against what was found."""
    asks, reads = found["asks"], found["reads"]
    statuses = sum((Counter(each["statuses"]) for each in (*reads.values(), *asks.values())), Counter[int]())
    return [
        exactly("requests answered with 200", statuses[200], statuses.total()),
        at_most("reads of clients that think, P95", reads["think"]["all_ms"]["p95"], MOST_READ_MS, "ms"),
        at_most("queries of a read, most", max(found["queries"].values()), MOST_QUERIES),
        *(
            at_most(f"{name} adds to the {what}, P95", asks[name][f"added_{key}_ms"]["p95"], MOST_ADDED_MS, "ms")
            for name, what, key in (
                ("chat/send as SSE", "first text", "first"),
                ("chat/send as SSE", "end", "end"),
                ("chat/send as JSON", "end", "end"),
            )
        ),
    ]


def report_of(found: Mapping[str, Any], options: Options, machine: Mapping[str, Any]) -> Report:
    reads, asks = found["reads"], found["asks"]
    think, saturated = reads["think"], reads["saturated"]
    return Report(
        name="bench_api",
        title="JSON API",
        headline=f"{found['callers']} clients, {found['messages']:,} messages: {think['per_s']:g} reads a second, P95 "
        f"{ms(think['all_ms']['p95'])}; without a pause {saturated['per_s']:g} a second.",
        machine=machine,
        parameters=parameters_of(options),
        checks=checks(found),
        tables=[
            *(Table(f"Reads, {name}: {of['requests']:,}, {of['per_s']:g} a second", READ_HEAD, [
                _read_row("all", of["all_ms"], None),
                *(_read_row(address, times, found["queries"].get(address))
                  for address, times in of["by_address"].items()),
            ], _statuses(of)) for name, of in reads.items()),
            Table("Questions", ASK_HEAD, [
                (name, *_ask_cells(of), _statuses(of)) for name, of in asks.items()
            ], "To the first text and to the end; added to what the same questions took of the model server directly."),
        ],
        plots=[
            Plot("Questions, P95", "way of asking", "ms", [
                Series(what, [(number, of[key]["p95"]) for number, of in enumerate(asks.values(), 1)])
                for what, key in (("first text", "first_ms"), ("end", "end_ms"))
            ]),
        ],
    )  # fmt: skip


READ_HEAD = ("address", "P50 ms", "P95 ms", "P99 ms", "queries")
TIMES = [(what, share) for what in ("first", "end") for share in ("p50", "p95")]
ASK_HEAD = ("way", *(f"{what} {share.upper()} {kind}" for what, share in TIMES for kind in ("ms", "added")), "statuses")


def _read_row(
    address: str, times: Mapping[str, float | None], queries: int | None
) -> tuple[str | float | int | None, ...]:
    return address, times["p50"], times["p95"], times["p99"], queries


def _ask_cells(of: Mapping[str, Any]) -> list[float | None]:
    return [of.get(f"{kind}{what}_ms", {}).get(share) for what, share in TIMES for kind in ("", "added_")]


def _statuses(of: Mapping[str, Any]) -> str:
    return ", ".join(f"{number} × {status}" for status, number in of["statuses"].items())


def run(options: Options) -> Found:
    """Raises StackError, and ValueError where callers would have nothing to read."""
    if options.people < options.callers or options.messages < MESSAGES_OF_A_CALLER * options.callers:
        raise ValueError(f"each of --callers is one of --people, with {MESSAGES_OF_A_CALLER} of --messages at least")
    machine = describe_machine()
    bench = Bench(
        messages=options.messages,
        people=options.people,
        callers=options.callers,
        seconds=options.seconds,
        turns=options.turns,
        model=Plan(name="api", users=options.callers, tokens=40, first_ms=200, token_ms=20),
    )
    found = bench.run()
    return report_of(found, options, machine), found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("bench_api", __doc__)
    parser.add_argument("--messages", type=between(MESSAGES_OF_A_CALLER, 10_000_000), default=100_000)
    parser.add_argument("--people", type=between(1, 100_000), default=1000)
    parser.add_argument("--callers", type=between(1, 500), default=50, help="clients side by side (%(default)s)")
    parser.add_argument(
        "--seconds", type=between(1, 600, float), default=20, help="of each phase of reads (%(default)s)"
    )
    parser.add_argument("--turns", type=between(1, 1000), default=8, help="questions of each client (%(default)s)")
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
