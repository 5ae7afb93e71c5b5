"""What serves the web process best: uvicorn as ``manage.py runweb`` has it, daphne, or granian.

``python -m stress_tests.bench_servers [--rounds 2] [--python PYTHON]``. The product's own ASGI application under each,
one after the other and back again. granian is in requirements-granian.txt; a server that is not installed is left out.
How it measures stands in docs/benchmarks.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from .bench_load import Plan
from .bench_servers_report import OURS, order_of, report_of, together
from .bench_servers_run import measure
from .bench_stack import Stack, runweb
from .reporting import between, command_parser, describe_machine, run_command, say
from .reporting.command import Found, Options

APPLICATION = "stress_tests.bench_servers_app:application"
LIMITS = ("RATE_LIMIT_REQUESTS", "RATE_LIMIT_ASKS", "RATE_LIMIT_ADDRESS")
BACKLOG = 2048  # as runweb listens


@dataclass(frozen=True)
class Server:
    """``command`` gives the arguments of Python that serve on a port; ``how`` says what is worth knowing of them."""

    command: Callable[[int], list[str]]
    how: str


def _daphne(port: int) -> list[str]:
    listen = f"tcp:{port}:interface=127.0.0.1:backlog={BACKLOG}"
    return ["-m", "daphne", "--verbosity", "0", "--no-server-name", "--endpoint", listen, APPLICATION]


def _granian(port: int) -> list[str]:
    return [
        "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--http", "1",
        "--workers", "1", "--runtime-mode", "st", "--runtime-threads", "1", "--loop", "uvloop", "--no-access-log",
        "--backlog", str(BACKLOG), "--backpressure", "16384", "--workers-kill-timeout", "30", APPLICATION,
    ]  # fmt: skip


SERVERS = {
    OURS: Server(runweb, "manage.py runweb: uvloop, httptools, websockets-sansio"),
    "daphne": Server(_daphne, "its command: Twisted on asyncio's own loop, autobahn"),
    "granian": Server(_granian, "its command: one worker, one thread of Rust, uvloop"),
}


def installed(python: str, names: Sequence[str]) -> dict[str, str]:
    """Versions of those servers that ``python`` has. Raises ValueError where there is no such Python."""
    found = {}
    for name in names:
        code = f"import importlib.metadata; print(importlib.metadata.version({name!r}))"
        try:
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        except OSError as error:
            raise ValueError(f"{python}: {error.strerror}") from None
        if done.returncode == 0:
            found[name] = done.stdout.strip()
    return found


def run(options: Options) -> Found:
    """Raises StackError, and ValueError where none of the servers is installed."""
    versions = installed(options.python, options.servers)
    for name in options.servers:
        if name not in versions:
            say(f"{name} is not installed there and is left out (granian: requirements-granian.txt, --python)")
    if not versions:
        raise ValueError(f"{options.python} has none of {', '.join(options.servers)}")
    plan = Plan(name="follow", users=1, tokens=options.tokens, first_ms=200, token_ms=10)
    machine = describe_machine()
    legs: dict[str, list[dict[str, Any]]] = {name: [] for name in versions}
    with (
        Stack(
            users=options.sockets + options.slow + 1, personas={plan.persona: f"bench/{plan.model}"}, web=0,
            overrides=dict.fromkeys(LIMITS, "50000/s"),
        ) as stack,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):  # fmt: skip
        tokens = stack.python("-m", "stress_tests.bench_seed", "tokens")
        for name in order_of(list(versions), options.rounds):
            say(name)
            with stack.serving(SERVERS[name].command, options.python) as process:
                legs[name].append(runner.run(measure(stack, process, tokens, plan, options)))
    found = {name: together(each) for name, each in legs.items()}
    how = {name: server.how for name, server in SERVERS.items()}
    return report_of(found, versions, how, options, machine), {"servers": found, "versions": versions}


def servers(word: str) -> list[str]:
    """An argument's type: names of servers, with commas."""
    names = word.split(",")
    if unknown := [name for name in names if name not in SERVERS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(SERVERS)}")
    return list(dict.fromkeys(names))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("bench_servers", __doc__)
    parser.add_argument("--servers", type=servers, default=list(SERVERS), help="with commas (all)")
    parser.add_argument("--rounds", type=between(1, 10), default=2, help="of all of them")
    parser.add_argument("--seconds", type=between(1, 120, float), default=8, help="of each phase")
    parser.add_argument("--page-rate", type=between(1, 500, float), default=20, help="pages a second")
    parser.add_argument("--read-rate", type=between(1, 2000, float), default=60, help="small answers of JSON a second")
    parser.add_argument("--sockets", type=between(1, 5000), default=500)
    parser.add_argument("--followers", type=between(1, 45), default=40, help="tabs of one person, which may have 50")
    parser.add_argument("--tokens", type=between(1, 2000), default=100, help="of the reply that they follow")
    parser.add_argument("--slow", type=between(0, 20), default=0, help="readers that do not read; half a minute more")
    parser.add_argument("--settle", type=between(0, 60, float), default=2, metavar="SECONDS", help="after opening")
    parser.add_argument(
        "--python", default=sys.executable, help="the Python that serves: with the product, and granian"
    )
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
