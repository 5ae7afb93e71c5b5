"""What bench_servers does to one server, phase by phase; returns figures and judges nothing."""

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from . import websocket_phases as phases
from .api_gateway_load import Connections, at_rate
from .bench_api_load import get
from .bench_cpu import cpu_between, rss_bytes, tree_rss_bytes
from .bench_load import Plan
from .bench_stack import Stack
from .reporting import say
from .reporting.command import Options
from .websocket_visitor import Visitor

MIB = 2**20
WARM_SECONDS = 2.0
WARM_RATE = 20.0
LEFT_OVER_SECONDS = 0.5
PINGS_A_SECOND = 500  # of all sockets together, and of each at most one
LONGEST_END_SECONDS = 40.0
Request = Callable[[int], tuple[str, bytes]]


def requests_to(stack: Stack, tokens: Sequence[str]) -> dict[str, Request]:
    """A page of somebody who is signed in, and a small answer of JSON; each number is somebody else's request."""
    host = f"127.0.0.1:{stack.web_port}"

    def page(number: int) -> tuple[str, bytes]:
        cookie = stack.cookies[number % len(stack.cookies)]
        return "page", (
            f"GET / HTTP/1.1\r\nHost: {host}\r\nCookie: sessionid={cookie}\r\nAccept: text/html\r\n\r\n"
        ).encode()

    def read(number: int) -> tuple[str, bytes]:
        return "read", get(host, "/api/v1/me", tokens[number % len(tokens)])

    return {"page": page, "read": read}


async def measure(
    stack: Stack, process: subprocess.Popen[bytes], tokens: Sequence[str], plan: Plan, options: Options
) -> dict[str, Any]:
    """All phases on the server that runs, from its first request to its end. People of the stack: one for each socket,
    then slow readers, then one who comes and goes."""
    requests, passer_by = requests_to(stack, tokens), stack.cookies[-1]
    await _warm_up(stack, requests, plan)
    rates = {"page": options.page_rate, "read": options.read_rate}
    found: dict[str, Any] = {
        name: await ask(stack, request, rate=rates[name], seconds=options.seconds) for name, request in requests.items()
    }
    found["mib_ready"] = tree_rss_bytes(process.pid) / MIB
    without = await stand_idle(stack, passer_by, options.seconds)
    visitors = [Visitor() for _ in range(options.sockets)]
    found["open"] = await phases.open_all(stack, visitors, options.settle)
    found["mib_open"] = rss_bytes(stack.parts().pids["web"]) / MIB
    found["idle_us"] = per_socket(without, await stand_idle(stack, passer_by, options.seconds), options.sockets)
    every_s = max(1.0, options.sockets / PINGS_A_SECOND)
    found["ping"] = await phases.ping_all(stack, visitors, seconds=options.seconds, every_s=every_s)
    found["follow"] = await phases.follow(stack, plan, options.followers)
    if options.slow:
        cookies = stack.cookies[options.sockets : -1]
        found["slow"] = await phases.slow_readers(stack, visitors, cookies, plan.persona, seconds=options.seconds)
    stack.check()
    found["end"] = await end(visitors, process)
    return found


async def _warm_up(stack: Stack, requests: dict[str, Request], plan: Plan) -> None:
    """What a first use loads; connections, plans and caches."""
    for request in requests.values():
        await ask(stack, request, rate=WARM_RATE, seconds=WARM_SECONDS)
    await phases.follow(stack, plan, 2)


async def ask(stack: Stack, request: Request, *, rate: float, seconds: float) -> dict[str, Any]:
    """That request at a rate, each at its moment however late others are answered."""
    connections = Connections(stack.web_address)
    before = stack.parts().sample()
    answers = await at_rate(connections, request, rate=rate, seconds=seconds, mark=b"")
    await asyncio.sleep(LEFT_OVER_SECONDS)  # what an answer leaves to do belongs to it
    spent = cpu_between(before, stack.parts().sample())
    connections.close()
    return {
        "sent": len(answers),
        "statuses": dict(Counter(str(answer.status) for answer in answers)),
        "times_s": sorted(answer.end_s for answer in answers if answer.status == 200),
        "cpu_s": spent["web"],
    }


async def stand_idle(stack: Stack, cookie: str, seconds: float) -> dict[str, float]:
    """What each part takes of a processor while nobody asks. Somebody comes and goes once a second: with each that does
    a web process tells Redis of all who are connected, as it does wherever people are about."""
    before = stack.parts().sample()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        next_at = time.monotonic() + 1.0
        visitor = await Visitor().open(stack.web_address, cookie)
        visitor.close()
        await asyncio.sleep(max(0.0, next_at - time.monotonic()))
    after = stack.parts().sample()
    return {name: spent / (after.at - before.at) for name, spent in cpu_between(before, after).items()}


def per_socket(without: dict[str, float], with_them: dict[str, float], sockets: int) -> dict[str, float]:
    """Microseconds a second that each open socket takes of a processor, by part; what is not to be told from nothing
    may come out below it."""
    return {name: 1e6 * (with_them[name] - without[name]) / sockets for name in ("web", "postgres", "redis")}


async def end(visitors: Sequence[Visitor], process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """SIGTERM while all are open and stay: what they hear, how and when they are closed, when and how the process
    ends."""
    say("SIGTERM")
    for visitor in visitors:
        visitor.heard.clear()
    process.terminate()
    began = time.monotonic()
    closed: float | None = None
    ended: float | None = None
    while None in (closed, ended) and (now := time.monotonic() - began) < LONGEST_END_SECONDS:
        if closed is None and all(visitor.close_code is not None for visitor in visitors):
            closed = now
        if ended is None and process.poll() is not None:
            ended = now
        await asyncio.sleep(0.02)
    return {
        "sockets": len(visitors),
        "told": sum(1 for visitor in visitors if visitor.count("server.draining")),
        "closed": dict(Counter(str(visitor.close_code) for visitor in visitors)),
        "closed_s": closed,
        "ended_s": ended,
        "exit_code": process.returncode,
    }
