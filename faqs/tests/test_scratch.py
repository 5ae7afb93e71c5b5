"""The second knowledge beside the live one: what it sees, what it leaves alone, and what is left of it."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, connections

from accounts.models import AuditEvent
from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.errors import ApplicationError
from faqs import scratch
from faqs.models import FAQ, Phrasing
from faqs.scratch import PREFIX, scratch_database
from faqs.texts import text_hash

from .factories import make_faq

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beside(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A session of the test's own, which no scratch database moves."""
    parameters = connection.get_connection_params()
    for name in ("pool", "cursor_factory", "context"):
        parameters.pop(name, None)
    with psycopg.connect(**parameters, autocommit=True) as session:
        yield session


def schemas(beside: psycopg.Connection) -> list[str]:
    rows = beside.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", [PREFIX])
    return [name for (name,) in rows]


def test_the_products_code_runs_on_empty_tables_and_the_live_ones_stay(beside: psycopg.Connection) -> None:
    live = make_faq("Live?")
    events = AuditEvent.objects.count()
    with scratch_database() as schema:
        assert schemas(beside) == [schema]
        assert not FAQ.objects.exists()
        make_faq("Scratch?", phrasings=["Other?"])
        assert [faq.question for faq in FAQ.objects.all()] == ["Scratch?"]
        assert beside.execute("SELECT question FROM faqs_faq").fetchall() == [("Live?",)]
        assert beside.execute("SELECT count(*) FROM accounts_auditevent").fetchone() == (events,)
    assert schemas(beside) == []
    assert FAQ.objects.get() == live


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_however_it_ends(beside: psycopg.Connection, error: type[BaseException]) -> None:
    def work() -> None:
        with scratch_database():
            make_faq()
            raise error

    with pytest.raises(error):
        work()
    assert schemas(beside) == []
    assert not FAQ.objects.exists()


def test_nothing_is_left_where_making_it_fails(beside: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(keeper: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(scratch, "_search_path", fail)
    with pytest.raises(KeyboardInterrupt), scratch_database():
        pass
    assert schemas(beside) == []


def test_connections_that_break_are_opened_in_the_same_schema(beside: psycopg.Connection) -> None:
    make_faq("Live?")
    with scratch_database():
        (pid,) = fetch_prepared("SELECT pg_backend_pid()", [])[0]
        beside.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        with pytest.raises(OperationalError):
            fetch_prepared("SELECT pg_backend_pid()", [])
        connection.close()
        assert fetch_prepared("SELECT pg_backend_pid()", []) != [(pid,)]
        assert not FAQ.objects.exists()
    assert schemas(beside) == []
    assert FAQ.objects.get().question == "Live?"


def test_other_threads_see_the_scratch_tables_too(beside: psycopg.Connection) -> None:
    """One that has used the live database before, and one that begins later."""
    make_faq("Live?")
    seen: list[list[str]] = []
    go, done = threading.Event(), threading.Event()

    def look() -> None:
        seen.append(list(FAQ.objects.values_list("question", flat=True)))
        connections.close_all()

    def look_twice() -> None:
        look()
        done.set()
        go.wait(20)
        look()

    old = threading.Thread(target=look_twice)
    old.start()
    assert done.wait(20)
    with scratch_database():
        new = threading.Thread(target=look)
        new.start()
        new.join(20)
        go.set()
        old.join(20)
    assert seen == [["Live?"], [], []]


def test_a_schema_whose_process_was_killed_is_dropped_by_the_next(beside: psycopg.Connection) -> None:
    beside.execute(f"CREATE SCHEMA {PREFIX}0123456789abcdef")
    with scratch_database() as schema:
        assert schemas(beside) == [schema]


def test_a_schema_in_use_is_left_to_its_process(beside: psycopg.Connection) -> None:
    used = f"{PREFIX}fedcba9876543210"
    beside.execute("SELECT pg_advisory_lock(%s, %s)", [scratch._LOCKS, scratch._key(used)])
    beside.execute(f"CREATE SCHEMA {used}")
    with scratch_database() as schema:
        assert sorted(schemas(beside)) == sorted([used, schema])
    assert schemas(beside) == [used]
    beside.execute(f"DROP SCHEMA {used}")


def indexes_of(beside: psycopg.Connection, schema: str) -> list[str]:
    rows = beside.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = %s", [schema])
    return [definition for (definition,) in rows]


def test_constraints_and_indexes_hold_as_in_the_live_tables_but_for_the_vectors(beside: psycopg.Connection) -> None:
    beside.execute("CREATE INDEX of_a_model ON faqs_embedding USING hnsw ((vector::halfvec(8)) halfvec_l2_ops)")
    with scratch_database() as schema:
        faq = make_faq("Once?")
        with pytest.raises(IntegrityError):
            Phrasing.objects.create(faq=faq, text="Once?", text_hash=text_hash("Once?"))
        copied, live = indexes_of(beside, schema), indexes_of(beside, "public")
    beside.execute("DROP INDEX of_a_model")
    assert any("hnsw" in each for each in live)
    kept = [each for each in live if "django_migrations" not in each and "hnsw" not in each]
    assert len(copied) == len(kept) > 40


def test_a_role_that_may_not_create_schemas_is_told(
    beside: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside.execute("DROP ROLE IF EXISTS onlooker")
    beside.execute("CREATE ROLE onlooker LOGIN")
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "USER", "onlooker")
    try:
        with pytest.raises(ApplicationError) as raised, scratch_database():
            pass
    finally:
        monkeypatch.undo()
        beside.execute("DROP ROLE onlooker")
    assert raised.value.code == "scratch_not_allowed"
