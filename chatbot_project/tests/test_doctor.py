"""``manage.py doctor``: what the command says and how it ends. Checks are seen to pass and to fail, on real parts,
in the modules test_doctor_… beside this one; test_doctor_processes.py has those of the product's own processes."""

import asyncio
import json
import re
from typing import Any

import pytest
from django.core.management import CommandError

from chatbot_project.doctor.registry import CHECKS, Check, Finding, Request, ok
from chatbot_project.doctor.running import examine
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.management.commands.doctor import chosen
from chatbot_project.tests.doctor_running import run
from stress_tests.fake_model import FakeModelServer, Script, closed_port


def test_every_check_has_a_name_a_title_and_needs_only_what_comes_before_it() -> None:
    seen: set[str] = set()
    for name, check in CHECKS.items():
        assert check.name == name
        assert check.title[0].isupper()
        assert seen.issuperset(check.needs), name
        seen.add(name)
    assert len(CHECKS) >= 20


def test_what_failed_is_told_with_its_fix_and_by_the_exit_code(settings: Any) -> None:
    settings.BASE_URL = f"http://127.0.0.1:{closed_port()}"
    code, output = run("--only", "web")
    assert code == 1
    assert "failed" in output
    assert "→ Start it" in output
    assert "1 failed, in " in output


def test_machines_get_json(settings: Any) -> None:
    code, output = run("--only", "disk", "--json")
    told = json.loads(output)
    assert code == 0
    assert told["status"] in {"ok", "warning"}
    assert [(each["name"], each["title"]) for each in told["checks"]] == [("disk", "There is room on the disk")]


def test_warnings_are_failures_only_where_that_is_asked_for(settings: Any) -> None:
    settings.SECRET_KEY = "insecure-local-key"
    assert run("--only", "secrets")[0] == 0
    assert run("--only", "secrets", "--strict")[0] == 1


def test_a_name_that_is_none_is_refused_and_all_are_listed() -> None:
    for option in ("--only", "--skip"):
        with pytest.raises(CommandError, match="--list"):
            run(option, "wether")
    assert run("--list")[1].count("\n") == len(CHECKS)


def test_a_check_can_be_left_out_and_with_it_those_that_need_it() -> None:
    assert [check.name for check in chosen(["static", "disk"], ["web"])] == ["disk"]
    left = [check.name for check in chosen([], ["database"])]
    assert "redis" in left
    assert not {"database", "migrations", "clock", "backup"} & set(left)


def test_no_secret_is_told_even_where_a_server_repeats_it(settings: Any, fake_model: FakeModelServer) -> None:
    settings.LLM_PROVIDERS = {"fake": Provider("fake", fake_model.base_url, "canary-key")}
    settings.DEFAULT_MODEL, settings.FALLBACK_MODELS = "fake/fake", []
    settings.TITLE_MODEL = settings.SUMMARY_MODEL = ""
    settings.REDIS_URL = f"redis://:canary-redis@127.0.0.1:{closed_port()}/0"
    fake_model.enqueue(Script(status=400, error={"code": "canary-key"}))
    for arguments in ([], ["--json"]):
        output = run("--only", "models", "--only", "redis", *arguments)[1]
        assert "failed" in output
        assert "canary" not in output


def test_what_hangs_is_told_in_time_and_stops_nobody() -> None:
    async def hangs(request: Request) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    async def breaks(request: Request) -> Finding:
        raise RuntimeError("oh")

    async def works(request: Request) -> Finding:
        return ok("fine")

    checks = [
        Check("a", "A", hangs), Check("b", "B", breaks), Check("c", "C", works), Check("d", "D", works, ("a",)),
    ]  # fmt: skip
    told = [each.findings[0] for each in asyncio.run(examine(checks, Request(0.2)))]
    assert [finding.status for finding in told] == ["failed", "failed", "ok", "skipped"]
    assert "RuntimeError: oh" in told[1].found


def test_the_page_describes_every_check_and_no_other(settings: Any) -> None:
    page = (settings.BASE_DIR / "docs" / "doctor.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(CHECKS)
