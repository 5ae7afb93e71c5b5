"""``python -m stress_tests.api_fuzz --cases 50000``: the whole API tried against its own schema, as everybody.

Starts the product with a fake model server in a temporary directory, and has schemathesis call every operation of
``/api/schema/`` as a user, a moderator, an admin, a guest and nobody: with its examples, with the corners of every
field, with random requests good and bad, and in sequences that make, use and delete. Every answer goes through every
check that there is. What is left out of a check stands in api_fuzz_rules.py, each with its reason.

Exit code: 0 where nothing was found, 1 where something was, 2 where it could not run.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from .api_fuzz_report import Report
from .api_fuzz_rules import CHECKS, OPERATIONS, is_told_by_the_schema
from .bench_stack import Stack, StackError
from .reporting import say

NOBODY = "nobody"
CALLERS = ("user", "moderator", "admin", "guest", NOBODY)
PHASES = ("examples", "coverage", "fuzzing", "stateful")
LIMITS = ("RATE_LIMIT_REQUESTS", "RATE_LIMIT_ASKS", "RATE_LIMIT_GUEST", "RATE_LIMIT_ADDRESS")
WITHOUT_LIMITS = dict.fromkeys(LIMITS, "50000/s")
#: The model answers in few tokens and at once.
MODEL = "fake?tokens=3&token_ms=1&first_ms=1"


class People(Protocol):
    """Who calls: api_fuzz_people.People, which needs the product's settings."""

    def token(self, caller: str) -> str: ...

    def forget_tries(self) -> None: ...

    def words(self) -> Mapping[str, Sequence[str]]: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is tried. ``examples`` is for each operation and phase of random requests, in each round.

    A round goes through all callers; the second and later ones, in ``later_phases`` alone, go on until there are
    ``cases`` requests or ``seconds`` are over.
    """

    cases: int
    seconds: float
    seed: int = 1
    callers: Sequence[str] = CALLERS
    examples: int = 60
    phases: Sequence[str] = PHASES
    later_phases: Sequence[str] = ("fuzzing", "stateful")
    operations: str = ""


class Fuzz:
    """One run against the server at ``url``."""

    def __init__(self, url: str, people: People, plan: Plan) -> None:
        self.url, self.people, self.plan = url, people, plan
        self.report = Report()
        self._schema: dict[str, Any] = requests.get(f"{url}/api/schema/", timeout=60).json()
        self._deadline = time.monotonic() + plan.seconds

    def run(self) -> Report:
        """Try until the plan is fulfilled."""
        began, number = time.monotonic(), 0
        while not self._is_done:
            for caller in self.plan.callers:
                if not self._is_done:
                    self._try(caller, number)
            number += 1
        self.report.seconds = time.monotonic() - began
        return self.report

    @property
    def _is_done(self) -> bool:
        return self.report.cases >= self.plan.cases or time.monotonic() >= self._deadline

    def _try(self, caller: str, number: int) -> None:
        say(
            f"round {number + 1} as {caller}; {self.report.cases} requests, {len(self.report.findings)} findings so far"
        )
        if caller != NOBODY:
            self.people.token(caller)  # so that the words are theirs
        schema = schemathesis.openapi.from_dict(dict(self._chosen()), config=self._config(number))
        self._tell_who_calls(schema, caller)
        schema.hook("filter_failure")(is_told_by_the_schema)
        stream = from_schema(schema).execute()
        for event in stream:
            if isinstance(event, events.ScenarioFinished):
                self.report.add(caller, event.phase.value, event.recorder)
            elif isinstance(event, (events.NonFatalError, events.FatalError)):
                self.report.add_error(caller, event)
            if self._is_done:
                stream.stop()

    def _chosen(self) -> Mapping[str, Any]:
        """The schema with those paths alone that the plan names: the engine passes over what the library leaves out."""
        paths = {path: each for path, each in self._schema["paths"].items() if re.search(self.plan.operations, path)}
        return {**self._schema, "paths": paths}

    def _config(self, number: int) -> SchemathesisConfig:
        phases = self.plan.later_phases if number else self.plan.phases
        words = {name: {"values": list(values)} for name, values in self.people.words().items()}
        return SchemathesisConfig.from_dict(
            {
                "seed": self.plan.seed * 1000 + number,
                "base-url": self.url,
                "continue-on-failure": True,
                "request-timeout": 30,
                "generation": {"max-examples": self.plan.examples, "no-shrink": True, "database": "none"},
                "phases": {name: {"enabled": name in phases} for name in PHASES},
                "checks": CHECKS,
                "operations": OPERATIONS,
                "warnings": False,
                "cache": {"enabled": False},  # nothing of one run goes into the next
                # Its tokens are worth nothing once the run is over, and without them a request cannot be repeated.
                "output": {"sanitization": {"enabled": False}},
                "dictionaries": words,
                "parameters": {f"path.{name}": {"dictionary": name, "probability": 0.5} for name in words},
            }
        )

    def _tell_who_calls(self, schema: Any, caller: str) -> None:
        people = self.people

        class Bearer:
            """A token that is good now, however the last request ended the one before."""

            def get(self, case: Any, context: Any) -> str | None:
                people.forget_tries()
                return people.token(caller) if caller != NOBODY else None

            def set(self, case: Any, token: str | None, context: Any) -> None:
                if token:
                    case.headers["Authorization"] = f"Bearer {token}"

        schema.auth(refresh_interval=None)(Bearer)


def main() -> int:
    parser = argparse.ArgumentParser(prog="api_fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=50_000, help="requests in all (default 50000)")
    parser.add_argument("--minutes", type=float, default=60, help="stop then, however many there were (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=60, help="random requests an operation and round (default 60)")
    parser.add_argument("--callers", default=",".join(CALLERS), help="who calls, with commas")
    parser.add_argument("--phases", default=",".join(PHASES), help="of the first round, with commas")
    parser.add_argument("--operations", default="", metavar="REGEX", help="only paths that match")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the counts and findings there as well")
    options = parser.parse_args()
    plan = Plan(
        cases=options.cases,
        seconds=options.minutes * 60,
        seed=options.seed,
        callers=options.callers.split(","),
        examples=options.examples,
        phases=options.phases.split(","),
        operations=options.operations,
    )
    try:
        overrides = {**WITHOUT_LIMITS, "DEFAULT_MODEL": f"bench/{MODEL}"}
        with Stack(users=0, personas={"fuzz": f"bench/{MODEL}"}, overrides=overrides) as stack:
            os.environ |= {**stack.environment, "DJANGO_SETTINGS_MODULE": "chatbot_project.settings"}
            from .api_fuzz_people import People  # Django reads the environment as it is loaded

            report = Fuzz(f"http://127.0.0.1:{stack.web_port}", People(), plan).run()
            stack.check()
    except StackError as error:
        print(error, file=sys.stderr)
        return 2
    print(report.text())
    if options.json:
        options.json.write_text(report.as_json())
    return 1 if report.findings or report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
