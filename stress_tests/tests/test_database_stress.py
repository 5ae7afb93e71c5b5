"""What is said of the database: a good run reaches everything, a doctored one misses what was doctored."""

import json
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction

from conversations.models import Message
from conversations.replies import queue
from stress_tests import database_work
from stress_tests.bench_seed import publish
from stress_tests.database_test import OF_A_TURN, PLOTTED, judged, report_of, sizes
from stress_tests.database_work import (
    Load,
    Operations,
    Statement,
    explained,
    is_whole,
    nodes,
    people_of,
    per_second,
    versions_left,
)
from stress_tests.reporting import report_page

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}
MS = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
SCAN = {"Node Type": "Seq Scan", "Relation Name": "conversations_message", "Actual Loops": 1}


def good() -> dict[str, Any]:
    operation = {"statements": 2, "ms": 0.4, "planning_ms": 0.7, "pages": 30, "whole": [], "of": []}
    operations = dict.fromkeys((*OF_A_TURN, *PLOTTED), operation)
    table = {"updated": 10, "heap_only": 4, "dead": 6, "dead_after": 0, "bytes": 2**20, "vacuum_s": 0.1}
    found = {
            "sizes": [{"messages": n, "operations": operations} for n in (10_000, 100_000)],
            "load": {
                "threads": 8, "turns": 500, "per_s": 50.0, "errors": [], "failed": 0, "deadlocks": 0,
                "times": {"claim": MS},
            },
            "under_way": 8,
            "vacuum": {"conversations_message": table},
            "vectors": {
                "phrasings": 5000, "searches": 200, "ms": MS, "recall_at_10": 0.99, "pages": 900, "whole": [],
            },
    }  # fmt: skip
    own: dict[str, Any] = json.loads(json.dumps(found))  # nothing in it is shared
    return own


def missed(change: Any) -> list[str]:
    found = good()
    change(found)
    return [check.name for check in judged(found) if check.verdict == "MISSED"]


def test_a_good_run_reaches_everything() -> None:
    assert {check.verdict for check in judged(good())} == {"reached"}
    page = report_page(report_of(good(), Namespace(threads=8), MACHINE))
    assert "the statements of a turn execute in 2.0 ms (warm, best of at least five; without planning, commit" in page
    assert "<th>planning ms</th>" in page
    assert "VACUUM beside 8 open connections, with 8 replies under way." in page
    assert page.count("<svg") == 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda f: f["sizes"][0]["operations"]["claim"].update(whole=["conversations_message"]),
         "large tables that a statement reads whole"),
        (lambda f: f["sizes"][1]["operations"]["claim"].update(pages=81),
         "statements that touch more pages at 100,000 messages"),
        (lambda f: f["load"].update(failed=1), "turns that failed under load"),
        (lambda f: f["load"].update(deadlocks=1), "deadlocks"),
        (lambda f: f.update(under_way=0), "replies under way at VACUUM"),
        (lambda f: f["vacuum"]["conversations_message"].update(dead_after=3), "dead row versions after VACUUM"),
        (lambda f: f["vectors"].update(whole=["faqs_embedding"]), "search by vector reads whole"),
        (lambda f: f["vectors"].update(ms=MS | {"p95": 60.0}), "search by vector, P95"),
        (lambda f: f["vectors"].update(recall_at_10=0.9), "its recall of the ten nearest"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_missed(change: Any, name: str) -> None:
    assert missed(change) == [name]


def test_what_partitions_cost_stands_beside_what_one_table_did() -> None:
    found = good()
    operations = json.loads(json.dumps(found["sizes"][1]["operations"]))
    operations["claim"].update(ms=0.6, whole=["conversations_message_first"])
    found["partitioned"] = {"partitions": 7, "operations": operations}
    report = report_of(found, Namespace(threads=8), MACHINE)
    table = next(table for table in report.tables if table.title == "Messages in 7 partitions")
    assert next(row for row in table.rows if row[0] == "claim")[:3] == ("claim", 0.6, 0.4)
    assert [check.name for check in report.checks if check.verdict == "MISSED"] == [
        "large tables that a statement reads whole"
    ]


def test_one_size_cannot_tell_what_grows() -> None:
    found = good()
    del found["sizes"][1]
    assert [check.name for check in judged(found) if check.verdict == "unclear"] == [
        "statements that touch more pages at 10,000 messages"
    ]


@pytest.mark.parametrize("word", ["9999", "20000,10000", "10000,10000", "many"])
def test_sizes_are_bounded_and_rise(word: str) -> None:
    with pytest.raises((ArgumentTypeError, ValueError)):
        sizes(word)


def test_tables_read_whole_are_found_deep_in_a_plan() -> None:
    plan = {"Node Type": "Limit", "Plans": [{"Node Type": "Nested Loop", "Plans": [SCAN | {"Actual Loops": 0}, SCAN]}]}
    assert [is_whole(node) for node in nodes(plan)] == [False, False, False, True]
    explain = explained_plan(0.5, 0.2, plan)
    found = Statement(explain, "SELECT\n  1", {"conversations_message"})
    assert (found.ms, found.planning_ms, found.pages) == (0.5, 0.2, 9)
    assert (found.whole, found.sql) == (["conversations_message"], "SELECT 1")
    assert Statement(explain, "SELECT 1", {"other"}).whole == []


def explained_plan(ms: float, planning_ms: float, plan: dict[str, Any] | None = None) -> dict[str, Any]:
    pages = {"Shared Hit Blocks": 7, "Shared Read Blocks": 2}
    return {"Plan": (plan or SCAN) | pages, "Execution Time": ms, "Planning Time": planning_ms}


def test_planning_is_that_of_the_quickest_run() -> None:
    runs = [[Statement(explained_plan(ms, planning_ms), "SELECT 1", set())] for ms, planning_ms in ((5, 1), (3, 2))]
    figures = Operations._figures(cast(Any, None), runs)
    assert (figures["ms"], figures["planning_ms"]) == (3, 2)


def test_turns_that_end_late_are_told_with_the_time_that_they_took() -> None:
    assert per_second(10.0, [11.0, 20.0, 12.0]) == 0.3
    assert per_second(10.0, []) == 0.0


def test_what_goes_wrong_in_a_thread_is_a_figure() -> None:
    def step(person: Any) -> None:
        if person == "second":
            raise ValueError("of the second")

    with Load(cast(Any, ["first", "second"])) as load:
        load.all_do(step)
    assert load.errors == ["ValueError: of the second"]


@pytest.mark.django_db(transaction=True)
def test_versions_are_counted_beside_connections_whose_replies_are_under_way() -> None:
    publish("database", "bench/fake")
    with Load(people_of(2)) as load:
        load.take_turns(0.2)
        load.begin_turns()
        under_way = Message.objects.filter(status="streaming").exclude(text="").count()
        found = versions_left()
    figures = load.figures()
    assert (figures["errors"], figures["deadlocks"], under_way) == ([], 0, 2)
    assert figures["turns"] >= 2
    assert found["conversations_message"]["dead_after"] == found["conversations_conversation"]["dead_after"] == 0


@pytest.mark.django_db(transaction=True)
def test_reply_that_nobody_ends_is_a_turn_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    until = time.monotonic() + 3

    def claim(*_: Any) -> list[queue.Claim]:
        if time.monotonic() > until:
            raise RuntimeError("it asks on and on")
        return []  # somebody else has it

    monkeypatch.setattr(queue, "claim", claim)
    monkeypatch.setattr(database_work, "LEASE_SECONDS", 0)
    publish("database", "bench/fake")
    with Load(people_of(1)) as load:
        load.take_turns(0.1)
    assert load.errors == ["TimeoutError: a reply has no ending: who took it up has failed"]
    assert load.ended_at == []


@contextmanager
def transaction_of_somebody_else() -> Iterator[None]:
    def begin() -> None:
        transaction.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")

    with ThreadPoolExecutor(1) as other:
        other.submit(begin).result()
        try:
            yield
        finally:
            other.submit(connections.close_all).result()


@pytest.mark.django_db(transaction=True)
def test_transaction_that_stays_open_shows_in_what_vacuum_leaves() -> None:
    publish("database", "bench/fake")
    with transaction_of_somebody_else(), Load(people_of(2)) as load:
        load.begin_turns()
        found = versions_left()
    assert load.errors == []
    assert found["conversations_message"]["dead_after"] > 0


@pytest.mark.django_db
def test_statements_are_explained_and_run_once() -> None:
    people, plain = get_user_model().objects, psycopg.Cursor.execute
    with explained({"accounts_user"}) as statements:
        people.create(email="one@bench.invalid", username="one")
    assert people.filter(username="one").count() == 1
    assert statements[0].sql.startswith("INSERT INTO")
    assert statements[0].pages > 0
    assert psycopg.Cursor.execute is plain
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
