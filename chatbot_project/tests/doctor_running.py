"""What tests of ``manage.py doctor`` run it by: some of its checks, or the command."""

import asyncio
import io

from django.core.management import call_command

from chatbot_project.doctor.registry import CHECKS, Finding, Request
from chatbot_project.doctor.running import examine

Examined = dict[str, Finding]


def examined(*names: str, seconds: float = 10, send_mail: str = "") -> Examined:
    """What those checks, and those they need, found: by the check's name, and by ``name part``."""
    wanted = {*names, *(needed for name in names for needed in CHECKS[name].needs)}
    checks = [check for check in CHECKS.values() if check.name in wanted]
    found: Examined = {}
    for each in asyncio.run(examine(checks, Request(seconds, send_mail))):
        for finding in each.findings:
            found.setdefault(each.check.name, finding)
            found[f"{each.check.name} {finding.part}"] = finding
    return found


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()
