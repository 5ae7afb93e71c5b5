"""The pool after its server was away."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from psycopg import Connection

from chatbot_project.lib.postgres import base
from chatbot_project.lib.postgres.base import HealingPool

pytestmark = pytest.mark.django_db(transaction=True)


def make_pool(**options: object) -> HealingPool:
    kwargs = connection.get_connection_params() | {"autocommit": True}
    return HealingPool(kwargs=kwargs, open=True, min_size=6, max_size=6, timeout=5, **options)


def cut(connections: list[Connection]) -> None:
    """The server ends these sessions."""
    with connection.cursor() as cursor:
        for each in connections:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [each.info.backend_pid])


def test_many_broken_idle_connections_are_replaced_at_once() -> None:
    with make_pool() as pool:
        pool.wait()
        held = [pool.getconn() for _ in range(6)]
        for each in held:
            pool.putconn(each)
        pool._returned_at.clear()  # they have been idle for long
        cut(held)
        again = pool.getconn(timeout=3)  # psycopg's own wait would be 1 + 2 + 4 s and more
        assert again.execute("SELECT 1").fetchone() == (1,)
        pool.putconn(again)


def test_a_connection_in_use_a_moment_ago_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "TRUSTED_SECONDS", 60)  # a machine that stands still for a second changes nothing
    with make_pool() as pool:
        pool.wait()
        pool.putconn(first := pool.getconn())
        asked: list[Connection] = []
        pool.check_connection = asked.append  # type: ignore[method-assign]
        given = [pool.getconn() for _ in range(6)]
        assert first in given
        assert first not in asked
        assert len(asked) == 5
        for each in given:
            pool.putconn(each)


class Absence:
    """Where to connect to, as a pool asks for it anew with each attempt: nowhere, until it was asked ``attempts``
    times."""

    def __init__(self, attempts: int) -> None:
        self.left = attempts

    def __call__(self) -> dict[str, Any]:
        self.left -= 1
        found = connection.get_connection_params() | {"autocommit": True}
        return found | {"host": "/nowhere"} if self.left >= 0 else found


@contextmanager
def pool_without_server(attempts: int, **options: Any) -> Iterator[HealingPool]:
    with HealingPool(kwargs=Absence(attempts), open=True, min_size=1, max_size=2, **options) as pool:
        yield pool


def test_a_server_that_is_away_is_asked_again_soon() -> None:
    with pool_without_server(attempts=8, reconnect_timeout=60) as pool:
        found = pool.getconn(timeout=6)  # psycopg's own attempts would be 1, 2, 4 … s apart
        assert found.execute("SELECT 1").fetchone() == (1,)
        pool.putconn(found)


def test_who_waits_gets_a_connection_also_after_attempts_were_given_up() -> None:
    with pool_without_server(attempts=12, reconnect_timeout=0.2) as pool:
        found = pool.getconn(timeout=8)
        assert found.execute("SELECT 1").fetchone() == (1,)
        pool.putconn(found)
