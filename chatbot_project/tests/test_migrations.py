"""Migrations run while the version before is serving (docs/upgrading.md): none locks a table for long, and none takes
away or demands what that version does not know of."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread, Timer
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations import RunPython, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
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
# What squawk has no rule for is looked for in the statements, and in what is done in Python.
MIXED = "data-apart-from-tables"  # tables stay locked while rows are changed
AT_ONCE = "data-in-batches"  # rows stay locked, and what was replaced stays in the table, until all are changed
REWRITING = "rewriting-table"  # the table stays locked while it is written anew
LOCKING = "locking-table"  # as long as the transaction takes
VALIDATING = "validating-under-lock"  # the table stays locked, for what came before, while all of it is read
_NO_STATEMENT = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_ROWS = re.compile(r"(?:INSERT|UPDATE|DELETE|MERGE|COPY|TRUNCATE|WITH|DO)\b")
_TABLES = re.compile(r"(?:ALTER|CREATE|DROP)\b")
_REWRITE = re.compile(r"(?:CLUSTER|VACUUM \(?FULL)\b|ALTER .*\bSET (?:LOGGED|UNLOGGED|TABLESPACE|ACCESS METHOD)\b")

Name = tuple[str, str]


@pytest.fixture(scope="module")
def found(django_db_setup: None, django_db_blocker: Any) -> dict[Name, set[str]]:
    """The rules that each of our migrations breaks."""
    ours = {app.label for app in apps.get_app_configs() if Path(app.path).parent == settings.BASE_DIR}
    sql: dict[Name, str] = {}
    by_code: dict[Name, set[str]] = {}
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
            by_code[name] = rules_of_code(migration, text)
    broken = broken_rules(sql)
    assert len(broken) > 40
    return {name: rules | by_code[name] for name, rules in broken.items() if rules | by_code[name]}


def broken_rules(sql: dict[Name, str]) -> dict[Name, set[str]]:
    """Of RULES, those that squawk finds broken, and those that are only looked for here."""
    broken = {name: rules_of_statements(text) for name, text in sql.items()}
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


def rules_of_statements(sql: str) -> set[str]:
    """The rules that single statements break; what functions that are only made would do is none of them."""
    found = statements(sql)
    changes_rows = any(_ROWS.match(each) for each in found)
    validates = [each for each in found if " VALIDATE CONSTRAINT " in each]
    alters = [each for each in found if each.startswith("ALTER TABLE ")]
    broken = {
        MIXED: changes_rows and any(_TABLES.match(each) for each in found),
        AT_ONCE: changes_rows,  # in one statement
        REWRITING: any(_REWRITE.match(each) for each in found),
        LOCKING: any(each.startswith("LOCK ") for each in found),
        VALIDATING: found[:1] == ["BEGIN"] and bool(validates) and len(alters) > len(validates),
    }
    return {rule for rule, is_broken in broken.items() if is_broken}


def statements(sql: str) -> list[str]:
    """Each in capitals on one line, without texts, comments and the bodies of functions."""
    parts = _NO_STATEMENT.sub(" ", sql).upper().split(";")
    return [" ".join(part.split()) for part in parts if part.strip()]


def rules_of_code(migration: Migration, sql: str) -> set[str]:
    """The rules that what it does in Python breaks, beside the statements ``sql``."""
    code = [operation for operation in operations_of(migration.operations) if isinstance(operation, RunPython)]
    if not code:
        return set()
    at_once = {AT_ONCE} if migration.atomic or any(operation.atomic for operation in code) else set()
    return at_once | ({MIXED} if any(_TABLES.match(each) for each in statements(sql)) else set())


def operations_of(operations: Sequence[Operation]) -> Iterator[Operation]:
    """All that touch the database, those within others as well."""
    for operation in operations:
        yield operation
        yield from operations_of(getattr(operation, "database_operations", ()))


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
        ('ALTER TABLE "t" ADD COLUMN "b" bigint NULL;\nupdate t set b = 1;', MIXED),
        ('WITH "old" AS (DELETE FROM "t" RETURNING *) INSERT INTO "o" SELECT * FROM "old";', AT_ONCE),
        ('DO $$ BEGIN UPDATE "t" SET "a" = 1; END $$;', AT_ONCE),
        ('ALTER TABLE "t" SET LOGGED;', REWRITING),
        ('ALTER TABLE "t" SET TABLESPACE "fast";', REWRITING),
        ('LOCK TABLE "t" IN SHARE MODE;', LOCKING),
        (
            'ALTER TABLE "t" ADD CONSTRAINT "c" CHECK ("a" > 0) NOT VALID;\nALTER TABLE "t" VALIDATE CONSTRAINT "c";',
            "constraint-missing-not-valid",
        ),
        ('ALTER TABLE "t" ADD COLUMN "b" bigint NULL;\nALTER TABLE "t" VALIDATE CONSTRAINT "c";', VALIDATING),
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
        'BEGIN;\nALTER TABLE "t" VALIDATE CONSTRAINT "c";\nCOMMIT;',
        "BEGIN;\nCREATE FUNCTION f() RETURNS void LANGUAGE sql AS $f$ UPDATE t SET a = 'LOCK'; $f$; -- LOCK t\nCOMMIT;",
    ],
)
def test_what_may_be_is_not_held_up(statement: str) -> None:
    assert broken_rules({("app", "new"): statement})["app", "new"] == set()


@pytest.mark.parametrize(
    ("atomic", "operations", "rules"),
    [
        (True, [RunPython(RunPython.noop)], {AT_ONCE}),
        (False, [RunPython(RunPython.noop, atomic=True)], {AT_ONCE}),
        (True, [SeparateDatabaseAndState([RunPython(RunPython.noop)])], {AT_ONCE}),
        (False, [RunPython(RunPython.noop)], set()),
        (True, [], set()),
    ],
)
def test_rows_are_changed_in_batches(atomic: bool, operations: list[Operation], rules: set[str]) -> None:
    migration = Migration("new", "app")
    migration.atomic, migration.operations = atomic, operations
    assert rules_of_code(migration, "") == rules
    assert rules_of_code(migration, 'ALTER TABLE "t" ADD COLUMN "b" bigint;') - {MIXED} == rules
    assert (MIXED in rules_of_code(migration, 'ALTER TABLE "t" ADD COLUMN "b" bigint;')) == bool(operations)


@pytest.fixture
def held(transactional_db: None) -> Iterator[Event]:
    """Somebody reads the table of people, in a transaction that goes on until this is set."""
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
    yield may_end
    may_end.set()
    reading.join()


def add_a_column(*, atomic: bool = True) -> None:
    """As a migration does."""
    field = IntegerField(null=True)
    field.set_attributes_from_name("never_there")
    with connection.schema_editor(atomic=atomic) as editor:
        editor.add_field(User, field)


@pytest.mark.parametrize("atomic", [True, False])
def test_a_migration_that_gets_no_lock_gives_up_and_has_changed_nothing(
    held: Event, monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    monkeypatch.setattr(base, "MIGRATION_LOCK_SECONDS", 0.05)
    with pytest.raises(OperationalError, match="lock timeout"):
        add_a_column(atomic=atomic)
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)  # for whatever comes after it
        cursor.execute("SELECT * FROM accounts_user LIMIT 0")
        assert "never_there" not in {column.name for column in cursor.description}


def test_an_index_that_is_made_concurrently_waits(held: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MIGRATION_LOCK_SECONDS", 0.05)
    Timer(0.5, held.set).start()
    with connection.schema_editor(atomic=False) as editor:
        editor.execute("CREATE INDEX CONCURRENTLY never_there ON accounts_user (id)")
        editor.execute("DROP INDEX CONCURRENTLY never_there")


def test_prepare_says_that_a_table_was_in_use_and_what_to_do(held: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MIGRATION_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(prepare, "pending_migrations", lambda: 1)
    monkeypatch.setattr(prepare, "migrate", add_a_column)
    with pytest.raises(CommandError, match="has changed nothing"):
        call_command("prepare", stdout=StringIO())
