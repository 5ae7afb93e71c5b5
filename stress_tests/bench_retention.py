"""How fast conversations that are over are removed: ``python -m stress_tests.bench_retention [--messages N]``.

On a PostgreSQL of its own in a temporary directory: N messages (1,000,000) of 300 characters in conversations of 20, as
many again that are kept, and ``manage.py apply_retention`` as it is. Prints how long it took, from outside.
"""

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

from chatbot_project.embedded.paths import VarPaths, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres

from .bench_stack import KEPT_VARIABLES, ROOT

TURNS = 10  # a question and a reply each

SEED = """
import sys
from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from accounts.models import User
from conversations.tests.factories import make_persona
from stress_tests.retention_seed import fill
conversations, turns = int(sys.argv[1]), int(sys.argv[2])
owner = User.objects.create_user("bench@example.org")
version = make_persona().published_id
for days in (400, 10):
    with transaction.atomic():
        fill(owner=owner.pk, version=version, conversations=conversations, turns=turns,
             at=timezone.now() - timedelta(days=days), text="x" * 300)
"""
RUN = "import django; django.setup(); exec(compile(open(0).read(), 'seed', 'exec'))"


def measure(messages: int) -> float:
    """Seconds that removing so many messages took. Raises subprocess.CalledProcessError."""
    directory = Path(tempfile.mkdtemp(prefix="nono-bench-retention-")).resolve()
    postgres = EmbeddedPostgres(VarPaths(directory), dies_with_parent=True)
    environment = {
        **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
        "NONO_ENV": "local",
        "DJANGO_SETTINGS_MODULE": "chatbot_project.settings",
        "SECRET_KEY": secrets.token_hex(32),
        "VAR_DIR": str(directory),
        "DATABASE_URL": default_database_url(directory),
        "REDIS_URL": default_redis_url(directory),
        "RETENTION_CONTENT_DAYS": "365",
        "LOG_LEVEL": "ERROR",
    }
    conversations = messages // (2 * TURNS)
    try:
        postgres.start()
        _python(environment, "manage.py", "migrate", "--verbosity", "0")
        _python(environment, "-c", RUN, str(conversations), str(TURNS), given=SEED)
        before = monotonic()
        said = _python(environment, "manage.py", "apply_retention")
        took = monotonic() - before
        print(said, end="")
        assert f"{conversations}  removed" in said
        assert f"{0:9}" in _python(environment, "manage.py", "apply_retention", "--dry-run")
        return took
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _python(environment: dict[str, str], *arguments: str, given: str = "") -> str:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, input=given, stdout=subprocess.PIPE, check=True,
        text=True,
    ).stdout  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    messages = parser.parse_args().messages
    took = measure(messages)
    print(f"{messages:,} messages removed in {took:.1f} s: {messages / took:,.0f} a second")


if __name__ == "__main__":
    main()
