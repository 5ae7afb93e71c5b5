"""Behind PgBouncer, which gives each transaction another of a few connections."""

import asyncio
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import AuditEvent, RetentionRun
from conversations.models import Message
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .checker import Crowd
from .stack import ROOT, Stack, free_port, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
POOLED = 6  # connections for all processes together, which take four times as many
CROWD = 24


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def pooler(tmp_path: Path) -> Iterator[str]:
    """The address of the test database behind a PgBouncer that pools transactions."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed.")
    sockets = Path(parse_qs(urlsplit(settings.DATABASE_URL).query)["host"][0])
    port, owner = free_port(), pwd.getpwuid(sockets.stat().st_uid).pw_name
    configuration = tmp_path / "pgbouncer.ini"
    configuration.write_text(
        f"""
        [databases]
        * = host={sockets} user={connection.settings_dict["USER"]}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = {POOLED}
        max_client_conn = 400
        """.replace("        ", "")
    )
    for path in (*list(tmp_path.parents)[:2], tmp_path, configuration):
        path.chmod(path.stat().st_mode | 0o755)
    run_as = ["-u", owner] if owner != getpass.getuser() else []
    process = subprocess.Popen([PGBOUNCER, *run_as, str(configuration)], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), "PgBouncer")
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield f"postgresql://{connection.settings_dict['USER']}@127.0.0.1:{port}/{connection.settings_dict['NAME']}"
    finally:
        process.terminate()
        process.communicate(timeout=20)


#: What somebody else sees of a bound that the doctor set, over the connection that PgBouncer gave it last.
LOOKED_AT_BY_ANOTHER = """
import asyncio, django
django.setup()
from django.db import connection
from chatbot_project.doctor.running import in_database
def look():
    with connection.cursor() as ours, connection.copy().cursor() as theirs:
        for cursor in (ours, theirs):
            cursor.execute("SHOW statement_timeout")
            print(cursor.fetchone()[0])
asyncio.run(in_database(look, seconds=7))
"""


def command(name: str, environment: dict[str, str]) -> None:
    ran = subprocess.run(
        [sys.executable, "manage.py", name], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.usefixtures("persona")
async def test_everything_works_with_a_few_connections_for_all(pooler: str, fake_model: FakeModelServer) -> None:
    fake_model.default = Script(echo=True)
    stack = Stack(fake_model.base_url, web=2, workers=1, DATABASE_URL=pooler, DATABASE_TRANSACTION_POOLER="1")
    with stack:
        async with Crowd([f"http://127.0.0.1:{port}" for port in stack.ports], CROWD) as crowd:
            for _turn in range(2):
                await crowd.ask()
                await crowd.end()
                assert await crowd.check() == {"completed": CROWD}
        for name in ("apply_retention", "verify_audit"):
            await asyncio.to_thread(command, name, stack.environment)
    assert await asyncio.to_thread(_stored) == (2 * CROWD, 1, True)


def test_a_bound_that_the_doctor_sets_is_nobody_elses(pooler: str) -> None:
    environment = Stack("http://127.0.0.1:1/v1", DATABASE_URL=pooler, DATABASE_TRANSACTION_POOLER="1").environment
    environment |= {"DJANGO_SETTINGS_MODULE": "chatbot_project.settings"}
    said = subprocess.run(
        [sys.executable, "-c", LOOKED_AT_BY_ANOTHER], cwd=ROOT, env=environment, check=True, capture_output=True
    ).stdout.split()
    assert said == [b"7s", b"0"]


def _stored() -> tuple[int, int, bool]:
    try:
        return (
            Message.objects.filter(role="assistant", status="completed").count(),
            RetentionRun.objects.exclude(finished_at=None).count(),
            AuditEvent.objects.filter(action="retention.applied").exists(),
        )
    finally:
        connection.close()
