"""``manage.py check --deploy``: silent under settings that are safe, and naming each one that is not."""

import os
import runpy
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from chatbot_project.lib.env import BadSetting

SAFE = {
    "NONO_ENV": "production",
    "SECRET_KEY": "k7Qw9zXc3VbN5mAs8DfG2hJk4LpOiUyTrEw6QaZxSwEdCvFrTgB-_yH",
    "ALLOWED_HOSTS": "chat.example.org",
    "DATABASE_URL": "postgresql://nono:x@db.example.org/nono",
    "REDIS_URL": "rediss://redis.example.org/0",
    "BASE_URL": "https://chat.example.org",
    "OPENAI_API_KEY": "sk-test",
    "AUDIT_SIGNING_KEYS": "wT3nB8yKqL5sXc9ZrV2mJf7HdP4gA6uE",
    "DEFAULT_MODEL": "openai/gpt-4o-mini",
}


def environment(**changes: str | None) -> dict[str, str]:
    """The safe one with changes, and nothing of this process's that the product reads."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    values = {name: value for name, value in {**SAFE, **changes}.items() if value is not None}
    return {**kept, **values, "VAR_DIR": str(settings.VAR_DIR)}


def check(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env=environment(**changes), cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def complaint(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> str:
    """What the command ends with under the settings that the file makes of an environment; "" if with nothing."""
    with monkeypatch.context() as patch:
        for name in set(os.environ) - set(environment(**changes)):
            patch.delenv(name)
        for name, value in environment(**changes).items():
            patch.setenv(name, value)
        made = runpy.run_path(str(settings.BASE_DIR / "chatbot_project" / "settings.py"))
    # Django warns of another DATABASES under open connections; no check reads it.
    changed = {name: value for name, value in made.items() if name.isupper() and name != "DATABASES"}
    with override_settings(**changed):
        try:
            call_command("check", deploy=True, fail_level="WARNING")
        except SystemCheckError as error:
            return str(error)
    return ""


def test_safe_settings_pass_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    done = check()
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
    assert complaint(monkeypatch) == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"SECRET_KEY": None}, "SECRET_KEY"), ({"BASE_URL": "http://chat.example.org"}, "nono.E006")],
)
def test_the_command_names_what_is_unsafe_and_fails(changes: dict[str, str | None], named: str) -> None:
    done = check(**changes)
    assert done.returncode != 0
    assert named in done.stderr
    assert SAFE["SECRET_KEY"] not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"NONO_ENV": None}, "nono.E001"),
        ({"SECRET_KEY": "insecure-local-key"}, "nono.E002"),
        ({"JWT_SIGNING_KEYS": f"{'a1' * 16},short"}, "nono.E009"),
        ({"AUDIT_SIGNING_KEYS": None}, "nono.E010"),
        ({"AUDIT_SIGNING_KEYS": f"{'a1' * 16},short"}, "nono.E010"),
        ({"ALLOWED_HOSTS": None}, "nono.E003"),
        ({"ALLOWED_HOSTS": "*"}, "nono.E003"),
        ({"ALLOWED_HOSTS": "chat.example.org,*"}, "nono.E003"),
        ({"DATABASE_URL": None}, "nono.E004"),
        ({"REDIS_URL": None}, "nono.E005"),
        ({"BASE_URL": "http://chat.example.org"}, "nono.E006"),
        ({"BASE_URL": None}, "nono.E006"),
        ({"DEBUG": "1"}, "nono.E007"),
        ({"DEFAULT_MODEL": "ollama/llama3"}, "nono.E008"),
        ({"OPENAI_API_KEY": None, "DEFAULT_MODEL": None}, "nono.E008"),
        ({"SECRET_KEY": "short"}, "security.W009"),
    ],
)  # fmt: skip
def test_an_unsafe_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], named: str
) -> None:
    said = complaint(monkeypatch, **changes)
    assert named in said
    assert SAFE["SECRET_KEY"] not in said


@pytest.mark.parametrize("changes", [{"NONO_ENV": "prod"}, {"DEBUG": "maybe"}, {"BASE_URL": "chat.example.org"}])
def test_a_setting_that_does_not_parse_is_named(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None]
) -> None:
    with pytest.raises(BadSetting, match=next(iter(changes))):
        complaint(monkeypatch, **changes)


def test_the_command_says_which_setting_does_not_parse() -> None:
    done = check(DEBUG="maybe")
    assert done.returncode != 0
    assert "DEBUG" in done.stderr
