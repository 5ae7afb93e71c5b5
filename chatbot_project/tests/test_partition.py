"""The two tables that grow for ever in partitions: nothing is lost or loosened by it, and what fails changes nothing.

The queue's and the trail's own tests run on partitioned tables as well, as `pytest --partitioned` runs any.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from django.conf import settings
from django.db import IntegrityError, InternalError, ProgrammingError, connection, models, transaction

from accounts.audit.chain import seal
from accounts.audit.guards import grant, missing_guards
from accounts.audit.verifying import verify
from accounts.models import AuditEvent, AuditLink, User
from accounts.services import record_audit
from accounts.tests.factories import make_user
from chatbot_project.backup import databases
from chatbot_project.lib.postgres import partitions
from chatbot_project.tests.backups import home, made, place, restored, run
from chatbot_project.tests.partitioned import (
    TABLES,
    in_a_year,
    insert_later,
    partitioned,
    person,
    rows,
    shape,
    unique_indexes,
    unpartitioned,
)
from conversations import partitioning, services
from conversations.models import Citation, Conversation, Feedback, Message
from conversations.tests.factories import ask
from conversations.tests.stack import wait_until

__all__ = ["home", "partitioned", "person", "place", "unpartitioned"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)


def test_everything_is_still_there_and_known_by_the_same_names(unpartitioned: str) -> None:
    for statement in ["ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO partition_app", *grant(_role())]:
        rows(statement)
    before = {table: shape(table) for table in TABLES}
    kept = [list(model.objects.order_by("pk").values()) for model in (Message, Feedback, Citation, AuditEvent)]
    said = run("partition", "messages") + run("partition", "audit")
    assert "conversations_message_first" in said
    assert "accounts_auditevent_rest" in said
    assert [list(model.objects.order_by("pk").values()) for model in (Message, Feedback, Citation, AuditEvent)] == kept
    after = {table: shape(table) for table in TABLES}
    assert after["accounts_auditevent"] == before["accounts_auditevent"]
    gone, new = before[TABLES[0]] - after[TABLES[0]], after[TABLES[0]] - before[TABLES[0]]
    assert {(kind, name) for kind, name, *_ in gone} == {("index", "message_client_id")}
    assert {(kind, name) for kind, name, *_ in new} == {("trigger", "message_client_id_once")}
    assert missing_guards() == []
    assert verify([]).is_whole
    below = (
        "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'partition_app' AND table_name ~ %s"
    )
    assert rows(below, [f"^({'|'.join(TABLES)})_"]) == [(0,)]


def _role() -> str:
    rows("DO $$ BEGIN CREATE ROLE partition_app; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    return "partition_app"


def test_people_go_on_asking_and_are_erased(partitioned: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    accepted = ask(user)
    assert Message.objects.get(pk=accepted.reply.pk).parent_id == accepted.question.pk
    with pytest.raises(IntegrityError):
        Feedback.objects.create(message_id=in_a_year(), value=1)
    Conversation.objects.filter(owner=user).delete()
    assert not Message.objects.exists()
    assert not Citation.objects.exists()


def test_a_client_id_is_used_once_whichever_partition_a_message_falls_into(partitioned: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    first = services.send_message(user=user, client_id="once", text="Hello?")
    again = services.send_message(user=user, client_id="once", text="Hello?")
    assert again.question.pk == first.question.pk
    with pytest.raises(IntegrityError, match="client_id"), transaction.atomic():
        insert_later(rows, user, "once")
    with transaction.atomic():
        insert_later(rows, make_user(), "once", first.conversation.pk)  # another person's is another
    assert {name for (name,) in rows("SELECT tableoid::regclass::text FROM conversations_message")} > {
        "conversations_message_first"
    }


def test_of_two_at_once_the_second_waits_for_the_first(partitioned: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    stored = Event()

    def first() -> int:
        """Commits when another waits for it; how many did."""
        with databases.connect(partitioned) as session, databases.connect(partitioned, autocommit=True) as looking:
            insert_later(session.execute, user, "twice")
            stored.set()
            waiting = (
                "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            return wait_until(lambda: len(looking.execute(waiting).fetchall()), "the other waits")

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(first)
        assert stored.wait(30)
        with pytest.raises(IntegrityError, match="used before"), transaction.atomic():
            _insert_now(user, "twice")
        assert other.result(30) == 1
    assert Message.objects.filter(client_id="twice").count() == 1


def _insert_now(user: User, client_id: str) -> None:
    conversation = Conversation.objects.filter(owner=user)[0]
    Message.objects.create(conversation=conversation, owner=user, role="user", status="sent", client_id=client_id)


def test_the_trail_is_numbered_on_and_append_only_in_each_partition(partitioned: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    newest = AuditEvent.objects.order_by("-id")[0].pk
    event = record_audit(actor=user, action="test.done", obj=user)
    assert event.pk > newest
    seal()
    assert AuditLink.objects.filter(event_id=event.pk).exists()
    for table in (TABLES[1], *partitions.PartitionedTable(TABLES[1], "id").partitions()):
        for change in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"UPDATE {table} SET action = ''"):
            if rows(f"SELECT FROM {table} LIMIT 1") or change.startswith("TRUNCATE"):
                with pytest.raises((ProgrammingError, InternalError), match="append-only"), transaction.atomic():
                    rows(change)


def test_what_guards_the_trail_is_looked_for_in_each_partition(partitioned: str) -> None:
    rows("ALTER TABLE accounts_auditevent_first DISABLE TRIGGER audit_refuse_change")
    rows("DROP TRIGGER audit_refuse_truncate ON accounts_auditevent_rest")
    assert [(guard.table, guard.name) for guard in missing_guards()] == [
        ("accounts_auditevent_first", "audit_refuse_change"),
        ("accounts_auditevent_rest", "audit_refuse_truncate"),
    ]


def test_a_later_version_makes_and_removes_an_index_of_all_partitions(partitioned: str) -> None:
    index = models.Index(fields=["model", "created_at"], name="message_new")
    with connection.schema_editor(atomic=False) as editor:
        editor.add_index(Message, index, concurrently=True)
    below = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'message_new'::regclass"
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'message_new'::regclass") == [(True,)]
    assert rows(below) == [(len(partitioning.MESSAGES.partitions()),)]
    with connection.schema_editor(atomic=False) as editor:
        editor.remove_index(Message, index, concurrently=True)
    assert rows("SELECT to_regclass('message_new')") == [(None,)]


def test_a_backup_of_partitioned_tables_comes_back(partitioned: str, place: Path) -> None:
    before = {table: shape(table) for table in TABLES}
    folder, again = made(place), f"{partitioned}_again"
    restored(folder, again)
    with databases.using(again):
        assert {table: shape(table) for table in TABLES} == before
        assert Message.objects.count() == 6
        assert len(unique_indexes()) == len(partitioning.MESSAGES.partitions())
        assert missing_guards() == []


def test_tables_are_partitioned_where_that_is_asked_for(pytestconfig: pytest.Config) -> None:
    assert partitioning.MESSAGES.is_partitioned == pytestconfig.getoption("partitioned")


@pytest.mark.slow
@pytest.mark.parametrize(
    "modules",
    [
        ["conversations/tests/test_queue.py", "conversations/tests/test_services.py"],
        ["accounts/tests/test_audit.py", "accounts/tests/test_audit_chain.py"],
    ],
)
def test_what_uses_them_passes_its_tests_on_partitioned_tables(modules: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--partitioned", *modules]
    command.append(f"{__file__}::test_tables_are_partitioned_where_that_is_asked_for")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PYTEST_"))}
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
