"""Partitioning a table in use: nobody is held up or refused, what fails changes nothing, and it goes on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError
from django.db import transaction

from accounts.models import User
from accounts.tests.factories import make_user
from chatbot_project.backup import databases
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.postgres import partitions
from chatbot_project.management.commands import partition as command
from chatbot_project.tests.backups import home, place, run
from chatbot_project.tests.doctor_running import examined
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
from conversations import partitioning
from conversations.models import Conversation, Message

__all__ = ["home", "partitioned", "person", "place", "unpartitioned"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)


def test_again_it_makes_what_is_missing_for_the_time_to_come(partitioned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("partition", "messages") == run("partition", "audit") == "No partition is missing.\n"
    before = set(partitioning.MESSAGES.partitions())
    monkeypatch.setattr(command, "AHEAD_MONTHS", command.AHEAD_MONTHS + 6)
    run("partition", "messages")
    (new,) = set(partitioning.MESSAGES.partitions()) - before
    assert set(unique_indexes()) == set(partitioning.MESSAGES.partitions()), "also in the new one"
    message = Message.objects.filter(role="user")[0]
    message.pk = partitioning.first_id(datetime.strptime(new[-7:], "%Y_%m").replace(tzinfo=UTC))
    message.client_id, message._state.adding = None, True
    message.save(force_insert=True)
    assert rows("SELECT tableoid::regclass::text FROM conversations_message WHERE id = %s", [message.pk]) == [(new,)]


@pytest.mark.parametrize("arguments", [("messages", "--months", "0"), ("audit", "--events", "-1")])
def test_a_partition_holds_something(unpartitioned: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="at least"):
        run("partition", *arguments)


def test_a_message_of_a_time_to_come_is_in_the_way_and_nothing_has_changed(unpartitioned: str) -> None:
    with transaction.atomic():
        insert_later(rows, User.objects.get(email="somebody@example.org"), "later")
    before = shape(TABLES[0])
    with pytest.raises(CommandError, match="A key lies where a partition was to be"):
        run("partition", "messages")
    assert shape(TABLES[0]) == before


@pytest.mark.parametrize("queue_each", [1, 10])
@pytest.mark.parametrize("used", ["conversations_feedback", "conversations_message", "conversations_conversation"])
def test_whoever_uses_a_table_is_left_alone_and_nothing_has_changed(
    unpartitioned: str, monkeypatch: pytest.MonkeyPatch, used: str, queue_each: int
) -> None:
    before = shape(TABLES[0])
    with databases.connect(unpartitioned) as session, monkeypatch.context() as soon:
        soon.setattr(partitions, "TRY_SECONDS", 0.1)
        soon.setattr(partitions, "QUEUE_EACH", queue_each)
        # What refers to it, and it itself, must be nobody's; of what it refers to nobody may write the rows.
        mode = "ROW EXCLUSIVE" if used == "conversations_conversation" else "ACCESS SHARE"
        session.execute(f"LOCK TABLE {used} IN {mode} MODE")
        with pytest.raises(CommandError, match="Nothing has changed"):
            run("partition", "messages")
        session.execute("SELECT FROM conversations_message LIMIT 1")  # nobody waits for it either
    assert shape(TABLES[0]) == before
    assert "partitions made" in run("partition", "messages")


def test_nor_is_anybody_held_up_when_it_runs_again(partitioned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "AHEAD_MONTHS", command.AHEAD_MONTHS + 6)
    with databases.connect(partitioned) as session, monkeypatch.context() as soon:
        soon.setattr(partitions, "TRY_SECONDS", 0.1)
        session.execute("SELECT FROM conversations_message")
        with pytest.raises(CommandError, match="Nothing has changed"):
            run("partition", "messages")
    assert "1 partitions made" in run("partition", "messages")


def test_people_ask_and_clear_up_while_it_is_partitioned(unpartitioned: str) -> None:
    """Each on a connection with prepared statements of its own. Nobody is refused, and nothing is lost."""
    ending, began, kept = Event(), Event(), []
    version = Conversation.objects.values_list("persona_version", flat=True)[0]

    def live(number: int) -> None:
        with databases.connect(unpartitioned, autocommit=True) as session:
            session.prepare_threshold = 0
            owner = session.execute(
                "SELECT id FROM accounts_user ORDER BY id LIMIT 1 OFFSET %s", [number]
            ).fetchone()  # fmt: skip
            while not ending.is_set():
                kept.extend(_lives_a_little(session, owner[0], version))
                began.set()

    for _ in range(6):
        make_user()
    with ThreadPoolExecutor(6) as pool:
        lives = [pool.submit(live, number) for number in range(6)]
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
    partitioned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where nobody ran it for years."""
    for table in partitioning.MESSAGES.partitions():
        if not table.endswith(("_first", "_rest")):
            _drop(table)
    with transaction.atomic():
        insert_later(rows, User.objects.get(email="somebody@example.org"), "later")
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


def test_the_oldest_may_go_and_others_are_made_after_it(partitioned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Conversation.objects.all().delete()
    _drop("conversations_message_first")
    monkeypatch.setattr(command, "AHEAD_MONTHS", command.AHEAD_MONTHS + 6)
    assert "1 partitions made" in run("partition", "messages")
    assert set(unique_indexes()) == set(partitioning.MESSAGES.partitions())


def test_an_index_that_was_not_made_to_its_end_is_told_before_anything_is_done(unpartitioned: str) -> None:
    rows("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'message_live'::regclass")
    with pytest.raises(CommandError, match="message_live was not made to its end"):
        run("partition", "messages")
    assert not partitioning.MESSAGES.is_partitioned


def test_where_it_broke_off_the_doctor_says_so_and_it_goes_on(unpartitioned: str) -> None:
    assert examined("partitions")["partitions messages"].status == "ok"
    rows(f"ALTER TABLE {TABLES[0]} ADD CONSTRAINT {TABLES[0]}_before CHECK (id < '{in_a_year()}') NOT VALID")
    found = examined("partitions")["partitions messages"]
    assert (found.status, found.fix) == ("failed", "Run: manage.py partition messages")
    run("partition", "messages")
    assert examined("partitions")["partitions messages"].status == "ok"


def test_what_was_not_looked_through_when_it_was_killed_is_when_it_runs_again(
    unpartitioned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(partitions.PartitionedTable, "check", lambda _self: None)
        run("partition", "messages")
    waiting = "SELECT count(*) FROM pg_constraint WHERE NOT convalidated"
    assert rows(waiting)[0][0] > 3
    run("partition", "messages")
    assert rows(waiting) == [(0,)]
