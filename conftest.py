"""What every test stands on: a PostgreSQL and a Redis of this session's own, and settings that point at them.

Nothing here reads or writes the user's var/: each session has a temporary VAR_DIR, so that sessions side by side do
not meet either.
"""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
import pytest_django

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

# How long an example takes is the machine's matter: a busy one must not fail a test.
hypothesis.settings.register_profile("nono", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("nono")

LONG = ("faults", "slow", "browser")  # marks of what takes long, the longest first
pytest_plugins = ["stress_tests.pytest_fixtures", "conversations.tests.shared_processes"]

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
    "BUSY_SECONDS", "BUSY_QUEUE",
    "LLM_PROVIDERS", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST", "NVIDIA_API_KEY", "LOCAL_LLM_URL",
    "DEFAULT_MODEL", "FALLBACK_MODELS", "TITLE_MODEL", "SUMMARY_MODEL", "MODERATION_MODEL", "ALLOW_GUESTS", "EMAIL_URL",
    "PORT", "BASE_URL",
    "REPORT_MAIL", "REPORT_TIME_ZONE", "CONVERSATION_INSIGHTS", "PRICE_CURRENCY",
    "QUALITY_RANDOM", "QUALITY_UNSURE", "QUALITY_UNSURE_BELOW", "QUALITY_DISLIKED", "QUALITY_GUESTS",
    "QUALITY_OPEN_DAYS", "QUALITY_LEASE_MINUTES", "QUALITY_JUDGE_MODEL", "QUALITY_JUDGE_DAILY",
    "RESPONSE_CACHE_ENTRIES", "RESPONSE_CACHE_NEAR", "RESPONSE_CACHE_WAIT_SECONDS",
    "ALERT_MAIL", "ALLOWED_HOSTS", "DEBUG", "EMBEDDING_MODEL", "FAQ_FLOOR", "FAQ_DIRECT_CONFIDENCE", "TRANSLATOR",
    "RATE_LIMIT_REQUESTS", "RATE_LIMIT_ASKS", "RATE_LIMIT_GUEST", "RATE_LIMIT_ADDRESS", "DAILY_TOKENS",
    "CORS_ALLOWED_ORIGINS", "JWT_SIGNING_KEYS", "AUDIT_SIGNING_KEYS", "REQUIRE_STAFF_2FA", "GUEST_DAYS",
    "RETENTION_CONTENT_DAYS", "RETENTION_DELETED_DAYS", "RETENTION_PASSING_DAYS", "RETENTION_MODERATION_DAYS",
    "RETENTION_QUESTION_DAYS", "RETENTION_UNCONFIRMED_DAYS", "RETENTION_SIGN_UP_DAYS", "RETENTION_SESSION_DAYS",
    "RETENTION_VERDICT_DAYS", "RETENTION_EXPORT_DAYS", "RETENTION_MAIL_DAYS", "RETENTION_RECORD_DAYS",
    "DATABASE_TRANSACTION_POOLER", "METRICS_PORT", "METRICS_BIND", "METRICS_TOKEN",
    "BACKUP_DIR", "BACKUP_HOURS",
    "TRACING", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "STATIC_ROOT",
    "TRANSLATION_MODEL", "DEEPL_API_KEY", "DEEPL_URL", "GOOGLE_TRANSLATE_API_KEY", "GOOGLE_TRANSLATE_URL",
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

from django.conf import settings
from django.core.management import call_command
from django.core.signals import setting_changed
from django.db import OperationalError, connection, transaction
from django.test import TransactionTestCase
from django.test.signals import root_urlconf_changed
from django.urls import set_urlconf
from django.utils import translation
from psycopg.errors import DeadlockDetected

from chatbot_project.lib import redis
from conversations.tests.stack import Stack
from faqs import scope

# Every test client makes the middlewares anew, and WhiteNoise would look at all static files each time.
settings.WHITENOISE_AUTOREFRESH = True


def _forget_the_threads_addresses(*, setting: str, **_more: object) -> None:
    if setting == "ROOT_URLCONF":
        set_urlconf(None)


# Django forgets all addresses whenever a test names others and reads them anew: a tenth of the time of accounts' tests.
# What it has read it keeps by the module's name, so that none is taken for another's.
setting_changed.disconnect(root_urlconf_changed)
setting_changed.connect(_forget_the_threads_addresses)

# A process may read one table and want another while they are locked one after the other: PostgreSQL ends either.
DEADLOCKS = 5
KEPT_TABLES = {"django_content_type", "auth_permission"}  # as migrations made them; no test changes them


def _empty_tables(_test: TransactionTestCase) -> None:
    """Delete all that a test with transactions of its own has left, of whichever process, once it is committed.

    Django's own way, ``flush``, takes fifteen times as long: it truncates each table, empty or not, with all its
    indexes, and makes content types and permissions again.
    """
    scope._known.clear()  # else the next knowledge passes for the one of this test, and its model is asked
    for _ in range(DEADLOCKS):
        try:
            return _lock_and_empty_tables()
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
    return _lock_and_empty_tables()


def _lock_and_empty_tables() -> None:
    tables = [f'"{name}"' for name in connection.introspection.django_table_names(only_existing=True)]
    tables = [table for table in tables if table.strip('"') not in KEPT_TABLES]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(" UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in tables))
        filled = [row[0] for row in cursor.fetchall()]
        if filled:
            cursor.execute("SET LOCAL session_replication_role = replica")  # no foreign key asks for an order
            cursor.execute("; ".join(f"DELETE FROM {table}" for table in filled))


TransactionTestCase._fixture_teardown = _empty_tables  # type: ignore[attr-defined]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--partitioned", action="store_true", help="messages and audit events are in partitions (docs/scaling.md)"
    )


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> None:
    """The session's database, its greatest tables partitioned where that is asked for."""
    if request.config.getoption("partitioned"):
        with django_db_blocker.unblock():
            call_command("partition", "messages")
            call_command("partition", "audit")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the services before anything is collected, in each process that runs tests itself."""
    if session.config.getoption("tx", None) and not hasattr(session.config, "workerinput"):
        del os.environ["DJANGO_SETTINGS_MODULE"]  # pytest-xdist's processes make settings of their own
    elif not session.config.option.collectonly:
        POSTGRES.start()
        REDIS.start()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Where tests run side by side, those of a module share a process. All that end or starve processes share one and
    come first: they wait more than they compute, so that the other processes have the processors meanwhile."""
    if not hasattr(config, "workerinput"):
        return (yield)
    for item in items:
        together = "faults" if item.get_closest_marker("faults") else item.path.stem
        item.add_marker(pytest.mark.xdist_group(together))
    result = yield  # pytest-django sorts, pytest-xdist writes the groups into the names
    if not all("@" in item.nodeid for item in items):
        raise pytest.UsageError(
            "This pytest-xdist groups no tests: fixtures of a module would be made in each process."
        )
    items.sort(key=_long_ones_first)
    return result


def _long_ones_first(item: pytest.Item) -> int:
    return next((place for place, name in enumerate(LONG) if item.get_closest_marker(name)), len(LONG))


@pytest.fixture(scope="session", autouse=True)
def patience_with_redis() -> None:
    """A machine that stands still for a second, as a busy one does, has not lost its Redis."""
    redis.ANSWER_SECONDS = 10.0


@pytest.fixture(autouse=True)
def no_foreign_erasures() -> Generator[None, None, None]:
    """The log of erasures outlives the database by design; a test's goes with its database."""
    yield
    (VAR_DIR / "erasures.jsonl").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_foreign_workers() -> None:
    """The workers of a stack that a test does not ask for would take up its replies: the database is the queue."""
    for stack in Stack.running:
        stack.pause_workers()


@pytest.fixture(autouse=True)
def everybody_speaks_english() -> Generator[None, None, None]:
    """A page in another language leaves it active in this thread."""
    yield
    translation.deactivate()
