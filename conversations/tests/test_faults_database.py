"""PostgreSQL restarted, its connections cut or used up, its disk full: nothing is acknowledged that is not stored."""

import asyncio
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections

from chatbot_project.embedded.postgres import EmbeddedPostgres
from chatbot_project.lib.db import run_db
from conftest import POSTGRES
from stress_tests.chaos.proxy import Proxy, to_socket
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .checker import Crowd
from .fault_stack import FaultStack, eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

CROWD = 24


@pytest.fixture
def gate(fake_model: FakeModelServer) -> Iterator[Gate]:
    """Every reply says its question, as many tokens of it as are let through; in the end nothing is held back."""
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    yield gate
    gate.release()


@pytest.fixture
def postgres(stack: FaultStack) -> Iterator[EmbeddedPostgres]:
    """The session's server; up again for the next test, which does not meet this one's broken connections."""
    yield POSTGRES
    connections.close_all()
    start(POSTGRES)


def start(postgres: EmbeddedPostgres) -> None:
    """Have it run. What this process used a moment ago is no good any more and would be handed out unchecked."""
    postgres.start()
    connection.pool.check()


def readiness(url: str) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=15) as answer:
            return answer.status, json.load(answer)["parts"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["parts"]


async def heals(fresh: Crowd, since: float) -> None:
    """Every web process stores questions again, in time."""
    await asyncio.gather(*(talk.submit() for talk in fresh.talks))
    await fresh.accept()
    print(f"questions were accepted {time.monotonic() - since:.1f} s after PostgreSQL was back")


async def test_restarted_in_mid_stream_replies_complete_and_questions_are_stored_once(
    stack: FaultStack, gate: Gate, postgres: EmbeddedPostgres
) -> None:
    crowds = Crowd(stack.urls, CROWD), Crowd(stack.urls, CROWD), Crowd(stack.urls, 4)
    async with crowds[0] as crowd, crowds[1] as later, crowds[2] as fresh:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        await asyncio.gather(*(talk.submit() for talk in later.talks))
        postgres.stop()
        gate.release(6)
        await crowd.show(12)  # what streams goes on without it
        acknowledged = [talk for talk in later.talks if talk.client.accepted]
        start(postgres)
        await heals(fresh, time.monotonic())
        await later.accept()
        print(f"{len(acknowledged)} of {CROWD} questions were accepted before it went away")
        gate.release()
        for each, size in zip((crowd, later, fresh), (CROWD, CROWD, 4), strict=True):
            await each.end()
            assert await each.check() == {"completed": size}


async def test_away_when_replies_end_they_are_stored_when_it_is_back(
    stack: FaultStack, gate: Gate, postgres: EmbeddedPostgres
) -> None:
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        postgres.stop()
        gate.release(35)
        await crowd.show(41)
        gate.release()
        await eventually(lambda: any('"step": "finish"' in w.output() for w in stack.workers), "a worker to be refused")
        assert not any(talk.seen.status for talk in crowd.talks), "nothing has ended that is not stored"
        start(postgres)
        back = time.monotonic()
        await crowd.end()
        print(f"{CROWD} endings were stored {time.monotonic() - back:.1f} s after PostgreSQL was back")
        assert await crowd.check() == {"completed": CROWD}


async def test_connections_cut_at_any_moment_lose_and_double_nothing(
    stack: FaultStack, fake_model: FakeModelServer, postgres: EmbeddedPostgres
) -> None:
    fake_model.default = Script(echo=True, token_ms=10)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"

    async def cut() -> None:
        with contextlib.closing(_connect()) as own:
            for _time in range(30):
                await asyncio.to_thread(own.execute, others, [connection.settings_dict["NAME"]])
                await asyncio.sleep(0.1)

    async with Crowd(stack.urls, CROWD) as crowd:
        cutting = asyncio.create_task(cut())
        for talk in crowd.talks:
            await talk.submit()
            await asyncio.sleep(0.1)
        await cutting
        await crowd.accept()
        resent = sum(refused(talk.client) for talk in crowd.talks)
        print(f"{resent} of {CROWD} questions were refused and sent again")
        await crowd.end()
        assert (await crowd.check("completed", "interrupted")).total() == CROWD


def _connect() -> psycopg.Connection[Any]:
    url = settings.DATABASE_URL.replace("/nono?", f"/{connection.settings_dict['NAME']}?")
    return psycopg.connect(url, autocommit=True)


async def test_connections_used_up_it_refuses_says_so_and_heals(
    stack: FaultStack, gate: Gate, postgres: EmbeddedPostgres
) -> None:
    async with Crowd(stack.urls, CROWD) as crowd, Crowd(stack.urls, 4) as later:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        hogs: list[psycopg.Connection[Any]] = []
        try:
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    hogs.append(_connect())
            await asyncio.to_thread(_take_over, hogs)
            await asyncio.gather(*(talk.submit() for talk in later.talks))
            for talk in later.talks:
                await talk.client.until(lambda c=talk.client: refused(c), "to be refused", 30)
            status, parts = await asyncio.to_thread(readiness, stack.url)
            assert (status, parts["database"].split()[0]) == (503, "unavailable")
            gate.release(6)
            await crowd.show(12)
            assert not any(talk.client.accepted for talk in later.talks)
        finally:
            for hog in hogs:
                hog.close()
        back = time.monotonic()
        await later.accept()
        print(f"refused questions were accepted {time.monotonic() - back:.1f} s after connections were free")
        gate.release()
        await crowd.end()
        await later.end()
        assert await crowd.check() == {"completed": CROWD}
        assert await later.check() == {"completed": 4}
        await eventually(lambda: readiness(stack.url)[0] == 200, "readiness")


def refused(client: Any) -> bool:
    """Whether the last that this client heard of its question is that it cannot be stored."""
    return any(event["type"] == "error" and event["code"] == "unavailable" for event in client.heard)


def _take_over(hogs: list[psycopg.Connection[Any]]) -> None:
    """End all connections but ``hogs``, and hold whatever becomes free, until twice in a row there was none: one that
    is just being opened is not seen yet."""
    mine = [hog.info.backend_pid for hog in hogs]
    others = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
    )
    deadline, rounds = time.monotonic() + 20, 0
    while time.monotonic() < deadline:
        ended = hogs[0].execute(others, [mine]).fetchone()
        try:
            hogs.append(_connect())
            mine.append(hogs[-1].info.backend_pid)
            rounds = 0
        except psycopg.OperationalError:
            rounds = rounds + 1 if ended == (0,) else 0
            if rounds == 2:
                return
            time.sleep(0.05)
    raise AssertionError("connections were always to be had")


async def test_a_worker_that_the_database_alone_has_left_goes_on_and_stores_its_replies_later(
    stack: FaultStack, gate: Gate, postgres: EmbeddedPostgres
) -> None:
    """Others have the database, and see leases run out of one that is well."""
    async with Proxy(to_socket(str(postgres.paths.postgres_socket))) as link:
        name = connection.settings_dict["NAME"]
        worker = stack.only_worker(DATABASE_URL=f"postgresql://nono@127.0.0.1:{link.port}/{name}?sslmode=disable")
        async with Crowd(stack.urls, CROWD) as crowd:
            await crowd.ask()
            gate.release(6)
            await crowd.show(6)
            other = await stack.start_worker()
            link.refuses = True
            link.reset()
            await eventually(lambda: "worker.spares_held" in other.output(), "leases to run out")
            gate.release(35)
            await crowd.show(41)
            gate.release()
            await eventually(lambda: '"step": "finish"' in worker.output(), "an ending to be refused")
            assert not any(talk.seen.status for talk in crowd.talks), "nothing has ended that is not stored"
            link.heal()
            await crowd.end()
            assert await crowd.check() == {"completed": CROWD}
        stack.only_workers(stack.environment)


async def test_a_server_that_was_taken_over_from_is_waited_out_and_nothing_is_lost(
    stack: FaultStack, gate: Gate, postgres: EmbeddedPostgres
) -> None:
    """Until the connections lead to the one that took over: the old one answers, and takes no writes."""

    def refused_endings() -> int:
        return sum(worker.output().count('"step": "finish"') for worker in stack.workers)

    async with Crowd(stack.urls, CROWD) as crowd, Crowd(stack.urls, 4) as later:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        with contextlib.closing(_connect()) as own:
            own.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            try:
                own.execute("SELECT pg_reload_conf()")
                await asyncio.gather(*(talk.submit() for talk in later.talks))
                for talk in later.talks:
                    await talk.client.until(lambda c=talk.client: refused(c), "to be refused", 30)
                gate.release(35)
                await crowd.show(41)
                before = refused_endings()
                gate.release()
                await eventually(lambda: refused_endings() > before, "an ending to be refused")
                assert not any(talk.seen.status for talk in crowd.talks), "nothing has ended that is not stored"
                assert readiness(stack.url)[0] == 503
            finally:
                own.execute("SET default_transaction_read_only = off")
                own.execute("ALTER SYSTEM RESET default_transaction_read_only")
                own.execute("SELECT pg_reload_conf()")
        await later.accept()
        await crowd.end()
        await later.end()
        assert await crowd.check() == {"completed": CROWD}
        assert await later.check() == {"completed": 4}


async def test_its_disk_full_nothing_is_accepted_and_what_streams_is_stored_later(
    stack: FaultStack, gate: Gate, postgres: EmbeddedPostgres
) -> None:
    async with Crowd(stack.urls, CROWD) as crowd, Crowd(stack.urls, 4) as later:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        await run_db(_execute, FILL)
        try:
            await asyncio.gather(*(talk.submit() for talk in later.talks))
            for talk in later.talks:
                await talk.client.until(lambda c=talk.client: refused(c), "to be refused")
            for url in stack.urls:
                await eventually(
                    lambda url=url: readiness(url)[1]["database"] == "unavailable (DiskFull)", "a word of it"
                )
                assert readiness(url)[0] == 503
            gate.release(6)
            await crowd.show(12)
            assert not any(talk.client.accepted for talk in later.talks)
        finally:
            await run_db(_execute, FREE)
        await later.accept()
        gate.release()
        await crowd.end()
        await later.end()
        assert await crowd.check() == {"completed": CROWD}
        assert await later.check() == {"completed": 4}
        await eventually(lambda: readiness(stack.url)[0] == 200, "readiness")


# What PostgreSQL answers to every write when its disk is full.
FILL = """
    CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON conversations_message
      FOR EACH STATEMENT EXECUTE FUNCTION disk_is_full();
"""
FREE = "DROP TRIGGER disk_is_full ON conversations_message; DROP FUNCTION disk_is_full()"


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
