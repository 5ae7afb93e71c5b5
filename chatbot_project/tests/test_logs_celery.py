"""What a real Celery worker and its log say of tasks that are given, raise and return what must not stand in a log."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from accounts.models import OutgoingMail
from chatbot_project.celery import app
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.lib.task_order import KEYS
from chatbot_project.tests import leaky_tasks
from conversations.tests.stack import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Zx3mVgkQ8wTA-_x"
API_KEY = "nono_sk_" + "Qx7Rt2" * 7
LEAKS = {
    "e-mail": "canary@example.org",
    "telephone": "+49 171 1234567",
    "card": "4111 1111 1111 1111",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "IP": "203.0.113.9",
    "access token": JWT,
    "API key": API_KEY,
    "ticket": "tickettickettick",
    "mailed link": "resettokenresettoken",
    "password": "hunter22canary",
}
ARGS = [
    LEAKS["e-mail"],
    {"telephone": LEAKS["telephone"], "cards": [LEAKS["card"], LEAKS["IBAN"]], "from": LEAKS["IP"]},
    f"/ws/chat/?ticket={LEAKS['ticket']}",
    f"/accounts/link/reset/{LEAKS['mailed link']}/",
]
KWARGS = {"token": JWT, "key": API_KEY, "password": LEAKS["password"], "to": LEAKS["e-mail"]}


def database_url() -> str:
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    database = connection.settings_dict
    return make_conninfo(**{key: database[name] for key, name in names.items() if database[name]})


@pytest.fixture
def log(tmp_path: Path) -> str:
    """What a worker wrote while all of it went wrong, at the level of a curious operator."""
    path = tmp_path / "celery.log"
    blocking_redis().delete(*KEYS)
    with path.open("wb") as file:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "chatbot_project", "worker", "--pool", "threads"),
                *("--concurrency", "1", "--without-gossip", "--without-mingle", "--loglevel", "DEBUG"),
                *("--include", "chatbot_project.tests.leaky_tasks"),
            ],
            env=os.environ | {"DATABASE_URL": database_url(), "LOG_LEVEL": "DEBUG"}, cwd=settings.BASE_DIR,
            stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            for task in (leaky_tasks.returns, leaky_tasks.raises, leaky_tasks.retries, leaky_tasks.rejects):
                task.apply_async(ARGS, KWARGS)
            app.send_task("leaky.unknown", ARGS, KWARGS)
            app.send_task("accounts.tasks.send_mail", [LEAKS["e-mail"]])  # no UUID
            app.send_task("accounts.tasks.send_mail", ARGS, KWARGS)  # no such arguments
            leaky_tasks.ends.apply_async(countdown=2)
            wait_until(lambda: b"leaky.ended" in path.read_bytes(), "the last task", 90)
        finally:
            worker.terminate()
            worker.wait(30)
    return path.read_text()


def test_neither_arguments_nor_errors_nor_results_stand_in_the_log(log: str) -> None:
    for said in (
        "leaky.returns", "received", "succeeded in", "raised unexpected", "Retry in", "not yet:", "cannot:",
        "unregistered task", "Traceback", "KeyError", "leaky.rejects", "send_mail",
    ):  # fmt: skip
        assert said in log, f"the worker says nothing of {said}"
    assert {what for what, leak in LEAKS.items() if leak in log} == set()
    assert not OutgoingMail.objects.exists()
