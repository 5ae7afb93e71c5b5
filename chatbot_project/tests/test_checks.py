"""``manage.py check --deploy``: silent under settings that are safe, and naming each one that is not."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

pytestmark = pytest.mark.slow  # a process for each case

SAFE = {
    "NONO_ENV": "production",
    "SECRET_KEY": "k7Qw9zXc3VbN5mAs8DfG2hJk4LpOiUyTrEw6QaZxSwEdCvFrTgB-_yH",
    "ALLOWED_HOSTS": "chat.example.org",
    "DATABASE_URL": "postgresql://nono:x@db.example.org/nono",
    "REDIS_URL": "rediss://redis.example.org/0",
    "BASE_URL": "https://chat.example.org",
    "OPENAI_API_KEY": "sk-test",
    "DEFAULT_MODEL": "openai/gpt-4o-mini",
}


def check(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with nothing of this one's environment that the product reads."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    values = {name: value for name, value in {**SAFE, **changes}.items() if value is not None}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={**environment, **values, "VAR_DIR": str(settings.VAR_DIR)},
        cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_safe_settings_pass_without_a_word() -> None:
    done = check()
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"NONO_ENV": None}, "nono.E001"),
        ({"SECRET_KEY": None}, "SECRET_KEY"),
        ({"SECRET_KEY": "insecure-local-key"}, "nono.E002"),
        ({"JWT_SIGNING_KEYS": f"{'a1' * 16},short"}, "nono.E009"),
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
def test_an_unsafe_setting_is_named(changes: dict[str, str | None], named: str) -> None:
    done = check(**changes)
    assert done.returncode != 0
    assert named in done.stderr
    assert SAFE["SECRET_KEY"] not in done.stderr + done.stdout


@pytest.mark.parametrize("changes", [{"NONO_ENV": "prod"}, {"DEBUG": "maybe"}, {"BASE_URL": "chat.example.org"}])
def test_a_setting_that_does_not_parse_is_named(changes: dict[str, str | None]) -> None:
    done = check(**changes)
    assert done.returncode != 0
    assert next(iter(changes)) in done.stderr
