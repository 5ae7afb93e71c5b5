"""Databases of a test's own whose two growing tables are partitioned or about to be, and looking into them."""

import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from accounts.audit.chain import seal
from accounts.models import User
from accounts.services import record_audit
from accounts.tests.factories import make_user
from chatbot_project.backup import databases
from chatbot_project.tests.backups import home, made, place, restored, run
from chatbot_project.tests.documents import running
from conversations import partitioning
from conversations.models import Citation, Feedback
from conversations.tests.factories import make_exchange, make_persona

__all__ = ["home", "place"]  # fixtures

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
def unpartitioned(person: User, place: Path, home: str) -> Iterator[str]:
    """A database of the test's own with what ``person`` has, in use."""
    restored(made(place), home)
    with databases.using(home):
        yield home


@pytest.fixture
def partitioned(unpartitioned: str) -> str:
    with running("partitions") as told:
        for command in told.take_all():
            run(*shlex.split(command.plain, comments=True)[2:])
    return unpartitioned


def rows(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def shape(table: str) -> set[tuple[Any, ...]]:
    return set(rows(SHAPE, {"table": table}))


def in_a_year() -> UUID:
    return partitioning.first_id(timezone.now() + timedelta(days=365))


def insert_later(execute: Callable[..., Any], user: User, client_id: str, conversation: UUID | None = None) -> None:
    """A question whose id is of next year."""
    execute(
        "INSERT INTO conversations_message (id, conversation_id, owner_id, role, status, text, client_id, created_at,"
        " provider, epoch, worker, stop_requested, model, finish_reason, error_code, usage_estimated) SELECT %s,"
        " coalesce(%s, (SELECT id FROM conversations_conversation LIMIT 1)), %s, 'user', 'sent', '', %s, now(), '', 0,"
        " '', false, '', '', '', false",
        [in_a_year(), conversation, user.pk, client_id],
    )


def unique_indexes() -> list[str]:
    return [
        table
        for (table,) in rows(
            "SELECT indrelid::regclass::text FROM pg_index WHERE indisunique AND NOT indisprimary"
            " AND indrelid::regclass::text LIKE 'conversations_message_%%' AND indnatts = 2"
        )
        if table in partitioning.MESSAGES.partitions()
    ]
