"""A backup comes back as it was, without whoever was erased since; what fails or is killed changes nothing."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.audit.chain import seal
from accounts.audit.checkpoints import default_file, make_checkpoint, read_file
from accounts.audit.verifying import verify
from accounts.models import AuditEvent, User
from accounts.privacy import erasure_log
from accounts.services import record_audit
from accounts.tests.factories import make_user
from chatbot_project.backup import databases
from chatbot_project.backup.manifest import ERASURES, read_manifest
from chatbot_project.backup.restoring import restore
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.models import TaskRecord
from chatbot_project.tests.backups import (
    all_of,
    environment_for,
    home,
    made,
    place,
    restored,
    run,
    started,
    tables_of,
)  # fmt: skip
from chatbot_project.tests.erased import database_text, erased, traces
from chatbot_project.tests.people_with_data import marked_person
from conversations.models import Conversation, Message
from conversations.tests.factories import make_conversation, make_persona
from conversations.tests.stack import START_SECONDS, wait_until
from faqs.models import FAQ, Embedding
from faqs.tests.factories import make_faq, make_index

__all__ = ["home", "place"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)


def test_people_conversations_answers_vectors_and_the_trail_come_back(place: Path, home: str) -> None:
    user, marks = marked_person(make_persona())
    make_faq("How do I return a parcel?", "Within 30 days, by the label in it.")
    make_index()
    seal()
    make_checkpoint()
    folder, before = made(place), tables_of(databases.own_name())
    said = restored(folder, home)
    assert all_of(home) == [home]
    assert "The audit trail is whole" in said
    after = tables_of(home)
    changed = {name for name in before if before[name] != after[name]}
    noted = {"accounts_user", "accounts_auditevent", "accounts_auditwaiting", "chatbot_project_taskrecord"}
    assert changed == noted, "that it was restored, and no more"
    with databases.using(home):
        again = User.objects.get(pk=user.pk)
        assert (again.email, again.auth_epoch) == (user.email, user.auth_epoch + 1)
        assert Message.objects.filter(text__contains=marks["conversations.Message.text"]).exists()
        assert FAQ.objects.count() == Embedding.objects.values("phrasing__faq").distinct().count() > 1
        event = AuditEvent.objects.get(action="backup.restored")
        assert event.details["made_at"] == read_manifest(folder).made_at.isoformat()
        seal()
        assert verify(read_file(default_file())).is_whole
        User.objects.create_user("new@example.org", username="new")  # sequences and triggers go on


def test_whoever_was_erased_since_does_not_come_back(place: Path, home: str) -> None:
    user, marks = marked_person(make_persona())
    other, others = marked_person(make_persona())
    marks |= {"id": str(user.pk)}
    folder = made(place)
    erased(user)
    said = restored(folder, home)
    erased_again = said.index("1 people who were erased since are erased again.")
    assert erased_again < said.index("The database “"), "before anybody could see them"
    with databases.using(home):
        assert traces({"database": database_text()}, marks) == []
        assert traces({"database": database_text()}, others)
        assert User.objects.filter(pk=other.pk).exists()
        assert erasure_log.unreplayed() == []


def test_whoever_is_erased_while_a_backup_is_restored_stays_erased(place: Path, home: str) -> None:
    user = make_user()
    folder = made(place)
    restored(folder, home)

    def say(said: str) -> None:
        if said.startswith("The audit trail"):  # the last that is done before the databases change places
            with databases.using(home):
                erased(User.objects.get(pk=user.pk))

    with databases.using(home):
        restore(folder, say=say, replace=True)
        assert not User.objects.filter(pk=user.pk).exists()
        assert erasure_log.unreplayed() == []


def test_without_the_log_of_erasures_it_is_refused(place: Path, home: str, settings: Any) -> None:
    user = make_user()
    older = made(place)
    erased(user)
    folder = made(place)
    Path(settings.ERASURE_LOG).unlink()
    with pytest.raises(CommandError, match="lacks 1 that the backup knows of"):
        restored(folder, home)
    assert all_of(home) == []
    assert "Accepted: The log of erasures" in restored(folder, home, "--accept", "lost-erasures")
    assert len(erasure_log.lines()) == len((folder / ERASURES).read_text().splitlines()) == 1
    restored(older, home, "--replace")
    with databases.using(home):
        assert not User.objects.filter(pk=user.pk).exists()
    Path(settings.ERASURE_LOG).write_text("nonsense\n")
    with pytest.raises(CommandError, match="holds a line that is none"):
        restored(folder, home, "--replace")


def test_a_database_that_is_not_empty_is_replaced_only_when_told(place: Path, home: str) -> None:
    folder = made(place)
    restored(folder, home)
    with databases.using(home):
        make_user("since@example.org")
    before = tables_of(home)
    with pytest.raises(CommandError, match="is not empty: --replace"):
        restored(folder, home)
    assert tables_of(home) == before
    blocking_redis().set("idempotency:gone", "an answer about what is gone")
    with databases.connect(home) as somebody:  # who works with it meanwhile
        said = restored(folder, home, "--replace", "--keep-replaced")
        assert somebody.closed or not is_alive(somebody)
    assert not blocking_redis().exists("idempotency:gone")
    kept = [name for name in all_of(home) if name != home]
    assert [f"kept as the database “{name}”" in said for name in kept] == [True]
    assert tables_of(kept[0]) == before
    assert f"“{kept[0]}” is left of an earlier restore" in restored(folder, home, "--replace")
    with databases.using(home):
        assert not User.objects.filter(email="since@example.org").exists()
        made_at = TaskRecord.objects.get(name="backup").succeeded_at
    assert made_at == read_manifest(folder).made_at


def test_a_backup_of_an_older_version_is_migrated(place: Path, home: str) -> None:
    restored(made(place), home)
    with databases.using(home):
        call_command("migrate", "chatbot_project", "0002", verbosity=0)
        older = made(place)
    assert "chatbot_project_maintenance" not in tables_of(home)
    assert " migrations applied." in restored(older, home, "--replace")
    assert "chatbot_project_maintenance" in tables_of(home)


def test_an_empty_database_keeps_its_settings_and_rights(place: Path, home: str) -> None:
    folder = made(place)
    with databases.connect("postgres", autocommit=True) as session:
        session.execute(
            f'CREATE DATABASE "{home}" TEMPLATE template0 LC_COLLATE "C.UTF-8" LC_CTYPE "C" LOCALE_PROVIDER libc'
        )
        session.execute(f"ALTER DATABASE \"{home}\" SET work_mem TO '7MB'")
        session.execute(f'REVOKE CONNECT ON DATABASE "{home}" FROM PUBLIC')
        query = (
            "SELECT d.datcollate, d.datctype, d.datlocprovider, s.setconfig,"
            " (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(d.datacl) a) FROM pg_database d"
            " LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid WHERE datname = %s"
        )
        before = session.execute(query, [home]).fetchone()
        restored(folder, home)
        assert session.execute(query, [home]).fetchone() == before


def test_checkpoints_of_a_time_that_is_undone_are_set_aside(place: Path, home: str, tmp_path: Path) -> None:
    record_audit(actor=None, action="price.added", obj=User)
    make_checkpoint()
    folder = made(place)
    record_audit(actor=None, action="price.changed", obj=User)
    make_checkpoint()
    kept, undone = read_file(default_file())
    with default_file().open("a") as file:
        file.write('{"number": 3, "ha')  # and one that a crash cut off
    said = restored(folder, home)
    (aside,) = (tmp_path / "audit").glob("checkpoints-undone-*.jsonl")
    assert aside.name in said
    assert read_file(aside) == [kept, undone]
    assert read_file(default_file()) == [kept]
    with databases.using(home):
        assert AuditEvent.objects.get(action="backup.restored").details["undone_checkpoint"] == undone.number
        make_checkpoint()
        assert verify(read_file(default_file())).is_whole


def test_a_trail_that_was_not_whole_is_said_and_restored_only_when_told(place: Path, home: str) -> None:
    record_audit(actor=None, action="price.added", obj=User)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditlink DISABLE TRIGGER USER")
    try:
        folder = made(place)
        with pytest.raises(CommandError, match=r"not whole: trigger .* is gone, disabled"):
            restored(folder, home)
        assert all_of(home) == []
        assert "Accepted: The audit trail is not whole" in restored(folder, home, "--accept", "broken-audit")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE accounts_auditlink ENABLE TRIGGER USER")


def test_rights_come_back_where_their_roles_are_there(place: Path, home: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute('CREATE ROLE "Some one"; GRANT SELECT ON accounts_user TO "Some one"')
        folder = made(place)
    try:
        restored(folder, home)
        with databases.connect(home) as session:
            assert session.execute("SELECT has_table_privilege('Some one', 'accounts_user', 'SELECT')").fetchone()[0]
    finally:
        with databases.connect("postgres", autocommit=True) as session:
            databases.drop(session, home)
        with connection.cursor() as cursor:
            cursor.execute('REVOKE ALL ON accounts_user FROM "Some one"; DROP ROLE "Some one"')
    assert 'There is no role "Some one"' in restored(folder, home)


def test_whoever_owns_the_database_restores_it_without_being_a_superuser(place: Path, home: str, role: str) -> None:
    make_user("before@example.org")
    folder = made(place)
    with databases.connect("postgres", autocommit=True) as session:
        session.execute(f'CREATE DATABASE "{home}" OWNER {role}')
    connection.settings_dict["USER"], kept = role, connection.settings_dict["USER"]
    try:
        restored(folder, home)
        with databases.connect(home):  # somebody of the same role
            restored(folder, home, "--replace")
        with databases.using(home):
            assert User.objects.get().email == "before@example.org"
            assert verify().is_whole
            folder = made(place)
            assert "It can be restored." in run("restore", str(folder), "--verify")
    finally:
        connection.settings_dict["USER"] = kept


@pytest.fixture
def role(home: str) -> Iterator[str]:
    """A role that may make databases and is nothing more."""
    with databases.connect("postgres", autocommit=True) as session:
        session.execute("CREATE ROLE nono_plain LOGIN CREATEDB")
        yield "nono_plain"
        for left in all_of(home):
            databases.drop(session, left)
        session.execute("DROP ROLE nono_plain")


@pytest.mark.slow
def test_killed_at_any_point_the_database_is_the_old_or_the_new_one(place: Path, home: str) -> None:
    folder = made(place)
    restored(folder, home)
    with databases.using(home):
        person = make_user("since@example.org")
        make_conversation(person, persona=make_persona())
    before = tables_of(home)
    process = started(home, "restore", str(folder), "--replace")
    wait_until(lambda: f"{home}_restoring" in all_of(home), "the database beside it", START_SECONDS)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert tables_of(home) == before
    for point in (1, 20):
        assert die_restoring(home, folder, point) == "killed"
    assert tables_of(home) == before
    assert f"{home}_restoring" in all_of(home)
    restored(folder, home, "--replace")
    assert all_of(home) == [home], "what the killed left is gone"
    with databases.using(home):
        assert not Conversation.objects.exists()


def die_restoring(home: str, folder: Path, point: int) -> str:
    command = [sys.executable, "-m", "chatbot_project.tests.dying", "chatbot_project.tests.backups:restore_in_place"]
    done = subprocess.run(
        [*command, str(folder), str(point)],
        env=environment_for(home),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_ended_in_order_it_leaves_no_database(place: Path, home: str) -> None:
    folder = made(place)
    process = started(home, "restore", str(folder))
    wait_until(lambda: f"{home}_restoring" in all_of(home), "the database beside it", START_SECONDS)
    process.send_signal(signal.SIGSTOP)
    with databases.using(home), pytest.raises(CommandError, match="Another restore"):
        run("restore", str(folder))
    process.terminate()
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert all_of(home) == []


def is_alive(session: Any) -> bool:
    try:
        session.execute("SELECT 1")
    except Exception:
        return False
    return True
