"""docs/api.md: its commands are run in their order against the server, and what it says of errors is compared.

Below a command, ``# NAME=.path`` keeps a value of its JSON for the commands after it, ``# NAME=<Header>`` one of its
headers, and ``# fails: 404 not_found`` says how it is refused.
"""

import ast
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.api_keys import create_key
from accounts.scopes import Scope
from accounts.tests.factories import PASSWORD, make_moderator, make_user
from chatbot_project.tests.documents import running
from conversations.models import Conversation, Message
from personas.models import Persona
from stress_tests import ws_conformance

from .stack import Stack

ROOT = Path(settings.BASE_DIR)
GUIDE = (ROOT / "docs" / "api.md").read_text()
# ``curl`` as the guide has it, but silent, bounded, and failing where the server refuses.
WRAPPER = 'curl() { command curl --silent --show-error --max-time 30 --fail-with-body -D "$HEADERS" "$@"; }\n'
REFUSED = 22  # curl's exit code for it


@dataclass
class Shell:
    """Runs the guide's commands one after the other; ``names`` are the values they keep."""

    headers: Path
    names: dict[str, str]
    said: list[str] = field(default_factory=list)

    def run(self, command: str) -> None:
        environment = os.environ | self.names | {"HEADERS": str(self.headers)}
        done = subprocess.run(
            ["bash", "-c", WRAPPER + command], capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        self.said.append(done.stdout)
        expected = re.search(r"^# fails: (\d+) (\w+)$", command, re.MULTILINE)
        if expected is None:
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        else:
            assert done.returncode == REFUSED, (command, done.stdout)
            told = json.loads(done.stdout)
            assert (str(told["status"]), told["code"]) == expected.groups(), command
        for name, kept in re.findall(r"^# (\w+)=(\S+)$", command, re.MULTILINE):
            self.names[name] = self._value(kept, done.stdout)

    def _value(self, kept: str, body: str) -> str:
        if kept.startswith("<"):
            found = re.search(rf"^{kept[1:-1]}: (.*?)\r?$", self.headers.read_text(), re.MULTILINE | re.IGNORECASE)
            assert found, kept
            return found[1]
        value: Any = json.loads(body)
        for part in kept.removeprefix(".").split("."):
            value = value[part]
        return str(value)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_of_the_guide_does_what_it_says(live_stack: Stack, persona: Persona, tmp_path: Path) -> None:
    user = make_user(password=PASSWORD)
    _key, staff_key = create_key(user=make_moderator(), name="figures", scopes=[Scope.STAFF])
    names = {"NONO": live_stack.url, "EMAIL": user.email, "PASSWORD": PASSWORD, "STAFF_KEY": staff_key}
    shell = Shell(tmp_path / "headers", names)
    with running("guide") as left:
        for command in left.take_all():
            shell.run(command.text)
    streams = [said for said in shell.said if said.startswith("retry:")]
    assert len(streams) == 2
    assert all("\nevent: reply.completed\n" in said for said in streams)
    assert shell.names["AGAIN"] == shell.names["EMPTY"], "the key was used before"
    assert shell.names["SOCKET"].startswith(live_stack.url.replace("http", "ws") + "/ws/chat/?ticket=")
    assert Conversation.objects.get(pk=shell.names["EMPTY"]).title == "Renamed"
    assert Message.objects.filter(role="user").count() == 3


def test_what_the_guide_says_of_errors_is_so_and_lacks_none() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| (`.*?) \| .* \|$", GUIDE, re.MULTILINE)
    told = {code: status.split(", ") for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert len(told) > 40
    raised = _raised("accounts", "conversations", "chatbot_project/lib")
    assert set(raised) - set(told) == ELSEWHERE, "codes that the guide does not name"
    assert set(told) - set(raised) == OF_THE_FRAMEWORK, "codes that nothing raises"
    wrong = {code for code, statuses in told.items() if code in raised and not raised[code] & set(statuses)}
    assert wrong == set(), "another status"


# Raised by a page of the site, or where models are asked in OpenAI's way, which has an error shape of its own.
ELSEWHERE = {
    *("reason_too_short", "access_ended", "context_length_exceeded", "held_already", "retention_too_short"),
    "retention_too_long",
    "bad_request",
}
# Made of the framework's own exceptions.
OF_THE_FRAMEWORK = {"method_not_allowed", "not_acceptable", "unsupported_media_type"}


def _raised(*folders: str) -> dict[str, set[str]]:
    """Each code of an ApplicationError in the source, with its statuses."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            if {"tests", "openai_api"} & set(path.parts):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _is_refusal(node):
                    code, status = _code_and_status(node)
                    found.setdefault(code, set()).add(status)
    return found


def _is_refusal(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    first = call.args[0] if call.args else None
    is_code = isinstance(first, ast.Constant) and re.fullmatch("[a-z_]+", str(first.value)) is not None
    return is_code and name in ("ApplicationError", "NotSignedIn", "super().__init__")


def _code_and_status(call: ast.Call) -> tuple[str, str]:
    code = ast.literal_eval(call.args[0])
    status = next((keyword.value for keyword in call.keywords if keyword.arg == "status"), None)
    if status is None:
        return code, "401" if ast.unparse(call.func) == "NotSignedIn" else "400"
    return code, ast.unparse(status)


def test_what_the_guide_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", GUIDE)
    assert len(links) >= 4
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_guide_shows_the_conformance_script_as_it_prints() -> None:
    shown = re.findall(r"^pass  (\S+) +(.*)$", GUIDE, re.MULTILINE)
    checks = {check.name: check.title for check in ws_conformance.CHECKS}
    assert shown
    assert all(checks[name] == title for name, title in shown)
