"""Migrations run while the version before is serving (docs/upgrading.md): none locks a table for long, and none takes
away or demands what that version does not know of."""

import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations import RunPython
from django.db.migrations.state import ProjectState
from django.db.models import IntegerField

from accounts.models import User
from chatbot_project.lib.postgres import base
from chatbot_project.management.commands import prepare
from chatbot_project.tests.shipped_migrations import FIRST_RELEASE

SQUAWK = Path(sys.executable).parent / "squawk"
#: What squawk is asked to find; that whole names are longer than it likes, say, is nothing to us.
RULES = {
    # The table stays locked while all of it is read or written.
    "adding-field-with-default",  # a volatile default
    "adding-not-nullable-field",
    "adding-serial-primary-key-field",
    "changing-column-type",
    "constraint-missing-not-valid",
    "disallowed-unique-constraint",
    "require-concurrent-index-creation",
    "require-concurrent-index-deletion",
    "ban-concurrent-index-creation-in-transaction",
    # The version before fails on it. Not `adding-foreign-key-constraint`: an empty new column is not looked through,
    # and what is added to an old one falls under `constraint-missing-not-valid`.
    "adding-required-field",
    "ban-drop-column",
    "ban-drop-default",
    "ban-drop-table",
    "renaming-column",
    "renaming-table",
}
MIXED = "data-apart-from-tables"

Name = tuple[str, str]


@pytest.fixture(scope="module")
def found(django_db_setup: None, django_db_blocker: Any) -> dict[Name, set[str]]:
    """The rules that each of our migrations breaks."""
    ours = {app.label for app in apps.get_app_configs() if Path(app.path).parent == settings.BASE_DIR}
    sql: dict[Name, str] = {}
    mixed: set[Name] = set()
    with django_db_blocker.unblock():
        executor, state = MigrationExecutor(connection), ProjectState()
        for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True):
            if migration.app_label not in ours:
                state = migration.mutate_state(state, preserve=False)
                continue
            with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
                state = migration.apply(state, editor, collect_sql=True)
            name, text = (migration.app_label, migration.name), "\n".join(editor.collected_sql)
            sql[name] = f"BEGIN;\n{text}\nCOMMIT;" if migration.atomic else text
            mixed |= {name} if mixes_data_with_tables(migration) else set()
    broken = broken_rules(sql)
    for name in mixed:
        broken[name].add(MIXED)
    assert len(broken) > 40
    return {name: rules for name, rules in broken.items() if rules}


def broken_rules(sql: dict[Name, str]) -> dict[Name, set[str]]:
    """Of RULES, those that squawk finds broken."""
    broken: dict[Name, set[str]] = {name: set() for name in sql}
    with TemporaryDirectory() as folder:
        files = {str(Path(folder) / f"{app}.{name}.sql"): (app, name) for app, name in sql}
        for file, name in files.items():
            Path(file).write_text(sql[name])
        command = [SQUAWK, "--pg-version", "18", "--reporter", "json", *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    for finding in json.loads(done.stdout):
        if finding["rule_name"] in RULES:
            broken[files[finding["file"]]].add(finding["rule_name"])
    return broken


def mixes_data_with_tables(migration: Migration) -> bool:
    """Whether it changes tables and rows in one transaction, which would keep the tables locked for as long."""
    has_data = any(isinstance(operation, RunPython) for operation in migration.operations)
    return has_data and any(not isinstance(operation, RunPython) for operation in migration.operations)


def test_no_migration_locks_long_or_breaks_the_version_before(found: dict[Name, set[str]]) -> None:
    new = {name: rules - FIRST_RELEASE.get(name, set()) for name, rules in found.items()}
    assert {name: rules for name, rules in new.items() if rules} == {}, "docs/upgrading.md says what to do instead"


def test_exceptions_are_of_what_is_still_there(found: dict[Name, set[str]]) -> None:
    assert {name: rules & found.get(name, set()) for name, rules in FIRST_RELEASE.items()} == FIRST_RELEASE


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ('CREATE INDEX "i" ON "t" ("a");', "require-concurrent-index-creation"),
        ('ALTER TABLE "t" ADD CONSTRAINT "u" UNIQUE ("a");', "disallowed-unique-constraint"),
        ('ALTER TABLE "t" ADD CONSTRAINT "c" CHECK ("a" > 0);', "constraint-missing-not-valid"),
        ('ALTER TABLE "t" ADD CONSTRAINT "f" FOREIGN KEY ("a") REFERENCES "o" ("id");', "constraint-missing-not-valid"),
        ('ALTER TABLE "t" ALTER COLUMN "a" TYPE bigint;', "changing-column-type"),
        ('ALTER TABLE "t" ALTER COLUMN "a" SET NOT NULL;', "adding-not-nullable-field"),
        ('ALTER TABLE "t" ADD COLUMN "a" bigint NOT NULL;', "adding-required-field"),
        ('ALTER TABLE "t" ADD COLUMN "a" uuid DEFAULT gen_random_uuid() NOT NULL;', "adding-field-with-default"),
        ('ALTER TABLE "t" ALTER COLUMN "a" DROP DEFAULT;', "ban-drop-default"),
        ('ALTER TABLE "t" DROP COLUMN "a";', "ban-drop-column"),
        ('ALTER TABLE "t" RENAME COLUMN "a" TO "b";', "renaming-column"),
        ('DROP TABLE "t";', "ban-drop-table"),
    ],
)
def test_what_must_not_be_is_found(statement: str, rule: str) -> None:
    assert rule in broken_rules({("app", "new"): f"BEGIN;\n{statement}\nCOMMIT;"})["app", "new"]


@pytest.mark.parametrize(
    "statement",
    [
        'BEGIN;\nALTER TABLE "t" ADD COLUMN "a" bigint DEFAULT 0 NOT NULL;\nCOMMIT;',
        'BEGIN;\nALTER TABLE "t" ADD COLUMN "a" uuid NULL REFERENCES "o" ("id") DEFERRABLE;\nCOMMIT;',
        'BEGIN;\nALTER TABLE "t" ADD CONSTRAINT "c" CHECK ("a" > 0) NOT VALID;\nCOMMIT;',
        'CREATE INDEX CONCURRENTLY "i" ON "t" ("a");',
        'BEGIN;\nCREATE TABLE "t" ("a" bigint NOT NULL);\nCREATE INDEX "i" ON "t" ("a");\nCOMMIT;',
    ],
)
def test_what_may_be_is_not_held_up(statement: str) -> None:
    assert broken_rules({("app", "new"): statement})["app", "new"] == set()


@pytest.fixture
def held(transactional_db: None) -> Iterator[None]:
    """Somebody reads the table of people, in a transaction that goes on."""
    has_read, may_end = Event(), Event()

    def read() -> None:
        try:
            with transaction.atomic():
                User.objects.exists()
                has_read.set()
                may_end.wait(30)
        finally:
            connection.close()

    reading = Thread(target=read)
    reading.start()
    assert has_read.wait(30)
    yield
    may_end.set()
    reading.join()


def add_a_column() -> None:
    """As a migration does."""
    field = IntegerField(null=True)
    field.set_attributes_from_name("never_there")
    with connection.schema_editor() as editor:
        editor.add_field(User, field)


def test_a_migration_that_gets_no_lock_gives_up_and_has_changed_nothing(
    held: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MIGRATION_LOCK_SECONDS", 0.05)
    with pytest.raises(OperationalError, match="lock timeout"):
        add_a_column()
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)  # for whatever comes after it
        cursor.execute("SELECT * FROM accounts_user LIMIT 0")
        assert "never_there" not in {column.name for column in cursor.description}


def test_prepare_says_that_a_table_was_in_use_and_what_to_do(held: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MIGRATION_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(prepare, "pending_migrations", lambda: 1)
    monkeypatch.setattr(prepare, "migrate", add_a_column)
    with pytest.raises(CommandError, match="has changed nothing"):
        call_command("prepare", stdout=StringIO())
