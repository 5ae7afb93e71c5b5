"""How asyncio code reaches the database: one unit of work at a time, in threads of the process's own pool.

``sync_to_async`` would share one thread for the whole process. Here each process has as many threads as pooled
connections, and a unit of work takes one connection and gives it back at its end.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psycopg
import structlog
from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction

from chatbot_project.lib.threads import started

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_executors: list[ThreadPoolExecutor] = []


def _executor() -> ThreadPoolExecutor:
    if not _executors:
        _executors.append(started(settings.DATABASE_THREADS, "database"))
    return _executors[0]


def _unit_of_work(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connections.close_all()  # gives the connection back to the pool


async def run_db(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``work(*args, **kwargs)`` as one unit of work in a database thread, in a copy of the caller's context, and
    return its result.

    Raises what ``work`` raises; ``django.db.OperationalError`` where no connection could be had.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_executor(), copy_context().run, _unit_of_work, partial(work, *args, **kwargs))


def fetch_prepared(sql: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement of a hot path on this thread's connection and return its rows, none where it gives none.

    The server keeps its plan per connection, which Django's own cursors do not ask for: with a few joins, planning
    costs more than running. Behind a pooler of transactions nothing is prepared. Raises Django's database errors.
    ``sql`` must be a constant: each text is one plan.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(sql, parameters, prepare=not settings.DATABASE_TRANSACTION_POOLER)
        if connection.queries_logged:  # budgets of queries count these too
            connection.queries_log.append({"sql": sql, "time": "0"})
        return cursor.fetchall() if cursor.description else []


@contextmanager
def ending_within(seconds: float) -> Iterator[None]:
    """A transaction whose every statement ends within ``seconds``; the connection goes back to the pool after it.

    Set for the transaction alone: behind a pooler of transactions the session is others' next. Raises Django's database
    errors.
    """
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])
            yield
    finally:
        connections.close_all()


@contextmanager
def named_lock(name: str) -> Iterator[bool]:
    """Whether the caller holds the lock ``name`` within the block; at once, where somebody else holds it: no.

    A transaction on a connection of its own holds it, which sees nothing and keeps no row from being tidied up: so it
    is held also behind a pooler that gives each transaction another of its connections (PgBouncer). Raises Django's
    database errors.
    """
    keeper = connection.copy()
    try:
        keeper.set_autocommit(False)
        with keeper.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
            is_mine: bool = cursor.fetchone()[0]
        yield is_mine
    finally:
        try:
            keeper.rollback()
        except DatabaseError:
            log.warning("lock.lost", name=name)  # somebody else may have had it since the connection broke
        finally:
            keeper.close()
