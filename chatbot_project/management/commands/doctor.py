"""``manage.py doctor``: is everything there and does it work, and what to do where it does not."""

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

import chatbot_project.doctor  # noqa: F401  registers the checks
from chatbot_project.doctor.registry import CHECKS, Check, Request
from chatbot_project.doctor.report import as_json, summary, without_secrets, worst
from chatbot_project.doctor.running import Examined, examine

USUAL_SECONDS = 15.0


class Command(BaseCommand):
    help = (
        "Sends something through every part of the installation and says what came back, with what to do where it is "
        "not right. Exit code 0 where nothing failed, else 1."
    )
    requires_system_checks: list[str] = []  # the check “production” tells of them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this check alone; repeatable")
        parser.add_argument(
            "--skip", action="append", default=[], metavar="NAME", help="neither it nor what needs it; repeatable"
        )
        parser.add_argument("--list", action="store_true", help="the names of the checks, and no more")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
        parser.add_argument("--strict", action="store_true", help="warnings make the exit code 1 as well")
        parser.add_argument("--timeout", type=float, default=USUAL_SECONDS, metavar="SECONDS", help="bound of each")
        parser.add_argument("--send-mail", default="", metavar="ADDRESS", help="also send a mail there")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine and tell. Exits with 1 where something is amiss; raises CommandError for a name that is none."""
        if options["list"]:
            for check in CHECKS.values():
                self.stdout.write(f"{check.name:<13}  {check.title}")
            return
        began = perf_counter()
        request = Request(seconds=options["timeout"], send_mail=options["send_mail"])
        examined = without_secrets(asyncio.run(examine(chosen(options["only"], options["skip"]), request)))
        seconds = perf_counter() - began
        if options["json"]:
            self.stdout.write(as_json(examined, seconds))
        else:
            self._tell(examined, seconds)
        bad = {"failed", "warning"} if options["strict"] else {"failed"}
        if worst(examined) in bad:
            sys.exit(1)

    def _tell(self, examined: Iterable[Examined], seconds: float) -> None:
        styles = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "failed": self.style.ERROR}
        examined = list(examined)
        for each in examined:
            for finding in each.findings:
                style = styles.get(finding.status, str)
                name = f"{each.check.name} {finding.part}".strip()
                self.stdout.write(f"{style(f'{finding.status:<7}')}  {name:<20}  {finding.found}")
                if finding.fix:
                    self.stdout.write(f"{'':<31}→ {finding.fix}")
        self.stdout.write(f"\n{summary(examined)}, in {seconds:.1f} s")


def chosen(only: list[str], skip: list[str]) -> list[Check]:
    """The checks named by ``only``, and those they need, or all; without those named by ``skip``, nor those that need
    them. Raises CommandError for a name that is none."""
    if unknown := {*only, *skip} - set(CHECKS):
        raise CommandError(f"No check is called {', '.join(sorted(unknown))}. manage.py doctor --list names them.")
    wanted = {*only, *(needed for name in only for needed in CHECKS[name].needs)} or set(CHECKS)
    left_out = set(skip)
    for check in CHECKS.values():  # those that are needed come first
        if left_out.intersection(check.needs):
            left_out.add(check.name)
    return [check for check in CHECKS.values() if check.name in wanted - left_out]
