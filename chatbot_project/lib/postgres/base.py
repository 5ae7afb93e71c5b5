"""The database backend: Django's own, with another pool.

psycopg's pool checks the connection it hands out and, where it is broken, waits 1, 2, 4 … seconds before it tries the
next: after a restart of the server, a pool with five idle connections refused for 8 s although the server was back. It
waits as long between attempts to connect, and once it has given up, whoever had asked before waits in vain.
"""

import math
from time import monotonic
from typing import Any, Self
from weakref import WeakKeyDictionary, WeakSet

from django.conf import settings
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base, schema
from django.db.utils import DatabaseErrorWrapper, OperationalError
from django.utils.functional import cached_property
from psycopg import Connection, Error
from psycopg.errors import DiskFull, ReadOnlySqlTransaction
from psycopg_pool import ConnectionPool, PoolTimeout
from psycopg_pool.base import AttemptWithBackoff

from chatbot_project.lib.backoff import Backoff

# A connection that was in use so recently is handed out unchecked: the check would be a third of a short unit's
# round trips.
TRUSTED_SECONDS = 1.0
# Between attempts to connect, the first and the longest: a server that is back is found within the latter.
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 0.5
# Whoever comes after a migration that waits for a table's lock waits as well, as long as its holder goes on.
MIGRATION_LOCK_SECONDS = 5.0
DISK_FULL_SECONDS = 10.0  # for which one refusal for want of disk stands: then somebody may try again


_pools: WeakSet["HealingPool"] = WeakSet()


class _Attempt(AttemptWithBackoff):
    """Attempts to connect until ``timeout`` seconds have passed since the first that failed."""

    def __init__(self, *, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._waits = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)

    def update_delay(self, now: float) -> None:
        if self.give_up_at == 0.0:
            self.give_up_at = now + self.timeout
        self.delay = min(self._waits.next(), max(0.0, self.give_up_at - now))


class HealingPool(ConnectionPool[Connection[Any]]):
    """Checks a connection that was idle; a broken one means that the server was away, so all idle ones are looked at
    and replaced there and then. While the server is away it is asked several times a second, as long as somebody waits
    for a connection: by all lost ones for ``reconnect_timeout`` seconds, then by one of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._returned_at: WeakKeyDictionary[Connection[Any], float] = WeakKeyDictionary()
        _pools.add(self)

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        """A connection that works, or did a moment ago. Raises PoolTimeout after ``timeout`` seconds."""
        deadline = monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = super().getconn(deadline - monotonic())
            if monotonic() - self._returned_at.get(connection, 0.0) < TRUSTED_SECONDS:
                return connection
            try:
                self.check_connection(connection)
            except Error:
                super().putconn(connection)
                self.check()
                if monotonic() >= deadline:
                    raise PoolTimeout("The database does not answer.") from None
            else:
                return connection

    def _add_connection(self, attempt: AttemptWithBackoff | None, growing: bool = False) -> None:
        super()._add_connection(attempt or _Attempt(timeout=self.reconnect_timeout), growing)

    def reconnect_failed(self) -> None:
        """An attempt was given up: begin another for those who wait. psycopg would only for those who come later, and
        where every thread waits there are none."""
        super().reconnect_failed()
        with self._lock:
            if self._waiting and not self._closed:
                self._maybe_grow_pool()

    def putconn(self, conn: Connection[Any]) -> None:
        """Take a connection back; a broken one is replaced."""
        self._returned_at[conn] = monotonic()
        super().putconn(conn)


def open_pools() -> list[HealingPool]:
    """The pools of this process that are in use."""
    return [pool for pool in list(_pools) if not pool.closed]


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Django's, which waits MIGRATION_LOCK_SECONDS for a lock and then fails: in a transaction having changed nothing,
    outside of one each statement by itself. An index that is made or removed concurrently holds nobody up, and waits;
    so do rows that are changed in batches."""

    def __enter__(self) -> Self:
        super().__enter__()
        if self.atomic_migration and not self.collect_sql:
            self._bound_waiting(is_local=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            if not self.atomic_migration and not self.collect_sql:
                self._wait_as_usual()

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Run a statement. Raises OperationalError where another holds its table for too long."""
        if self.atomic_migration or self.collect_sql or "CONCURRENTLY" in str(sql).upper():
            super().execute(sql, params)
            return
        self._bound_waiting(is_local=False)
        super().execute(sql, params)
        self._wait_as_usual()

    def add_index(self, model: Any, index: Any, concurrently: bool = False) -> None:
        """Concurrently also where the table is partitioned (``lib/postgres/partitions.py``): of each partition by
        itself, which PostgreSQL does not do by the table's name."""
        if not concurrently or not (partitions := self._partitions(model)):
            super().add_index(model, index, concurrently=concurrently)
            return
        # What was broken off before; what is not whole above holds nobody's statements up when it goes.
        self.execute(f"DROP INDEX IF EXISTS {self.quote_name(index.name)}")
        above = index.create_sql(model, self)
        above.parts["table"] = f"ONLY {above.parts['table']}"
        self.execute(above, params=None)
        for number, name in enumerate(partitions):
            self.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.quote_name(f'{index.name}_{number}')}")
            below = index.create_sql(model, self, concurrently=True)
            below.parts["table"], below.parts["name"] = name, self.quote_name(f"{index.name}_{number}")
            self.execute(below, params=None)
            self.execute(f"ALTER INDEX {above.parts['name']} ATTACH PARTITION {below.parts['name']}")

    def remove_index(self, model: Any, index: Any, concurrently: bool = False) -> None:
        """At once where the table is partitioned: PostgreSQL has no other way there, and none that takes long."""
        super().remove_index(model, index, concurrently=concurrently and not self._partitions(model))

    def _partitions(self, model: Any) -> list[str]:
        if self.collect_sql:
            return []
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class p ON p.oid = inhparent"
                " WHERE inhparent = to_regclass(%s) AND p.relkind = 'p' ORDER BY 1",
                [model._meta.db_table],
            )
            return [name for (name,) in cursor.fetchall()]

    def _bound_waiting(self, *, is_local: bool) -> None:
        with self.connection.cursor() as cursor:
            milliseconds = f"{MIGRATION_LOCK_SECONDS * 1000:.0f}"
            cursor.execute("SELECT set_config('lock_timeout', %s, %s)", [milliseconds, is_local])

    def _wait_as_usual(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


_disk_full_at = -math.inf


def is_disk_full() -> bool:
    """Whether PostgreSQL told this process within the last DISK_FULL_SECONDS that its disk is full."""
    return monotonic() - _disk_full_at < DISK_FULL_SECONDS


class ErrorWrapper(DatabaseErrorWrapper):
    """Django's, for which a server that takes no writes is away: another has taken over from it, or is about to. The
    connection to it is given up, as the next one leads to whichever server takes them. That a disk is full is noted."""

    def __init__(self, wrapper: base.DatabaseWrapper) -> None:
        super().__init__(wrapper)
        self._database = wrapper

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        global _disk_full_at
        if isinstance(error, DiskFull) and error.diag.source_file != "dsm_impl.c":  # that is shared memory
            _disk_full_at = monotonic()
        if isinstance(error, ReadOnlySqlTransaction):
            self._database.errors_occurred = True
            if self._database.connection is not None:
                self._database.connection.close()
            raise OperationalError(*error.args).with_traceback(trace) from error
        super().__exit__(kind, error, trace)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's backend over a HealingPool; OPTIONS["pool"] is its arguments."""

    SchemaEditorClass = SchemaEditor

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        """A context in which psycopg's errors are Django's."""
        return ErrorWrapper(self)

    def _configure_new(self, connection: Connection[Any]) -> None:
        # What lib/db.fetch_prepared prepares is planned once per connection, not for each set of values: its statements
        # find rows by key. Django's own cursors prepare nothing.
        if not settings.DATABASE_TRANSACTION_POOLER:
            connection.execute("SET plan_cache_mode = force_generic_plan")
        self._configure_connection(connection)  # type: ignore[attr-defined]  # missing in the stubs

    @property
    def pool(self) -> HealingPool | None:
        """This alias' pool, made when it is first asked for; None where none is configured."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        pools: dict[str, HealingPool] = self._connection_pools  # type: ignore[attr-defined]  # missing in the stubs
        if self.alias not in pools:
            pool = HealingPool(
                kwargs=self.get_connection_params() | {"autocommit": True},  # Django sets it as it needs later on
                open=False,
                configure=self._configure_new,
                **options,
            )
            pools.setdefault(self.alias, pool)  # of two threads at once one wins
        return pools[self.alias]
