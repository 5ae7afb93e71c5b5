"""What is said of a long conversation: flat is flat, and what grows with it is found out."""

from argparse import Namespace
from typing import Any

import pytest

from stress_tests.long_conversation_test import PRODUCT, Block, judged, report_of
from stress_tests.reporting import report_page

MIB = 2**20
COST = "processor time of a turn, held against new conversations"
MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}


def block(number: int, **changes: Any) -> Block:
    wobble = 0.01 * (number * 7 % 5 - 2)
    standard: dict[str, Any] = {
        "last": 25 * number, "turns": 100, "cpu_ms": dict.fromkeys(PRODUCT, 2.0 + wobble), "faults": {},
        "new_cpu_ms": dict.fromkeys(PRODUCT, 1.6),
        "rss": dict.fromkeys(PRODUCT, 100 * MIB + 1000 * (number % 3)), "first_ms": 30.0, "end_ms": 80.0,
        "page_ms": 20.0, "page_bytes": 165_000 + number % 2,
    }  # fmt: skip
    return Block(**standard | changes)


def verdicts(blocks: list[Block]) -> dict[str, str]:
    return {check.name: check.verdict for check in judged(blocks, warm_up=100)}


def test_a_flat_conversation_holds_whatever_its_beginning_costs() -> None:
    cheap = [block(number, cpu_ms=dict.fromkeys(PRODUCT, 1.0), page_bytes=9000) for number in range(1, 5)]
    assert set(verdicts([*cheap, *(block(number) for number in range(5, 41))]).values()) == {"reached"}


@pytest.mark.parametrize(
    ("name", "changes_of"),
    [
        (COST, lambda n: {"cpu_ms": dict.fromkeys(PRODUCT, 2.0 + 0.01 * n)}),
        ("memory of worker", lambda n: {"rss": dict.fromkeys(PRODUCT, 100 * MIB) | {"worker": (100 + n) * MIB}}),
        ("memory of web", lambda n: {"rss": dict.fromkeys(PRODUCT, 100 * MIB) | {"web": (100 + n) * MIB}}),
        ("bytes of the conversation's page", lambda n: {"page_bytes": 165_000 + 900 * n}),
        (
            "turns complete, every character in its place",
            lambda n: {"faults": {"gap in the text": 1} if n == 7 else {}},
        ),
    ],
)
def test_what_grows_or_breaks_is_found_out(name: str, changes_of: Any) -> None:
    found = verdicts([block(number, **changes_of(number)) for number in range(1, 41)])
    assert [missed for missed, verdict in found.items() if verdict == "MISSED"] == [name]


def test_a_machine_that_becomes_slower_is_no_growth() -> None:
    slower = [
        block(n, **{name: dict.fromkeys(PRODUCT, cost * n) for name, cost in (("cpu_ms", 2.0), ("new_cpu_ms", 1.6))})
        for n in range(1, 41)
    ]
    assert verdicts(slower)[COST] == "reached"


def test_memory_of_a_run_that_fills_no_cache_is_unclear() -> None:
    found = verdicts([block(number) for number in range(1, 26)])
    assert {found[f"memory of {name}"] for name in ("web", "worker", "celery")} == {"unclear"}


def test_a_short_noisy_run_is_unclear() -> None:
    costs = [2.0, 2.4, 1.9, 2.5, 2.1, 2.2, 1.8, 2.3]
    blocks = [block(5 + number, cpu_ms=dict.fromkeys(PRODUCT, cost)) for number, cost in enumerate(costs)]
    assert verdicts(blocks)[COST] == "unclear"


def test_the_page_shows_cost_memory_and_time_by_turns() -> None:
    options = Namespace(conversations=4, warm_up=100, json=None)
    page = report_page(report_of([block(number) for number in range(1, 41)], options, MACHINE))
    assert page.count("<svg") == 4
    assert "a turn costs 1.24 times as much as in a new one at turn 125, 1.24 times at the end." in page
