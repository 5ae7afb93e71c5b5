"""What every test stands on: a PostgreSQL and a Redis of this session's own, and settings that point at them.

Nothing here reads or writes the user's var/: each session has a temporary VAR_DIR, so that sessions side by side do
not meet either.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# The suite starts some two hundred processes: what one has compiled, the others read. Many containers set this.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from chatbot_project.embedded.paths import VarPaths, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.redis import EmbeddedRedis

if "django.conf" in sys.modules and sys.modules["django.conf"].settings.configured:
    pytest.exit(
        "Settings were loaded before conftest.py: unset DJANGO_SETTINGS_MODULE and leave out --ds.", returncode=4
    )

pytest_plugins = ["stress_tests.pytest_fixtures"]

VAR_DIR = Path(tempfile.mkdtemp(prefix="nono-test-")).resolve()
(VAR_DIR / "static").mkdir()  # whitenoise warns of a missing one
PATHS = VarPaths(VAR_DIR)
POSTGRES = EmbeddedPostgres(PATHS, durable=False, dies_with_parent=True)
REDIS = EmbeddedRedis(PATHS, dies_with_parent=True)


def _tear_down(owner: int = os.getpid()) -> None:
    if os.getpid() == owner:  # not in a child some test forked
        POSTGRES.stop()
        REDIS.stop()
        shutil.rmtree(VAR_DIR, ignore_errors=True)
        if PATHS.sockets != PATHS.state:
            shutil.rmtree(PATHS.sockets, ignore_errors=True)


# Not in pytest_sessionfinish: pytest-django closes its database after that.
atexit.register(_tear_down)

# Outside parts and .env belong to whoever runs the tests, not to the tests.
for name in [
    "LLM_PROVIDERS", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST", "NVIDIA_API_KEY", "LOCAL_LLM_URL",
    "DEFAULT_MODEL", "FALLBACK_MODELS", "TITLE_MODEL", "SUMMARY_MODEL", "ALLOW_GUESTS", "EMAIL_URL", "PORT", "BASE_URL",
    "ALLOWED_HOSTS", "DEBUG", "EMBEDDING_MODEL", "FAQ_FLOOR", "FAQ_DIRECT_CONFIDENCE", "TRANSLATOR",
    "RATE_LIMIT_REQUESTS", "RATE_LIMIT_ASKS", "RATE_LIMIT_GUEST", "RATE_LIMIT_ADDRESS", "DAILY_TOKENS",
    "CORS_ALLOWED_ORIGINS", "JWT_SIGNING_KEYS", "TRANSLATION_MODEL",
    "DEEPL_API_KEY", "DEEPL_URL", "GOOGLE_TRANSLATE_API_KEY", "GOOGLE_TRANSLATE_URL",
]:  # fmt: skip
    os.environ.pop(name, None)
os.environ |= {
    "NONO_ENV": "local",
    "SECRET_KEY": "only-for-tests-0123456789abcdefghijklmnopqrstuvwxyz",
    "VAR_DIR": str(VAR_DIR),
    "DATABASE_URL": default_database_url(VAR_DIR),
    "REDIS_URL": default_redis_url(VAR_DIR),
    "DJANGO_SETTINGS_MODULE": "chatbot_project.settings",
}

import django  # the environment comes first

django.setup()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the services before anything is collected."""
    if not session.config.option.collectonly:
        POSTGRES.start()
        REDIS.start()
