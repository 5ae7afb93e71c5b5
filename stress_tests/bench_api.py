"""``python -m stress_tests.bench_api``: what the JSON API costs.

Reads at 50 concurrent clients with 100,000 messages of 1000 people in the database, and what asking over HTTP adds to
the model's own time. Everything runs on this machine, in a temporary directory, on loopback; how it measures stands in
docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import math
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from .bench import machine
from .bench_api_load import Answer, ask_all, post, read_all
from .bench_cpu import cpu_between
from .bench_load import Plan
from .bench_stack import Stack, StackError
from .bench_turns import percentiles_ms
from .reporting import say

OK = 200
CALLERS = 50
LIMITS = ("RATE_LIMIT_REQUESTS", "RATE_LIMIT_ASKS", "RATE_LIMIT_GUEST", "RATE_LIMIT_ADDRESS")
READ_TARGET_MS, ADDED_TARGET_MS = 50.0, 30.0
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
            result["machine"] = machine(stack) | {"load_average": os.getloadavg()}
            stack.check()
        result["targets"] = targets(result)
        return result

    async def _reads(self, stack: Stack, callers: list[Any], admin: Any) -> dict[str, Any]:
        await read_all(stack.web_address, callers, seconds=3, think_s=0.2)  # connections, plans and caches
        found = {}
        for name, think_s in (("think", 1.0), ("saturated", 0.0)):
            say(f"reads, {name}")
            before = stack.parts().sample()
            answers = await read_all(stack.web_address, callers, seconds=self.seconds, think_s=think_s)
            found[name] = read_figures(answers, self.seconds) | {"cpu_s": cpu_between(before, stack.parts().sample())}
        say("figures, one client")
        answers = await read_all(stack.web_address, [admin], seconds=self.seconds / 2, think_s=0.05)
        found["staff"] = read_figures(answers, self.seconds / 2)
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
        return ask_figures(answers)


def less(through: dict[str, float], direct: dict[str, float]) -> dict[str, float]:
    """The percentiles' differences; empty where one has none."""
    return {name: round(through[name] - direct[name], 2) for name in through if name in direct}


def times_ms(seconds: Sequence[float]) -> dict[str, float]:
    """As ``percentiles_ms``; empty where there are none, which would pass for 0 ms."""
    return percentiles_ms(seconds) if seconds else {}


def ask_figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Percentiles of good answers; statuses of all."""
    good = [answer for answer in answers if answer.status == OK]
    return {
        "statuses": dict(Counter(answer.status for answer in answers)),
        "first_ms": times_ms([answer.first_s for answer in good]),
        "end_ms": times_ms([answer.end_s for answer in good]),
    }


def read_figures(answers: Sequence[Answer], seconds: float) -> dict[str, Any]:
    """Percentiles and rate of good answers, percentiles also of each address; statuses of all."""
    good = [answer for answer in answers if answer.status == OK]
    by_name: dict[str, list[float]] = defaultdict(list)
    for answer in good:
        by_name[answer.name].append(answer.end_s)
    return {
        "requests": len(answers),
        "per_s": round(len(good) / seconds, 1),
        "statuses": dict(Counter(answer.status for answer in answers)),
        "all_ms": times_ms([answer.end_s for answer in good]),
        "by_address": {name: percentiles_ms(times) for name, times in sorted(by_name.items())},
    }


def targets(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What was wanted, and whether it was reached; a value of None is a time that no good answer tells."""
    asks, reads = result["asks"], result["reads"]
    sse, whole = asks["chat/send as SSE"], asks["chat/send as JSON"]
    statuses = [of["statuses"] for of in (*reads.values(), *asks.values())]
    others = sum(number for of in statuses for status, number in of.items() if status != OK)
    wanted = [
        ("answers other than 200", others, 0),
        ("P95 of reads, clients that think, ms", reads["think"]["all_ms"].get("p95"), READ_TARGET_MS),
        ("queries of a read, most", max(result["queries"].values()), 8),
        ("chat/send as SSE adds to the first text, P95 ms", sse["added_first_ms"].get("p95"), ADDED_TARGET_MS),
        ("chat/send as SSE adds to the end, P95 ms", sse["added_end_ms"].get("p95"), ADDED_TARGET_MS),
        ("chat/send as JSON adds, P95 ms", whole["added_end_ms"].get("p95"), ADDED_TARGET_MS),
    ]
    return [
        {"name": name, "value": value, "limit": limit, "reached": value is not None and value <= limit}
        for name, value, limit in wanted
    ]


def text(result: dict[str, Any]) -> str:
    """The result as tables."""
    lines = [f"{result['messages']} messages of {result['people']} people, {result['callers']} clients", ""]
    for name in ("think", "saturated", "staff"):
        reads = result["reads"][name]
        lines.append(f"reads, {name}: {reads['requests']} ({reads['per_s']}/s), statuses {reads['statuses']}")
        lines.append(f"  {'':32}{'P50':>9}{'P95':>9}{'P99':>9}  ms   queries")
        for address, times in [("all", reads["all_ms"]), *reads["by_address"].items()]:
            cells = "".join(f"{times.get(share, math.nan):9.1f}" for share in ("p50", "p95", "p99"))
            lines.append(f"  {address:32}{cells}       {result['queries'].get(address, '')}")
        lines.append("")
    for name, asks in result["asks"].items():
        lines.append(f"{name}: statuses {asks['statuses']}")
        for what in ("first_ms", "end_ms", "added_first_ms", "added_end_ms"):
            times = asks.get(what)
            lines += [f"  {what:16} P50 {times['p50']:8.1f}  P95 {times['p95']:8.1f}"] if times else []
    lines.append("")
    for target in result["targets"]:
        verdict = "reached" if target["reached"] else "MISSED"
        value = "nothing" if target["value"] is None else target["value"]
        lines += [f"{verdict:8}{target['name']}: {value} of {target['limit']}"]
    lines.append(f"load average {', '.join(f'{load:.1f}' for load in result['machine']['load_average'])}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench_api", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--callers", type=int, default=CALLERS, help=f"clients side by side (default {CALLERS})")
    parser.add_argument("--seconds", type=float, default=20, help="of each phase of reads (default 20)")
    parser.add_argument("--turns", type=int, default=8, help="questions of each client (default 8)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result there as well")
    options = parser.parse_args()
    model = Plan(name="api", users=options.callers, tokens=40, first_ms=200, token_ms=20)
    bench = Bench(
        messages=options.messages,
        people=options.people,
        callers=options.callers,
        seconds=options.seconds,
        turns=options.turns,
        model=model,
    )
    began = time.monotonic()
    try:
        result = bench.run()
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    result["machine"]["seconds"] = round(time.monotonic() - began)
    print(text(result), end="\n\n")
    as_json = json.dumps(result, indent=1, ensure_ascii=False)
    print(as_json)
    if options.json:
        options.json.write_text(as_json + "\n")
    return 0 if all(target["reached"] for target in result["targets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
