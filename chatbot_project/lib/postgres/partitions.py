"""A table in partitions by ranges of its key, made of the table as it stands, while it is in use.

What stands becomes the first partition, without a row of it being written anew: a constraint says beforehand that it
ends where the second begins. Then its name, indexes, constraints, triggers and grants go to a new table above it, in
one transaction that reads no row. Foreign keys to it are looked through after that. For PostgreSQL 18 or later.

A unique index that has more than the key stays with each partition: across them it is left to a trigger.

All locks are taken at once or not at all, again and again for TRY_SECONDS: nobody queues behind one that is waited for,
and who holds one table and wants the next cannot be in the way. Where somebody uses the tables all the time no such
moment may come, so each QUEUE_EACH-th try waits for each lock, QUEUE_SECONDS at most, and others wait behind it.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

LEAST_VERSION = 180000
TRY_SECONDS, PAUSE_SECONDS = 30.0, 0.05
QUEUE_EACH, QUEUE_SECONDS = 10, 0.1
CHANGE_SECONDS = 5.0  # nothing is read in that time: where it takes longer, something is not as it should be


class NotPartitionable(Exception):
    """Why a table cannot be partitioned as it stands. Nothing has changed."""


# What stands, each as the statement that makes it.
_INDEXES = """
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisunique, i.indisvalid FROM pg_index i
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
_REFERRED = """
    SELECT DISTINCT confrelid::regclass::text FROM pg_constraint
    WHERE conrelid = %s::regclass AND contype = 'f' AND confrelid <> conrelid ORDER BY 1
"""
_TABLE = """
    SELECT pg_has_role(relowner, 'USAGE'), coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '')
    FROM pg_class WHERE oid = %s::regclass
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
class PartitionedTable:
    """A table that is partitioned by ranges of ``key``, its primary key, or may be. ``beside`` is what then holds what
    an index of one partition cannot: statements, run once."""

    table: str
    key: str
    beside: Sequence[str] = ()

    @property
    def is_partitioned(self) -> bool:
        return bool(_one("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", self.table))

    def partitions(self) -> dict[str, str | None]:
        """Their names and where each ends, as text; None of the one for whatever is in no range."""
        return dict(_rows(_PARTITIONS, self.table))

    @property
    def last_end(self) -> str | None:
        """Where the last range ends, as text; None where the table is not partitioned."""
        if not self.is_partitioned:
            return None
        ends = [end for end in self.partitions().values() if end is not None]
        return max(ends, key=lambda end: (len(end), end))  # as numbers; UUIDs have one length

    @property
    def has_rest(self) -> bool:
        """Whether something lies in no range."""
        return bool(_one(f"SELECT EXISTS (SELECT FROM {self.table}_rest)"))  # noqa: S608  a name of ours

    @property
    def is_bounded(self) -> bool:
        """Whether the constraint stands that partitioning begins with: what lies behind it is refused."""
        return bool(_one("SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = %s)", self._before))

    @property
    def _before(self) -> str:
        return f"{self.table}_before"

    def partition(self, end: Any, ranges: Sequence[Range]) -> None:
        """All that stands becomes the partition of what comes before ``end``; ``ranges`` are made, and one for whatever
        is in none. Until it is done nothing from ``end`` on can be stored: let that be far. Begun again, it goes on.

        Raises NotPartitionable; ``django.db.OperationalError`` from LockNotAvailable where somebody used one of the
        tables at each try, and IntegrityError where a key is not before ``end``: nothing has changed then. Of a lost
        connection ``is_bounded`` tells.
        """
        self._refuse()
        with self._bounded(end), self._locked(*self._involved()):
            _run("SELECT set_config('statement_timeout', %s, true)", f"{CHANGE_SECONDS * 1000:.0f}")
            self._put_below(end)
            self._create(f"{self.table}_rest", "DEFAULT")
            for each in ranges:
                self._create(f"{self.table}_{each.name}", f"FOR VALUES FROM ('{each.start}') TO ('{each.end}')")
            for statement in self.beside:
                _run(statement)
        self.check()

    def add(self, ranges: Sequence[Range]) -> None:
        """Partitions for ``ranges``, in one transaction. Raises as ``partition``; IntegrityError where something of
        them was stored before, in the one for the rest."""
        if ranges:
            with self._locked([self.table], _names(_REFERRED, self.table)):
                for each in ranges:
                    self._create(f"{self.table}_{each.name}", f"FOR VALUES FROM ('{each.start}') TO ('{each.end}')")

    def check(self) -> None:
        """Look through what refers to the table and was not looked through yet. Holds nobody up."""
        for of, name in _rows(_UNCHECKED, self.table):
            _run(f"ALTER TABLE {of} VALIDATE CONSTRAINT {name}")
        _run(f"ANALYZE {self.table}")

    def _refuse(self) -> None:
        (is_owner, _options), *_ = _rows(_TABLE, self.table)
        if not is_owner:
            raise NotPartitionable(f"{self.table} is another role's: connect as its owner.")
        if invalid := [name for name, _text, _unique, is_valid in _rows(_INDEXES, self.table) if not is_valid]:
            raise NotPartitionable(f"{', '.join(invalid)} was not made to its end: drop it and make it anew.")

    def _involved(self) -> tuple[list[str], list[str]]:
        """The tables that are changed: this one and those that refer to it. And those that it refers to."""
        changed = {of for of, *_ in _rows(_CONSTRAINTS, {"table": self.table})}
        return sorted(changed), [name for name in _names(_REFERRED, self.table) if name not in changed]

    @contextmanager
    def _locked(self, changed: Sequence[str], referred: Sequence[str] = ()) -> Iterator[None]:
        """A transaction that has them all to itself; ``referred`` may be read, and rows of them locked."""
        until = time.monotonic() + TRY_SECONDS
        with transaction.atomic():
            for attempt in count(1):
                try:
                    with transaction.atomic():
                        self._lock(changed, referred, queue=attempt % QUEUE_EACH == 0)
                    break
                except OperationalError as error:
                    if not isinstance(error.__cause__, LockNotAvailable) or time.monotonic() > until:
                        raise
                time.sleep(PAUSE_SECONDS)
            yield

    def _lock(self, changed: Sequence[str], referred: Sequence[str], *, queue: bool) -> None:
        """Those that are referred to come first, as with everybody who writes both."""
        if queue:
            _run("SELECT set_config('lock_timeout', %s, true)", f"{QUEUE_SECONDS * 1000:.0f}")
        for tables, mode in ((referred, "SHARE ROW EXCLUSIVE"), (changed, "ACCESS EXCLUSIVE")):
            if tables:
                _run(f"LOCK TABLE {', '.join(tables)} IN {mode} MODE{'' if queue else ' NOWAIT'}")
        if queue:
            _run("SET LOCAL lock_timeout TO DEFAULT")

    @contextmanager
    def _bounded(self, end: Any) -> Iterator[None]:
        """It is known within the block that all rows come before ``end``: they are read, and nobody is held up."""
        with self._locked([self.table]):
            _run(f"ALTER TABLE {self.table} DROP CONSTRAINT IF EXISTS {self._before}")
            _run(f"ALTER TABLE {self.table} ADD CONSTRAINT {self._before} CHECK ({self.key} < '{end}') NOT VALID")
        try:
            _run(f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {self._before}")
            yield
        except BaseException:
            with self._locked([self.table]):
                _run(f"ALTER TABLE {self.table} DROP CONSTRAINT IF EXISTS {self._before}")
            raise

    def _put_below(self, end: Any) -> None:
        table, first = self.table, f"{self.table}_first"
        constraints = _rows(_CONSTRAINTS, {"table": table})
        indexes, triggers, grants = _rows(_INDEXES, table), _rows(_TRIGGERS, table), _rows(_GRANTS, table)
        referring = [(of, name, text) for of, name, text, _kind, to_it in constraints if to_it]
        own = [(name, text, kind) for _of, name, text, kind, to_it in constraints if not to_it and name != self._before]
        indexes_above = [(name, text) for name, text, is_unique, _is_valid in indexes if not is_unique]
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
        _run(f"ALTER TABLE {first} DROP CONSTRAINT {self._before}")
        for of, name, text in referring:
            _run(f"ALTER TABLE {of} ADD CONSTRAINT {name} {text.removesuffix(' NOT VALID')} NOT VALID")
        for _name, text, _is_of_rows in triggers:
            _run(text)
        self._complete(first)

    def _create(self, partition: str, bound: str) -> None:
        like = next(iter(self.partitions()))
        (_is_owner, options), *_ = _rows(_TABLE, like)
        _run(f"CREATE TABLE {partition} PARTITION OF {self.table} {bound}{options}")
        for _name, text, is_unique, _is_valid in _rows(_INDEXES, like):
            if is_unique:
                _run(re.sub(r" INDEX \S+ ON \S+ ", f" INDEX ON {partition} ", text, count=1))
        self._complete(partition)

    def _complete(self, partition: str) -> None:
        """What a partition does not have of the table above it: triggers of whole statements. Nobody has rights in it
        by its own name."""
        _revoke_all(partition)
        for _name, text, is_of_rows in _rows(_TRIGGERS, self.table):
            if not is_of_rows:
                _run(re.sub(r" ON \S+ ", f" ON {partition} ", text, count=1))


def partitions_of(*tables: str) -> list[str]:
    """The names of all partitions of ``tables``, as far as these are there and partitioned. One query."""
    return _names(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY 1",
        list(tables),
    )


def _revoke_all(table: str) -> None:
    """From all but its owner, also what a new table has by default."""
    for role in {role for role, _privilege in _rows(_GRANTS, table)}:
        _run(f"REVOKE ALL ON {table} FROM {role}")


def _rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters[0] if parameters and isinstance(parameters[0], dict) else parameters or None)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _names(sql: str, *parameters: Any) -> list[str]:
    return [name for (name,) in _rows(sql, *parameters)]


def _one(sql: str, *parameters: Any) -> Any:
    return _rows(sql, *parameters)[0][0]


def _run(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
