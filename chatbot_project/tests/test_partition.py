"""The two tables that grow for ever in partitions: nothing is lost or loosened by it, and what fails changes nothing.

The queue's and the trail's own tests run on divided tables as well, as `pytest --divided` runs any.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import CommandError
from django.db import IntegrityError, InternalError, ProgrammingError, connection, models, transaction
from django.utils import timezone

from accounts.audit.chain import seal
from accounts.audit.guards import grant, missing_guards
from accounts.audit.verifying import verify
from accounts.models import AuditEvent, AuditLink, User
from accounts.services import record_audit
from accounts.tests.factories import make_user
from chatbot_project.backup import databases
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.postgres import partitions
from chatbot_project.management.commands import partition as command
from chatbot_project.tests.backups import home, made, place, restored, run
from chatbot_project.tests.doctor_running import examined
from chatbot_project.tests.documents import running
from conversations import dividing, services
from conversations.models import Citation, Conversation, Feedback, Message
from conversations.tests.factories import ask, make_exchange, make_persona
from conversations.tests.stack import wait_until

__all__ = ["home", "place"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)

TABLES = ("conversations_message", "accounts_auditevent")
# All that the rest of the database knows of a table; an index or constraint below another goes with that one.
SHAPE = """
    SELECT 'column', attname, format_type(atttypid, atttypmod) || ' ' || attnotnull || ' ' || (attidentity <> ''),
           pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = %(table)s::regclass AND attnum > 0
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid), convalidated::text
    FROM pg_constraint WHERE %(table)s::regclass IN (conrelid, confrelid) AND conparentid = 0 AND contype <> 'n'
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON '),
           indisvalid::text
    FROM pg_index WHERE indrelid = %(table)s::regclass
    UNION ALL
    SELECT 'trigger', tgname, pg_get_triggerdef(oid), tgenabled::text
    FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal
    UNION ALL
    SELECT 'right', grantee, privilege_type, '' FROM information_schema.role_table_grants WHERE table_name = %(table)s
"""


@pytest.fixture
def person(place: Path) -> User:
    """Who asked something, was answered, and thought of it."""
    make_persona()
    user = make_user("somebody@example.org")
    for number in range(3):
        reply = make_exchange(user, f"Question {number}?").reply
        Feedback.objects.create(message=reply, value=1)
        Citation.objects.create(message=reply, number=1, question="Which?", score=0.9)
        record_audit(actor=user, action="test.done", obj=user, reason=f"because {number}")
    seal()
    return user


@pytest.fixture
def undivided(person: User, place: Path, home: str) -> Iterator[str]:
    """A database of the test's own with what ``person`` has, in use."""
    restored(made(place), home)
    with databases.using(home):
        yield home


@pytest.fixture
def divided(undivided: str) -> str:
    with running("partitions") as told:
        for command in told.take_all():
            run(*shlex.split(command.plain, comments=True)[2:])
    return undivided


def rows(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def shape(table: str) -> set[tuple[Any, ...]]:
    return set(rows(SHAPE, {"table": table}))


def in_a_year() -> UUID:
    return dividing.first_id(timezone.now() + timedelta(days=365))


def test_everything_is_still_there_and_known_by_the_same_names(undivided: str) -> None:
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


def test_people_go_on_asking_and_are_erased(divided: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    accepted = ask(user)
    assert Message.objects.get(pk=accepted.reply.pk).parent_id == accepted.question.pk
    with pytest.raises(IntegrityError):
        Feedback.objects.create(message_id=in_a_year(), value=1)
    Conversation.objects.filter(owner=user).delete()
    assert not Message.objects.exists()
    assert not Citation.objects.exists()


def test_a_client_id_is_used_once_whichever_partition_a_message_falls_into(divided: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    first = services.send_message(user=user, client_id="once", text="Hello?")
    again = services.send_message(user=user, client_id="once", text="Hello?")
    assert again.question.pk == first.question.pk
    with pytest.raises(IntegrityError, match="client_id"), transaction.atomic():
        _insert_later(rows, user, "once")
    with transaction.atomic():
        _insert_later(rows, make_user(), "once", first.conversation.pk)  # another person's is another
    assert {name for (name,) in rows("SELECT tableoid::regclass::text FROM conversations_message")} > {
        "conversations_message_first"
    }


def test_of_two_at_once_the_second_waits_for_the_first(divided: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    stored = Event()

    def first() -> int:
        """Commits when another waits for it; how many did."""
        with databases.connect(divided) as session, databases.connect(divided, autocommit=True) as looking:
            _insert_later(session.execute, user, "twice")
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


def _insert_later(execute: Callable[..., Any], user: User, client_id: str, conversation: UUID | None = None) -> None:
    """A question whose id is of next year."""
    execute(
        "INSERT INTO conversations_message (id, conversation_id, owner_id, role, status, text, client_id, created_at,"
        " provider, epoch, worker, stop_requested, model, finish_reason, error_code, usage_estimated) SELECT %s,"
        " coalesce(%s, (SELECT id FROM conversations_conversation LIMIT 1)), %s, 'user', 'sent', '', %s, now(), '', 0,"
        " '', false, '', '', '', false",
        [in_a_year(), conversation, user.pk, client_id],
    )


def test_the_trail_is_numbered_on_and_append_only_in_each_partition(divided: str) -> None:
    user = User.objects.get(email="somebody@example.org")
    newest = AuditEvent.objects.order_by("-id")[0].pk
    event = record_audit(actor=user, action="test.done", obj=user)
    assert event.pk > newest
    seal()
    assert AuditLink.objects.filter(event_id=event.pk).exists()
    for table in (TABLES[1], *partitions.DividedTable(TABLES[1], "id").partitions()):
        for change in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"UPDATE {table} SET action = ''"):
            if rows(f"SELECT FROM {table} LIMIT 1") or change.startswith("TRUNCATE"):
                with pytest.raises((ProgrammingError, InternalError), match="append-only"), transaction.atomic():
                    rows(change)


def test_again_it_makes_what_is_missing_for_the_time_to_come(divided: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("partition", "messages") == run("partition", "audit") == "No partition is missing.\n"
    before = set(dividing.MESSAGES.partitions())
    monkeypatch.setattr(command, "AHEAD_MONTHS", command.AHEAD_MONTHS + 6)
    run("partition", "messages")
    (new,) = set(dividing.MESSAGES.partitions()) - before
    assert set(_unique_indexes()) == set(dividing.MESSAGES.partitions()), "also in the new one"
    message = Message.objects.filter(role="user")[0]
    message.pk = dividing.first_id(datetime.strptime(new[-7:], "%Y_%m").replace(tzinfo=UTC))
    message.client_id, message._state.adding = None, True
    message.save(force_insert=True)
    assert rows("SELECT tableoid::regclass::text FROM conversations_message WHERE id = %s", [message.pk]) == [(new,)]


def _unique_indexes() -> list[str]:
    return [
        table
        for (table,) in rows(
            "SELECT indrelid::regclass::text FROM pg_index WHERE indisunique AND NOT indisprimary"
            " AND indrelid::regclass::text LIKE 'conversations_message_%%' AND indnatts = 2"
        )
        if table in dividing.MESSAGES.partitions()
    ]


@pytest.mark.parametrize("arguments", [("messages", "--months", "0"), ("audit", "--events", "-1")])
def test_a_partition_holds_something(undivided: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="at least"):
        run("partition", *arguments)


def test_a_message_of_a_time_to_come_is_in_the_way_and_nothing_has_changed(undivided: str) -> None:
    with transaction.atomic():
        _insert_later(rows, User.objects.get(email="somebody@example.org"), "later")
    before = shape(TABLES[0])
    with pytest.raises(CommandError, match="A key lies where a partition was to be"):
        run("partition", "messages")
    assert shape(TABLES[0]) == before


@pytest.mark.parametrize("used", ["conversations_feedback", "conversations_message", "conversations_conversation"])
def test_whoever_uses_a_table_is_left_alone_and_nothing_has_changed(
    undivided: str, monkeypatch: pytest.MonkeyPatch, used: str
) -> None:
    before = shape(TABLES[0])
    with databases.connect(undivided) as session, monkeypatch.context() as soon:
        soon.setattr(partitions, "TRY_SECONDS", 0.1)
        # What refers to it, and it itself, must be nobody's; of what it refers to nobody may write the rows.
        mode = "ROW EXCLUSIVE" if used == "conversations_conversation" else "ACCESS SHARE"
        session.execute(f"LOCK TABLE {used} IN {mode} MODE")
        with pytest.raises(CommandError, match="Nothing has changed"):
            run("partition", "messages")
        session.execute("SELECT FROM conversations_message LIMIT 1")  # nobody waits for it either
    assert shape(TABLES[0]) == before
    assert "partitions made" in run("partition", "messages")


def test_nor_is_anybody_held_up_when_it_runs_again(divided: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "AHEAD_MONTHS", command.AHEAD_MONTHS + 6)
    with databases.connect(divided) as session, monkeypatch.context() as soon:
        soon.setattr(partitions, "TRY_SECONDS", 0.1)
        session.execute("SELECT FROM conversations_message")
        with pytest.raises(CommandError, match="Nothing has changed"):
            run("partition", "messages")
    assert "1 partitions made" in run("partition", "messages")


def test_people_ask_and_clear_up_while_it_is_divided(undivided: str) -> None:
    """Each on a connection with prepared statements of its own. Nobody is refused, and nothing is lost."""
    ending, began, kept = Event(), Event(), []
    version = Conversation.objects.values_list("persona_version", flat=True)[0]

    def live(number: int) -> None:
        with databases.connect(undivided, autocommit=True) as session:
            session.prepare_threshold = 0
            owner = session.execute(
                "SELECT id FROM accounts_user ORDER BY id LIMIT 1 OFFSET %s", [number]
            ).fetchone()  # fmt: skip
            while not ending.is_set():
                kept.extend(_lives_a_little(session, owner[0], version))
                began.set()

    for _ in range(3):
        make_user()
    with ThreadPoolExecutor(3) as pool:
        lives = [pool.submit(live, number) for number in range(3)]
        try:
            assert began.wait(30) or [each.exception(0) for each in lives if each.done()] == []
            run("partition", "messages")
        finally:
            ending.set()
        for each in lives:
            each.result(30)
    assert set(kept) <= set(Message.objects.values_list("pk", flat=True))
    assert len(kept) > 3


def _lives_a_little(session: Any, owner: UUID, version: UUID) -> Iterator[UUID]:
    """A conversation with a question that stays, and one that is deleted again, in the order in which the product locks
    their rows."""
    for stays in (True, False):
        conversation, question = uuid7(), uuid7()
        with session.transaction():
            session.execute(
                "INSERT INTO conversations_conversation (id, owner_id, persona_version_id, title, title_source, pinned,"
                " created_at, updated_at, revision, summary)"
                " VALUES (%s, %s, %s, '', 'question', false, now(), now(), 0, '')",
                [conversation, owner, version],
            )
            session.execute(
                "INSERT INTO conversations_message (id, conversation_id, owner_id, role, status, text, client_id,"
                " created_at, provider, epoch, worker, stop_requested, model, finish_reason, error_code,"
                " usage_estimated) VALUES (%s, %s, %s, 'user', 'sent', '', %s, now(), '', 0, '', false, '', '', '',"
                " false)",
                [question, conversation, owner, question.hex],
            )
        if stays:
            yield question
            continue
        with session.transaction():
            session.execute("UPDATE conversations_conversation SET revision = 1 WHERE id = %s", [conversation])
            session.execute("DELETE FROM conversations_message WHERE conversation_id = %s", [conversation])
            session.execute("DELETE FROM conversations_conversation WHERE id = %s", [conversation])


def test_what_lies_in_no_range_stays_there_and_the_next_ones_come_after_it(
    divided: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where nobody ran it for years."""
    for table in dividing.MESSAGES.partitions():
        if not table.endswith(("_first", "_rest")):
            _drop(table)
    with transaction.atomic():
        _insert_later(rows, User.objects.get(email="somebody@example.org"), "later")
    assert examined("partitions")["partitions messages"].status == "warning"
    monkeypatch.setattr(command.timezone, "now", lambda: datetime.now(UTC) + timedelta(days=400))
    assert "partitions made" in run("partition", "messages")
    assert rows("SELECT tableoid::regclass::text FROM conversations_message WHERE client_id = 'later'") == [
        ("conversations_message_rest",)
    ]
    assert run("partition", "messages") == "No partition is missing.\n"


def _drop(partition: str) -> None:
    rows(f"ALTER TABLE {TABLES[0]} DETACH PARTITION {partition}")
    rows(f"DROP TABLE {partition}")


def test_the_oldest_may_go_and_others_are_made_after_it(divided: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Conversation.objects.all().delete()
    _drop("conversations_message_first")
    monkeypatch.setattr(command, "AHEAD_MONTHS", command.AHEAD_MONTHS + 6)
    assert "1 partitions made" in run("partition", "messages")
    assert set(_unique_indexes()) == set(dividing.MESSAGES.partitions())


def test_an_index_that_was_not_made_to_its_end_is_told_before_anything_is_done(undivided: str) -> None:
    rows("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'message_live'::regclass")
    with pytest.raises(CommandError, match="message_live was not made to its end"):
        run("partition", "messages")
    assert not dividing.MESSAGES.is_divided


def test_where_it_broke_off_the_doctor_says_so_and_it_goes_on(undivided: str) -> None:
    assert examined("partitions")["partitions messages"].status == "ok"
    rows(f"ALTER TABLE {TABLES[0]} ADD CONSTRAINT {TABLES[0]}_before CHECK (id < '{in_a_year()}') NOT VALID")
    found = examined("partitions")["partitions messages"]
    assert (found.status, found.fix) == ("failed", "Run: manage.py partition messages")
    run("partition", "messages")
    assert examined("partitions")["partitions messages"].status == "ok"


def test_what_guards_the_trail_is_looked_for_in_each_partition(divided: str) -> None:
    rows("ALTER TABLE accounts_auditevent_first DISABLE TRIGGER audit_refuse_change")
    rows("DROP TRIGGER audit_refuse_truncate ON accounts_auditevent_rest")
    assert [(guard.table, guard.name) for guard in missing_guards()] == [
        ("accounts_auditevent_first", "audit_refuse_change"),
        ("accounts_auditevent_rest", "audit_refuse_truncate"),
    ]


def test_what_was_not_looked_through_when_it_was_killed_is_when_it_runs_again(
    undivided: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(partitions.DividedTable, "check", lambda _self: None)
        run("partition", "messages")
    waiting = "SELECT count(*) FROM pg_constraint WHERE NOT convalidated"
    assert rows(waiting)[0][0] > 3
    run("partition", "messages")
    assert rows(waiting) == [(0,)]


def test_a_later_version_makes_and_removes_an_index_of_all_partitions(divided: str) -> None:
    index = models.Index(fields=["model", "created_at"], name="message_new")
    with connection.schema_editor(atomic=False) as editor:
        editor.add_index(Message, index, concurrently=True)
    below = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'message_new'::regclass"
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'message_new'::regclass") == [(True,)]
    assert rows(below) == [(len(dividing.MESSAGES.partitions()),)]
    with connection.schema_editor(atomic=False) as editor:
        editor.remove_index(Message, index, concurrently=True)
    assert rows("SELECT to_regclass('message_new')") == [(None,)]


def test_a_backup_of_divided_tables_comes_back(divided: str, place: Path) -> None:
    before = {table: shape(table) for table in TABLES}
    folder, again = made(place), f"{divided}_again"
    restored(folder, again)
    with databases.using(again):
        assert {table: shape(table) for table in TABLES} == before
        assert Message.objects.count() == 6
        assert len(_unique_indexes()) == len(dividing.MESSAGES.partitions())
        assert missing_guards() == []


def test_tables_are_divided_where_that_is_asked_for(pytestconfig: pytest.Config) -> None:
    assert dividing.MESSAGES.is_divided == pytestconfig.getoption("divided")


@pytest.mark.slow
@pytest.mark.parametrize(
    "modules",
    [
        ["conversations/tests/test_queue.py", "conversations/tests/test_services.py"],
        ["accounts/tests/test_audit.py", "accounts/tests/test_audit_chain.py"],
    ],
)
def test_what_uses_them_passes_its_tests_on_divided_tables(modules: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--divided", *modules]
    command.append(f"{__file__}::test_tables_are_divided_where_that_is_asked_for")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PYTEST_"))}
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
