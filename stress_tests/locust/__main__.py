"""Hundreds of scripted people over HTTP and WebSocket: locust, without its page, on a stack of its own.

``python -m stress_tests.locust [--users 100] [--seconds 60]``. It needs what requirements-locust.txt names, in this
environment or in that of another Python (``--python``). How it is judged stands in docs/stress.md.
"""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..bench_load import Plan
from ..bench_stack import KEPT_VARIABLES, ROOT, Stack, StackError
from ..reporting import between, command_parser, describe_machine, run_command, say
from ..reporting.command import Found, Options
from .people import MOST_SECONDS, MOST_USERS, PEOPLE, STOP_SECONDS
from .reports import errors_of, figures_of, history_of, report_of

START_SECONDS = 30
LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def run(options: Options) -> Found:
    """Raises StackError, and ValueError where locust is not installed."""
    try:
        asked = subprocess.run([options.python, "-c", "import locust"], capture_output=True, check=False)
    except OSError as error:
        raise ValueError(f"{options.python} does not start: {error.strerror}") from error
    if asked.returncode:
        raise ValueError("locust is not installed there: pip install -r requirements-locust.txt, or name its --python")
    plan = Plan(name="locust", users=1, tokens=options.tokens, first_ms=200, token_ms=20)
    machine = describe_machine()
    limits = dict.fromkeys(("RATE_LIMIT_REQUESTS", "RATE_LIMIT_ASKS", "RATE_LIMIT_ADDRESS"), "50000/s")
    with (
        Stack(users=options.users, personas={plan.persona: f"bench/{plan.model}"}, overrides=limits) as stack,
        tempfile.TemporaryDirectory(prefix="nono-locust-") as name,
    ):
        tokens = stack.python("-m", "stress_tests.bench_seed", "tokens")
        people = [
            {"cookie": cookie, "token": token, "persona": plan.persona}
            for cookie, token in zip(stack.cookies, tokens, strict=True)
        ]
        found = _swarm(stack, people, options, Path(name))
        stack.check()
        found["audit"] = stack.audit()
    return report_of(found, options, machine), found


def _swarm(stack: Stack, people: list[dict[str, str]], options: Options, directory: Path) -> dict[str, Any]:
    (directory / "people.json").write_text(json.dumps(people))
    environment = {name: os.environ[name] for name in (*KEPT_VARIABLES, "PYTHONPATH") if name in os.environ}
    say(f"{options.users} people for {options.seconds} s")
    command = [
        options.python, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--json", "--only-summary",
        "--host", f"http://127.0.0.1:{stack.web_port}", "--users", str(options.users),
        "--spawn-rate", str(options.spawn_rate), "--run-time", f"{options.seconds}s",
        "--stop-timeout", str(STOP_SECONDS),
        "--csv", str(directory / "run"), "--csv-full-history", "--exit-code-on-error", "0",
    ]  # fmt: skip
    most_seconds = START_SECONDS + options.seconds + options.users / options.spawn_rate + STOP_SECONDS
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment | {PEOPLE: str(directory / "people.json")}, capture_output=True,
            text=True, check=False, timeout=most_seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise StackError(f"locust did not end within {most_seconds:g} s") from error
    if done.returncode:
        raise StackError(f"locust ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return {
        "requests": figures_of(json.loads(done.stdout)),
        "failures": _failures((directory / "run_failures.csv").read_text()),
        "errors": errors_of((directory / "run_exceptions.csv").read_text()),
        "history": history_of((directory / "run_stats_history.csv").read_text()),
    }


def _failures(text: str) -> list[dict[str, Any]]:
    return [
        {"name": row["Name"], "error": row["Error"], "occurrences": int(row["Occurrences"])}
        for row in csv.DictReader(io.StringIO(text))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("locust", __doc__)
    parser.add_argument("--users", type=between(1, MOST_USERS), default=100)
    parser.add_argument("--seconds", type=between(5, MOST_SECONDS), default=60)
    parser.add_argument("--spawn-rate", type=between(1, 100, float), default=10, help="people who come a second")
    parser.add_argument("--tokens", type=between(1, 2000), default=40, help="of a reply")
    parser.add_argument("--python", default=sys.executable, help="the Python that has locust, else this one")
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
