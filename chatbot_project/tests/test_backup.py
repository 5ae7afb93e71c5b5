"""Making backups: whole or not at all, of one moment, kept as many as wanted, and noted."""

import json
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.tests.factories import make_user
from chatbot_project.backup import databases, making, postgres_tools, restoring
from chatbot_project.backup.errors import BackupError
from chatbot_project.backup.making import Backup, backups, make_backup
from chatbot_project.backup.manifest import DUMP, MANIFEST
from chatbot_project.backup.postgres_tools import Tools, tools_for
from chatbot_project.management.commands import backup
from chatbot_project.models import TaskRecord
from chatbot_project.task_records import note_tasks
from chatbot_project.tests.backups import home, place, run, started
from chatbot_project.tests.doctor_running import examined
from conversations.tests.stack import START_SECONDS, wait_until

__all__ = ["home", "place"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_backup_is_a_folder_for_its_owners_eyes_that_says_what_is_in_it(place: Path) -> None:
    make_user()
    said = run("backup")
    (folder,) = place.glob("nono-*")
    manifest = json.loads((folder / MANIFEST).read_text())
    assert (manifest["product"], manifest["server"]) == ("0.1.0", 18)
    assert manifest["tables"]["accounts_user"]["rows"] == 1
    assert "accounts.0001_initial" in manifest["migrations"]
    assert manifest["parts"][DUMP]["bytes"] == (folder / DUMP).stat().st_size
    assert str(folder) in said
    assert stat.S_IMODE(place.stat().st_mode) == stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    event = AuditEvent.objects.get(action="backup.made")
    assert event.details["sha256"] == manifest["parts"][DUMP]["sha256"]


def test_what_is_stored_while_it_is_made_is_all_in_it_or_not_at_all(place: Path) -> None:
    """Somebody is stored after the moment that it is of, and before pg_dump has begun."""
    make_user()
    with held_before_pg_dump(place) as making:
        make_user()
        making.release()
        made = making.backup.result(60)
    assert backups(place) == [made]
    assert made.manifest.tables["accounts_user"].rows == 1
    assert "It can be restored." in run("restore", "latest", "--verify")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_is_ended_half_way_leaves_no_backup_and_the_next_is_whole(number: int, place: Path) -> None:
    with held_before_pg_dump(place, by=started_process) as making:
        making.backup.send_signal(number)
        making.backup.wait(30)
        left = [each.name for each in place.iterdir() if each.name != ".lock"]
        assert [each.endswith(".partial") for each in left] == ([True] if number == signal.SIGKILL else [])
    assert backups(place) == []
    run("backup")
    assert sorted(each.name for each in place.iterdir()) == [".lock", backups(place)[0].folder.name]


def test_what_cannot_be_written_is_said_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"file cannot be written to: .* BACKUP_DIR"):
        run("backup", "--to", str(tmp_path / "file"))
    with pytest.raises(CommandError, match="/proc/nobody cannot be written to"):
        run("backup", "--to", "/proc/nobody")
    record = TaskRecord.objects.get(name="backup")
    assert (record.outcome, record.failures, record.succeeded_at) == ("failed", 2, None)
    assert record.error.startswith("BackupError (making.py:")


def test_a_disk_without_room_is_said_and_leaves_nothing(place: Path) -> None:
    """A limit on the size of files stands in for the disk's: both are an error of the same write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(BackupError, match=r"pg_dump failed: error: could not write .* File too large"):
            make_backup(place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [each.name for each in place.iterdir()] == [".lock"]


def test_only_one_is_made_at_a_time_and_it_lets_a_migration_pass(place: Path) -> None:
    with held_before_pg_dump(place) as making:
        with pytest.raises(CommandError, match="Another backup is being made"):
            run("backup")
        with pytest.raises(BackupError, match=r"statement timeout A migration is at work: try again after it\."):
            making.backup.result(60)
    assert backups(place) == []


def test_the_newest_are_kept_and_what_is_no_backup_is_let_be(place: Path) -> None:
    folders = [make_backup(place).folder for _ in range(3)]
    (place / "nono-mine").mkdir()
    said = run("backup", "--keep", "2")
    kept = [each.folder for each in backups(place)]
    assert len(kept) == 2
    assert kept[1] == folders[2]
    assert f"{folders[0].name} is removed." in said
    assert (place / "nono-mine").exists()
    assert run("backup", "--list").count("PostgreSQL 18") == 2
    for wrong in ("0", "-1", "all"):
        with pytest.raises(CommandError, match="a whole number from 1"):
            call_command("backup", f"--keep={wrong}")


def test_where_verifying_fails_night_after_night_old_ones_go_but_the_last_that_came_back(place: Path) -> None:
    """As while an older version works on a newer one's tables."""
    run("backup", "--verify")
    run("backup", "--verify")
    proved, older = backups(place)
    newer = MigrationRecorder.Migration.objects.create(app="accounts", name="9999_later")
    try:
        for _ in range(3):
            with pytest.raises(CommandError, match="migrations that this version lacks"):
                run("backup", "--keep", "3", "--verify")
        assert backups(place)[1:] == [proved, older]
        with pytest.raises(CommandError, match="migrations that this version lacks"):
            run("backup", "--keep", "1", "--verify")
        assert backups(place)[1:] == [proved]
    finally:
        newer.delete()
    run("backup", "--keep", "1", "--verify")
    assert len(backups(place)) == 1


def test_whatever_fails_in_the_check_old_ones_go_and_it_is_told_before_what_fails_then(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_run: object) -> None:
        raise DatabaseError("no room for an index")

    for _ in range(2):
        run("backup", "--verify")
    proved = backups(place)[0]
    monkeypatch.setattr(restoring, "_migrate", fails)
    with pytest.raises(DatabaseError, match="no room for an index"):
        run("backup", "--keep", "1", "--verify")
    assert backups(place)[1:] == [proved]
    monkeypatch.setattr(backup, "prune", Mock(side_effect=BackupError("cannot be removed")))
    with pytest.raises(DatabaseError, match="no room for an index"):
        run("backup", "--keep", "1", "--verify")
    assert "cannot be removed" in capsys.readouterr().err


def test_of_an_empty_database_there_is_none(place: Path, home: str) -> None:
    with databases.connect("postgres", autocommit=True) as session:
        session.execute(f'CREATE DATABASE "{home}"')
    with databases.using(home), pytest.raises(BackupError, match="nothing of Nono's"):
        make_backup(place)
    assert backups(place) == []


def test_behind_a_pooler_of_transactions_it_asks_for_the_server(place: Path, settings: Any) -> None:
    settings.DATABASE_TRANSACTION_POOLER = True
    with pytest.raises(CommandError, match="the server's own address"):
        run("backup")


def test_tools_are_those_that_fit_the_server_best(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("pg_dump", "pg_restore"):
        tool = tmp_path / name
        tool.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 16.9'\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert [tools_for(server).major for server in (15, 16, 17, 18)] == [16, 16, 18, 18]
    assert tools_for(15, dumped_with=18).major == 18
    with pytest.raises(BackupError, match=r"PostgreSQL 19; .* version 19 or newer, and there are: 16 .*, 18"):
        tools_for(19)


def test_without_tools_that_could_restore_it_nothing_is_dumped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_tools, "_installed", lambda: [Tools(17, Path("/usr/bin"))])
    monkeypatch.setattr(making, "read_contents", None)  # nor is anything counted
    with pytest.raises(BackupError, match="needed in version 18 or newer, and there are: 17"):
        make_backup(place)
    assert [each.name for each in place.iterdir()] == [".lock"]


def test_the_doctor_warns_where_there_is_none_of_late(place: Path, settings: Any) -> None:
    assert examined("backup")["backup"].status == "skipped"
    settings.BACKUP_HOURS = 26
    assert examined("backup")["backup"].found == "None was ever made by manage.py backup."
    run("backup")
    note_tasks()  # a Celery worker starts
    assert examined("backup")["backup"].status == "ok"
    TaskRecord.objects.filter(name="backup").update(succeeded_at=timezone.now() - timedelta(hours=30))
    found = examined("backup")["backup"]
    assert (found.status, found.found) == ("warning", "The last was made 30.0 hours ago.")
    with pytest.raises(CommandError):
        run("backup", "--to", "/proc/nobody")
    assert "The newest try failed" in examined("backup")["backup"].found


def in_a_thread(place: Path) -> Future[Backup]:
    pool = ThreadPoolExecutor(1)
    backup = pool.submit(make_backup, place)
    pool.shutdown(wait=False)
    return backup


def started_process(_place: Path) -> subprocess.Popen[str]:
    return started(databases.own_name(), "backup")


class held_before_pg_dump:
    """A backup that is being made, ``by`` a thread or a process: its snapshot is taken, and its pg_dump waits for a
    table until ``release``."""

    def __init__(self, place: Path, by: Callable[[Path], Any] = in_a_thread) -> None:
        self.place, self.by = place, by

    def __enter__(self) -> Self:
        name = databases.own_name()
        # It counts tables in the order of their names: it stops at the last until pg_dump cannot pass the first.
        last, self.first = databases.connect(name), databases.connect(name, autocommit=True)
        last.execute("LOCK TABLE personas_personaversion")
        self.backup = self.by(self.place)
        wait_until(lambda: self._waits("nono backup", "personas_personaversion"), "the count", START_SECONDS)
        self.first.pgconn.send_query(b"BEGIN; LOCK TABLE accounts_apikey")
        wait_until(lambda: self._waits("", "accounts_apikey", blocked_by="nono backup"), "the lock")
        last.close()
        wait_until(lambda: self._waits("pg_dump", "accounts_apikey"), "pg_dump")
        return self

    def release(self) -> None:
        self.first.cancel_safe()  # a session that waits for a lock does not see that its client has gone
        self.first.close()

    def __exit__(self, *_error: object) -> None:
        if not self.first.closed:
            self.release()
        if isinstance(self.backup, Future):
            wait([self.backup], 30)
        else:
            self.backup.kill()
            self.backup.communicate(timeout=30)

    def _waits(self, who: str, table: str, blocked_by: str = "") -> bool:
        query = (
            "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT l.granted"
            " AND l.relation = %s::regclass AND (a.application_name = %s OR EXISTS (SELECT FROM pg_stat_activity b"
            " WHERE b.pid = ANY(pg_blocking_pids(a.pid)) AND b.application_name = nullif(%s, ''))))"
        )
        with databases.connect(databases.own_name()) as session:
            return bool(session.execute(query, [table, who, blocked_by]).fetchone()[0])
