"""A second, empty knowledge beside the live one: the product's own code runs on it, and nothing of it stays.

The tables are copies, without rows, in a schema of their own, which stands before all others in the search path of
every connection that this process opens. No name is left that leads to a live table. A schema whose process was killed
is dropped by the next one.
"""

import copy
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import randbelow, token_hex
from typing import Any

import psycopg
import structlog
from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from chatbot_project.lib.errors import ApplicationError

log = structlog.get_logger(__name__)

ALIAS = "default"
PREFIX = "nono_scratch_"
_LOCKS = 0x6E6F6E6F  # "nono": the first half of the advisory locks that say which schemas are in use


@contextmanager
def scratch_database() -> Iterator[str]:
    """Within it, the process's database connections see empty tables; gives the schema's name.

    For a process that does nothing else: all of its threads are moved. Raises ApplicationError ``scratch_not_allowed``
    (403) where the role may not create a schema; Django's database errors.
    """
    live = connections[ALIAS]
    live.close()
    schema = f"{PREFIX}{token_hex(8)}"
    # A session of its own, whose lock says that the schema is in use for as long as this process lives.
    with _connect(live) as keeper:
        try:
            _drop_abandoned(keeper)
            keeper.execute("SELECT pg_advisory_lock(%s, %s)", [_LOCKS, _key(schema)])
            _create(keeper, schema)
            with _moved(live, schema, _search_path(keeper)):
                yield schema
        except psycopg.errors.InsufficientPrivilege:
            detail = "The database's role may not create a schema (GRANT CREATE ON DATABASE)."
            raise ApplicationError("scratch_not_allowed", detail, status=403) from None
        finally:
            _drop(live, schema)


def _connect(live: BaseDatabaseWrapper) -> psycopg.Connection[Any]:
    """A session at the live database that commits each statement."""
    parameters = live.get_connection_params()
    for name in ("pool", "cursor_factory", "context"):
        parameters.pop(name, None)
    return psycopg.connect(**parameters, autocommit=True)


def _search_path(keeper: psycopg.Connection[Any]) -> str:
    row = keeper.execute("SHOW search_path").fetchone()
    assert row is not None
    return str(row[0]).replace(", ", ",")


def _create(keeper: psycopg.Connection[Any], schema: str) -> None:
    """Copies of all tables of the product, without rows, foreign keys and triggers."""
    name = sql.Identifier(schema)
    keeper.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            table = sql.Identifier(model._meta.db_table)
            keeper.execute(sql.SQL("CREATE TABLE {}.{} (LIKE {} INCLUDING ALL)").format(name, table, table))
    # The vectors' indexes are made anew for the models that are loaded.
    indexes = keeper.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'hnsw' AND"
        " c.relnamespace = %s::regnamespace",
        [schema],
    ).fetchall()
    for (index,) in indexes:
        keeper.execute(sql.SQL("DROP INDEX {}.{}").format(name, sql.Identifier(index)))
    # What this process remembers of a model by its number is of no live one.
    start = sql.Literal(20_000 + randbelow(10_000))
    keeper.execute(sql.SQL("ALTER TABLE {}.faqs_embeddingmodel ALTER id RESTART WITH {}").format(name, start))


@contextmanager
def _moved(live: BaseDatabaseWrapper, schema: str, search_path: str) -> Iterator[None]:
    """Have this process's connections open in ``schema``: also those of other threads, and those opened again after
    the server was away."""
    settings = copy.deepcopy(live.settings_dict)
    path = f"{schema},{search_path}".replace("\\", "\\\\").replace(" ", "\\ ")
    settings["OPTIONS"]["options"] = f"{settings['OPTIONS'].get('options', '')} -c search_path={path}".strip()
    pools: dict[str, Any] = getattr(live, "_connection_pools", {})  # by alias, for the whole process
    live_pool, live_settings = pools.pop(ALIAS, None), connections.settings[ALIAS]
    connections.settings[ALIAS] = settings
    scratch = connections.create_connection(ALIAS)
    connections[ALIAS] = scratch
    try:
        # Makes the pool at once: another thread's old connection would make one that leads to the live tables.
        scratch.ensure_connection()
        yield
    finally:
        scratch.close()
        if (pool := pools.pop(ALIAS, None)) is not None:
            pool.close()
        if live_pool is not None:
            pools[ALIAS] = live_pool
        connections.settings[ALIAS] = live_settings
        connections[ALIAS] = live


def _drop(live: BaseDatabaseWrapper, schema: str) -> None:
    """Drop the schema, over a new session: the old one may be broken."""
    try:
        with _connect(live) as session:
            session.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    except psycopg.OperationalError:
        log.warning("scratch.left_for_the_next", schema=schema)


def _drop_abandoned(keeper: psycopg.Connection[Any]) -> None:
    """Drop the schemas whose keeper is gone."""
    rows = keeper.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", [PREFIX]).fetchall()
    for (schema,) in rows:
        lock = [_LOCKS, _key(schema)]
        taken = keeper.execute("SELECT pg_try_advisory_lock(%s, %s)", lock).fetchone()
        if taken == (True,):
            log.info("scratch.abandoned_dropped", schema=schema)
            keeper.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
            keeper.execute("SELECT pg_advisory_unlock(%s, %s)", lock)


def _key(schema: str) -> int:
    """A signed 32-bit number for a schema's name."""
    return zlib.crc32(schema.encode()) - 2**31
