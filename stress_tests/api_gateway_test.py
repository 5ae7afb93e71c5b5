"""The API and the endpoint for OpenAI's clients at rising rates, and callers who meet their limits.

``python -m stress_tests.api_gateway_test [--rates 20,50,100] [--ask-rates 2,5,10]``. What is judged and how stands in
docs/stress.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import uvloop

from .api_gateway_load import LOST, OK, Connections, Exhausted, at_rate, exhaust
from .bench_api_load import Answer, get, post
from .bench_cpu import cpu_between
from .bench_load import Plan
from .bench_stack import Stack
from .bench_turns import percentiles_ms
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
from .reporting.command import Found, Options

STREAM, JSON = "text/event-stream", "application/json"
QUESTION = "What comes after 7, and why does it come there?"
MOST_READ_MS, MOST_ADDED_MS = 50.0, 150.0
MINUTE = 60.0
#: With fewer samples a percentile is the largest of them, and told as nothing else.
LEAST_SAMPLES = {"p50": 1, "p95": 20, "p99": 100, "max": 1}
#: Callers who are kept for one purpose: two meet a limit, one asks beside them.
RESERVED = 3
Request = Callable[[int], tuple[str, bytes]]


class Gateway:
    """Who calls what. ``made`` is of bench_api_seed."""

    def __init__(self, stack: Stack, made: Mapping[str, Any], plan: Plan) -> None:
        self.host = f"127.0.0.1:{stack.web_port}"
        self.callers = made["callers"][:-RESERVED]
        self.greedy, self.curious, self.bystander = made["callers"][-RESERVED:]
        self._plan = plan

    def read(self, number: int) -> tuple[str, bytes]:
        caller = self.callers[number % len(self.callers)]
        name, path = random.Random(number).choice(list(caller["addresses"].items()))
        return name, get(self.host, f"/api/v1/{path}", caller["token"])

    def ask(self, number: int, *, accept: str, caller: Mapping[str, Any] | None = None) -> tuple[str, bytes]:
        """By the API, as JSON or Server-Sent Events."""
        who = caller or self.callers[number % len(self.callers)]
        body = {"text": QUESTION, "persona": self._plan.persona}
        return "ask", post(self.host, "/api/v1/chat/send", who["token"], body, accept)

    def complete(self, number: int, *, stream: bool) -> tuple[str, bytes]:
        """As OpenAI's clients ask."""
        token = self.callers[number % len(self.callers)]["token"]
        asked = [{"role": "user", "content": QUESTION}]
        body = {"model": f"persona:{self._plan.persona}", "messages": asked, "stream": stream}
        return "complete", post(self.host, "/v1/chat/completions", token, body, STREAM if stream else JSON)

    def asks(self) -> dict[str, tuple[Request, bytes]]:
        """Each way of asking, and by what its first text is known."""
        return {
            "chat/send, JSON": (lambda number: self.ask(number, accept=JSON), b""),
            "chat/send, SSE": (lambda number: self.ask(number, accept=STREAM), b"event: reply.delta"),
            "/v1, whole": (lambda number: self.complete(number, stream=False), b""),
            "/v1, streamed": (lambda number: self.complete(number, stream=True), b'"content":"'),
        }


async def strain(stack: Stack, gateway: Gateway, options: Options) -> dict[str, Any]:
    """All phases, one after the other."""
    connections = Connections(stack.web_address)
    await at_rate(connections, gateway.read, rate=10, seconds=2, mark=b"")  # connections, plans and caches
    found: dict[str, Any] = {"reads": [], "asks": {}}
    for rate in options.rates:
        say(f"{rate:g} reads a second")
        found["reads"].append(await _step(stack, connections, gateway.read, rate, options.seconds, b""))
    for name, (request, mark) in gateway.asks().items():
        found["asks"][name] = []
        for rate in options.ask_rates:
            say(f"{name}: {rate:g} questions a second")
            found["asks"][name].append(await _step(stack, connections, request, rate, options.seconds, mark))
    say("callers who meet their limits")
    found["limits"] = await _meet_limits(connections, gateway, options)
    connections.close()
    return found


async def _step(
    stack: Stack, connections: Connections, request: Request, rate: float, seconds: float, mark: bytes
) -> dict[str, Any]:
    before = stack.parts().sample()
    answers = await at_rate(connections, request, rate=rate, seconds=seconds, mark=mark)
    await asyncio.sleep(0.5)  # what an answer leaves to do belongs to it
    stack.check()
    return step_figures(rate, answers) | {"cpu_s": cpu_between(before, stack.parts().sample())}


def step_figures(rate: float, answers: Sequence[Answer]) -> dict[str, Any]:
    good = [answer for answer in answers if answer.status == OK]
    return {
        "rate": rate,
        "sent": len(answers),
        "statuses": {str(status): number for status, number in Counter(a.status for a in answers).items()},
        "first_ms": told_ms([answer.first_s for answer in good]),
        "end_ms": told_ms([answer.end_s for answer in good]),
    }


def told_ms(seconds: Sequence[float]) -> dict[str, float | None]:
    """As ``percentiles_ms``; None for what there are too few samples for."""
    found = percentiles_ms(seconds)
    return {name: ms if len(seconds) >= LEAST_SAMPLES[name] else None for name, ms in found.items()}


async def _meet_limits(connections: Connections, gateway: Gateway, options: Options) -> dict[str, Any]:
    """A person who reads on and on, one who asks on and on, and an address that nobody signed in from, all at once;
    meanwhile somebody else reads as they should."""
    host = gateway.host
    done = asyncio.Event()

    async def stand_by() -> list[Answer]:
        answers = []
        while not done.is_set():
            answers.append(await connections.request("me", get(host, "/api/v1/me", gateway.bystander["token"])))
            await asyncio.sleep(1.0)
        return answers

    beside = asyncio.create_task(stand_by())
    reads = get(host, "/api/v1/me", gateway.greedy["token"])
    nobody = get(host, "/api/v1/personas")
    met = await asyncio.gather(
        exhaust(connections, lambda _: reads, most=2 * options.limit),
        exhaust(connections, lambda n: gateway.ask(n, accept=JSON, caller=gateway.curious)[1], most=2 * options.asks),
        exhaust(connections, lambda _: nobody, most=2 * options.limit),
    )
    done.set()
    limits = (options.limit, options.asks, options.limit)
    names = ("requests of a person", "questions of a person", "requests of an address")
    return {
        "met": [limit_figures(name, limit, each) for name, limit, each in zip(names, limits, met, strict=True)],
        "bystander": step_figures(1.0, await beside),
    }


def limit_figures(name: str, limit: int, met: Exhausted) -> dict[str, Any]:
    waits = [answer.retry_after for answer in met.refusals]
    return {
        "name": name,
        "limit": limit,
        "accepted": met.accepted,
        "seconds": met.seconds,
        "refused": len(waits),
        "waits_named": sum(1 for wait in waits if wait is not None and 1 <= wait <= MINUTE),
        "longest_wait_s": max((wait for wait in waits if wait is not None), default=None),
        "again": met.again,
        "statuses": {str(status): number for status, number in Counter(a.status for a in met.answers).items()},
    }


def judged(found: Mapping[str, Any], model_s: float) -> list[Check]:
    """What is wanted of the API against what was found; ``model_s`` is what the model itself takes for a reply. Times
    are judged at the lowest rate alone."""
    steps = [*found["reads"], *(step for steps in found["asks"].values() for step in steps)]
    good = sum(step["statuses"].get("200", 0) for step in steps)
    limits = found["limits"]
    broken = sum(
        number
        for each in (*steps, *limits["met"], limits["bystander"])
        for status, number in each["statuses"].items()
        if int(status) >= 500 or status == str(LOST)
    )
    checks = [
        exactly("requests answered with 200", good, sum(step["sent"] for step in steps)),
        exactly("answers of 5xx, or none at all", broken, 0),
        _p95_check("reads", found["reads"][0], found["reads"][0]["end_ms"]["p95"], MOST_READ_MS),
    ]
    for name, (first, *_) in found["asks"].items():
        p95 = first["end_ms"]["p95"]
        added = None if p95 is None else p95 - 1000 * model_s
        checks.append(_p95_check(f"added by {name}", first, added, MOST_ADDED_MS))
    for met in limits["met"]:
        checks += _limit_checks(met)
    beside = limits["bystander"]
    checks.append(exactly("somebody else's requests meanwhile", beside["statuses"].get("200", 0), beside["sent"]))
    return checks


def _p95_check(name: str, step: Mapping[str, Any], value: float | None, most_ms: float) -> Check:
    """Unclear where too few were sent for a P95; missed where enough were, and too few answered."""
    check = at_most(f"{name} at {step['rate']:g}/s, P95", value, most_ms, "ms")
    return replace(check, passed=None) if step["sent"] < LEAST_SAMPLES["p95"] else check


def _limit_checks(met: Mapping[str, Any]) -> list[Check]:
    name, limit = met["name"], met["limit"]
    if met["seconds"] >= MINUTE:
        return [Check(f"{name}: let in", f"{limit:,} in a minute", "too slow to meet the limit", None)]
    return [
        Check(f"{name}: let in, then 429", f"{limit:,}", f"{met['accepted']:,}",
              met["accepted"] == limit and met["refused"] > 0),
        exactly(f"{name}: refusals that say how long to wait", met["waits_named"], met["refused"]),
        Check(f"{name}: let in again after that", "yes", "yes" if met["again"] else "no", met["again"]),
    ]  # fmt: skip


def report_of(found: Mapping[str, Any], options: Options, machine: Mapping[str, Any], model_s: float) -> Report:
    fastest, slowest_ask = found["reads"][-1], next(iter(found["asks"].values()))[0]
    return Report(
        name="api_gateway_test",
        title="API gateway",
        headline=f"{fastest['rate']:g} reads a second: {_late(fastest)}; "
        + "; ".join(f"{name} {steps[-1]['rate']:g}/s: {_late(steps[-1])}" for name, steps in found["asks"].items())
        + f" (the model takes {1000 * model_s:.0f} ms). Times are judged at {found['reads'][0]['rate']:g} reads and "
        f"{slowest_ask['rate']:g} questions a second alone.",
        machine=machine,
        parameters=parameters_of(options),
        checks=judged(found, model_s),
        tables=[
            Table("Reads", STEP_HEAD, [_step_row("reads", step) for step in found["reads"]], STEP_NOTE),
            Table(
                "Questions", STEP_HEAD,
                [_step_row(name, step) for name, steps in found["asks"].items() for step in steps],
                f"{STEP_NOTE} The model itself takes {1000 * model_s:.0f} ms.",
            ),
            Table(
                "Limits", ("of", "a minute", "let in", "within s", "429", "longest wait s"),
                [(met["name"], met["limit"], met["accepted"], met["seconds"], met["refused"], met["longest_wait_s"])
                 for met in found["limits"]["met"]],
            ),
        ],
        plots=[
            Plot("Reads", "reads a second", "ms", [
                Series(name, _points(found["reads"], share))
                for name, share in (("P50", "p50"), ("P95", "p95"), ("P99", "p99"))
            ]),
            Plot("Questions, P95", "questions a second", "ms", [
                Series(name, _points(steps, "p95")) for name, steps in found["asks"].items()
            ]),
        ],
    )  # fmt: skip


STEP_HEAD = (
    "what",
    "a second",
    "sent",
    "first text P50 ms",
    "P50 ms",
    "P95 ms",
    "P99 ms",
    "max ms",
    "web s",
    "statuses",
)
STEP_NOTE = (
    "Times from the moment at which a request was due, however late others were answered; judged at the lowest rate "
    "alone. No P95 of fewer than 20 answers, no P99 of fewer than 100. Processor time of web."
)


def _late(step: Mapping[str, Any]) -> str:
    """Its P95, or the largest of too few for one."""
    times = step["end_ms"]
    name, ms = ("max", times["max"]) if times["p95"] is None else ("P95", times["p95"])
    return "no answer" if ms is None else f"{name} {ms:.0f} ms"


def _points(steps: Sequence[Mapping[str, Any]], share: str) -> list[tuple[float, float]]:
    return [(step["rate"], step["end_ms"][share]) for step in steps if step["end_ms"][share] is not None]


def _step_row(name: str, step: Mapping[str, Any]) -> tuple[str | int | float | None, ...]:
    end = step["end_ms"]
    first = step["first_ms"]["p50"] if step["first_ms"]["p50"] != end["p50"] else None
    statuses = ", ".join(f"{number} × {status}" for status, number in step["statuses"].items())
    cpu = step.get("cpu_s", {}).get("web")
    return name, step["rate"], step["sent"], first, end["p50"], end["p95"], end["p99"], end["max"], cpu, statuses


def run(options: Options) -> Found:
    """Raises StackError."""
    plan = Plan(name="api", users=1, tokens=options.tokens, first_ms=100, token_ms=10)
    machine = describe_machine()
    overrides = {
        "RATE_LIMIT_REQUESTS": f"{options.limit}/min",
        "RATE_LIMIT_ASKS": f"{options.asks}/min",
        "RATE_LIMIT_ADDRESS": f"{options.limit}/min",
    }
    personas = {plan.persona: f"bench/{plan.model}"}
    with Stack(users=0, personas={}, overrides=overrides) as stack:
        say(f"{options.messages} messages")
        callers = options.callers + RESERVED
        rows = {
            "people": 2 * callers, "messages": options.messages, "callers": callers, "personas": personas,
        }  # fmt: skip
        gateway = Gateway(stack, stack.python("-m", "stress_tests.bench_api_seed", "make", given=rows), plan)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(strain(stack, gateway, options))
        found["audit"] = stack.audit()
    return report_of(found, options, machine, plan.reply_s), found


def rates(word: str) -> list[float]:
    """An argument's type: rates a second in rising order, with commas."""
    found = [between(0.1, 1000, float)(each) for each in word.split(",")]
    if found != sorted(found):
        raise argparse.ArgumentTypeError("rates have to rise")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("api_gateway_test", __doc__)
    parser.add_argument("--rates", type=rates, default=rates("20,50,100"), help="reads a second, with commas")
    parser.add_argument("--ask-rates", type=rates, default=rates("2,5,10"), help="questions a second, with commas")
    parser.add_argument("--seconds", type=between(1, 600, float), default=10, help="of each rate")
    parser.add_argument("--callers", type=between(1, 500), default=50)
    parser.add_argument("--messages", type=between(2000, 10_000_000), default=20_000, help="in the database")
    parser.add_argument("--limit", type=between(30, 3000), default=300, help="requests a minute of each person")
    parser.add_argument("--asks", type=between(5, 600), default=60, help="questions a minute of each person")
    parser.add_argument("--tokens", type=between(1, 2000), default=20, help="of a reply")
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
