"""A table in partitions by ranges of its key, made of the table as it stands, while it is in use.

What stands becomes the first partition, without a row of it being written anew: a constraint says beforehand that it
ends where the second begins. Then its name, indexes, constraints, triggers and grants go to a new table above it, in
one transaction that reads no row. Foreign keys to it are looked through after that. For PostgreSQL 18 or later.

An index of an unique kind that has more than the key stays with each partition: across them it is left to a trigger.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

LEAST_VERSION = 180000
LOCK_SECONDS = 2.0  # whoever asks for the table meanwhile waits as long

# What stands, each as the statement that makes it.
_INDEXES = """
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisunique FROM pg_index i
    WHERE i.indrelid = %s::regclass AND NOT i.indisprimary ORDER BY 1
"""
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype::text,
           confrelid = %(table)s::regclass AS to_it
    FROM pg_constraint
    WHERE conparentid = 0 AND contype IN ('p', 'c', 'f')
      AND (conrelid = %(table)s::regclass OR confrelid = %(table)s::regclass) ORDER BY contype DESC, 1, 2
"""
_TRIGGERS = """
    SELECT tgname, pg_get_triggerdef(oid), tgtype & 1 = 1 FROM pg_trigger
    WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY 1
"""
_GRANTS = """
    SELECT DISTINCT quote_ident(pg_get_userbyid(a.grantee)), a.privilege_type
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = %s::regclass AND a.grantee NOT IN (0, c.relowner) ORDER BY 1, 2
"""
_UNCHECKED = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint
    WHERE confrelid = %s::regclass AND NOT convalidated AND conparentid = 0 ORDER BY 1, 2
"""
_PARTITIONS = """
    SELECT c.oid::regclass::text, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''([^'']+)''\\)'))[1]
    FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = %s::regclass ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Range:
    """Keys from ``start`` on and before ``end``; their partition is called as the table and ``name``."""

    name: str
    start: Any
    end: Any


@dataclass(frozen=True, slots=True)
class DividedTable:
    """A table that is divided by ranges of ``key``, its primary key, or may be. ``beside`` is what then holds what an
    index of one partition cannot: statements, run once."""

    table: str
    key: str
    beside: Sequence[str] = ()

    @property
    def is_divided(self) -> bool:
        return bool(_one("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", self.table))

    def partitions(self) -> dict[str, str | None]:
        """Their names and where each ends, as text; None of the one for whatever is in no range."""
        return dict(_rows(_PARTITIONS, self.table))

    def divide(self, end: Any, ranges: Sequence[Range]) -> None:
        """All that stands becomes the partition of what comes before ``end``; ``ranges`` are made, and one for whatever
        is in none. Until it is done nothing from ``end`` on can be stored: let that be far. Begun again, it goes on.

        Raises ``django.db.OperationalError`` where somebody used the table for more than LOCK_SECONDS, IntegrityError
        where a key is not before ``end``; then nothing has changed.
        """
        before = f"{self.table}_before"
        with self._constrained(f"{before} CHECK ({self.key} < '{end}')", before), transaction.atomic():
            _run("SELECT set_config('lock_timeout', %s, true)", f"{LOCK_SECONDS * 1000:.0f}")
            self._put_below(before, end)
            _run(f"CREATE TABLE {self.table}_rest PARTITION OF {self.table} DEFAULT")
            self._complete(f"{self.table}_rest")
            self.add(ranges)
            for statement in self.beside:
                _run(statement)
        self.check()

    def add(self, ranges: Sequence[Range]) -> None:
        """Partitions for ``ranges``, in one transaction. Raises ``django.db.IntegrityError`` where something of them
        was stored before, in the one for the rest."""
        with transaction.atomic():
            for each in ranges:
                name = f"{self.table}_{each.name}"
                _run(
                    f"CREATE TABLE {name} PARTITION OF {self.table} FOR VALUES FROM ('{each.start}') TO ('{each.end}')"
                )
                self._complete(name)

    def check(self) -> None:
        """Look through what refers to the table and was not looked through yet. Holds nobody up."""
        for of, name in _rows(_UNCHECKED, self.table):
            _run(f"ALTER TABLE {of} VALIDATE CONSTRAINT {name}")
        _run(f"ANALYZE {self.table}")

    @contextmanager
    def _constrained(self, constraint: str, name: str) -> Iterator[None]:
        """Known of all rows within the block, which reads them without holding anybody up, and of none after it."""
        _run(f"ALTER TABLE {self.table} DROP CONSTRAINT IF EXISTS {name}")
        _run(f"ALTER TABLE {self.table} ADD CONSTRAINT {constraint} NOT VALID")
        try:
            _run(f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {name}")
            yield
        except BaseException:
            _run(f"ALTER TABLE {self.table} DROP CONSTRAINT IF EXISTS {name}")
            raise

    def _put_below(self, before: str, end: Any) -> None:
        table, first = self.table, f"{self.table}_first"
        constraints = _rows(_CONSTRAINTS, {"table": table})
        _run(f"LOCK TABLE {', '.join(sorted({of for of, *_ in constraints}))} IN ACCESS EXCLUSIVE MODE")
        indexes, triggers, grants = _rows(_INDEXES, table), _rows(_TRIGGERS, table), _rows(_GRANTS, table)
        referring = [(of, name, text) for of, name, text, _kind, to_it in constraints if to_it]
        own = [(name, text, kind) for _of, name, text, kind, to_it in constraints if not to_it and name != before]
        indexes_above = [(name, text) for name, text, is_unique in indexes if not is_unique]
        sequence = _one("SELECT pg_get_serial_sequence(%s, %s)", table, self.key)

        for of, name, _text in referring:
            _run(f"ALTER TABLE {of} DROP CONSTRAINT {name}")
        for name, _text, _is_of_rows in triggers:
            _run(f"DROP TRIGGER {name} ON {table}")
        following = _one(f"SELECT nextval('{sequence}')") if sequence else None
        if sequence:
            _run(f"ALTER TABLE {table} ALTER {self.key} DROP IDENTITY")
        _run(f"ALTER TABLE {table} RENAME TO {first}")
        for name, _text in indexes_above:
            _run(f"ALTER INDEX {name} RENAME TO {name}_first")
        for name, _text, kind in own:
            if kind == "p":
                _run(f"ALTER TABLE {first} RENAME CONSTRAINT {name} TO {name}_first")

        _run(
            f"CREATE TABLE {table} (LIKE {first} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE"
            f" INCLUDING COMPRESSION INCLUDING COMMENTS) PARTITION BY RANGE ({self.key})"
        )
        for name, text, _kind in own:
            _run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}")
        for _name, text in indexes_above:
            _run(text)
        _revoke_all(table)
        for role, privilege in grants:
            _run(f"GRANT {privilege} ON {table} TO {role}")
        if sequence:
            numbered = f"GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME {sequence} START WITH {following})"
            _run(f"ALTER TABLE {table} ALTER {self.key} ADD {numbered}")
        _run(f"ALTER TABLE {table} ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{end}')")
        _run(f"ALTER TABLE {first} DROP CONSTRAINT {before}")
        for of, name, text in referring:
            _run(f"ALTER TABLE {of} ADD CONSTRAINT {name} {text} NOT VALID")
        for _name, text, _is_of_rows in triggers:
            _run(text)
        self._complete(first)

    def _complete(self, partition: str) -> None:
        """What a partition does not have of the table above it: unique indexes of other columns, as the first one has
        them, and triggers of whole statements. Nobody has rights in it by its own name."""
        _revoke_all(partition)
        for _name, text, is_unique in _rows(_INDEXES, f"{self.table}_first"):
            if is_unique and partition != f"{self.table}_first":
                _run(re.sub(r" INDEX \S+ ON \S+ ", f" INDEX ON {partition} ", text, count=1))
        for _name, text, is_of_rows in _rows(_TRIGGERS, self.table):
            if not is_of_rows:
                _run(re.sub(r" ON \S+ ", f" ON {partition} ", text, count=1))


def _revoke_all(table: str) -> None:
    """From all but its owner, also what a new table has by default."""
    for role in {role for role, _privilege in _rows(_GRANTS, table)}:
        _run(f"REVOKE ALL ON {table} FROM {role}")


def _rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters[0] if parameters and isinstance(parameters[0], dict) else parameters or None)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _one(sql: str, *parameters: Any) -> Any:
    return _rows(sql, *parameters)[0][0]


def _run(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
