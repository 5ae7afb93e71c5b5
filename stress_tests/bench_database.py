"""A PostgreSQL, migrated, and a Redis of a benchmark's own in a temporary directory, and Python that runs on them."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chatbot_project.embedded.paths import VarPaths, default_database_url, default_redis_url
from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.embedded.redis import EmbeddedRedis

from .bench_stack import KEPT_VARIABLES, ROOT

#: Runs Python with these arguments; its output. Raises subprocess.CalledProcessError.
Python = Callable[..., str]
_RUN = "import django; django.setup(); exec(compile(open(0).read(), 'given', 'exec'))"


@contextmanager
def own_database(name: str, **variables: str) -> Iterator[Python]:
    """Python on a new database. Called with words it runs these, with ``stdin`` to read; with ``given`` it runs that
    text, with Django set up and the words in ``sys.argv[1:]``."""
    directory = Path(tempfile.mkdtemp(prefix=f"nono-bench-{name}-")).resolve()
    postgres = EmbeddedPostgres(VarPaths(directory), dies_with_parent=True)
    redis = EmbeddedRedis(VarPaths(directory), dies_with_parent=True)
    environment = {
        **{kept: os.environ[kept] for kept in KEPT_VARIABLES if kept in os.environ},
        "NONO_ENV": "local",
        "DJANGO_SETTINGS_MODULE": "chatbot_project.settings",
        "SECRET_KEY": secrets.token_hex(32),
        "VAR_DIR": str(directory),
        "DATABASE_URL": default_database_url(directory),
        "REDIS_URL": default_redis_url(directory),
        "LOG_LEVEL": "ERROR",
        **variables,
    }

    def python(*arguments: str, given: str = "", stdin: str = "") -> str:
        words = ("-c", _RUN, *arguments) if given else arguments
        return subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, input=given or stdin, stdout=subprocess.PIPE,
            check=True, text=True,
        ).stdout  # fmt: skip

    try:
        postgres.start()
        redis.start()
        python("manage.py", "migrate", "--verbosity", "0")
        yield python
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)
