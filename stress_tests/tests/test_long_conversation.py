"""What is said of a long conversation: flat is flat, and what grows with it is found out."""

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from stress_tests import long_conversation_test
from stress_tests.bench_cpu import Sample
from stress_tests.bench_load import Plan, Run
from stress_tests.bench_stack import StackError
from stress_tests.bench_turns import Turn
from stress_tests.long_conversation_test import PRODUCT, Block, Talker, judged, report_of, slices
from stress_tests.reporting import report_page

MIB = 2**20
COST = "processor time of a turn, held against new conversations"
MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}


def block(number: int, **changes: Any) -> Block:
    wobble = 0.01 * (number * 7 % 5 - 2)
    standard: dict[str, Any] = {
        "last": 25 * number, "turns": 200, "cpu_ms": dict.fromkeys(PRODUCT, 2.0 + wobble), "faults": {},
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


class Machine:
    """Drives without any product: a turn costs each part ``cost_ms(seconds since the start)``, twice as much in a long
    conversation, and takes a second. ``went`` are slices: who, and how many turns."""

    def __init__(self, old: Sequence[Talker], cost_ms: Callable[[int], float]) -> None:
        self._old, self._cost_ms = old, cost_ms
        self._seconds = 0
        self.went: list[tuple[str, int]] = []

    async def drive(self, plan: Plan, people: Sequence[Talker], _parts: object) -> Run:
        is_old = people is self._old
        self.went.append(("old" if is_old else "new", plan.turns))
        spent = sum(self._cost_ms(self._seconds + number) for number in range(plan.turns)) * (2 if is_old else 1)
        self._seconds += plan.turns
        samples = [self._sample(0.0), self._sample(spent * len(people) / 1000)]
        turns = [Turn(number, 1.0, fault=person.fault) for person in people for number in range(plan.turns)]
        return Run(plan=plan, turns=turns, samples=samples, steady_from=0, steady_to=0, generator_cpu_s=0)

    def _sample(self, cpu_s: float) -> Sample:
        return Sample(0.0, 0.0, dict.fromkeys(PRODUCT, cpu_s), dict.fromkeys(PRODUCT, 100 * MIB))


class Person:
    """As far as a block needs one. ``fault`` is of each turn."""

    def __init__(self, fault: str = "gap in the text") -> None:
        self.fault = fault
        self.begun = 0

    def begin_anew(self) -> None:
        self.begun += 1


async def block_of(
    monkeypatch: pytest.MonkeyPatch, cost_ms: Callable[[int], float], turns: int, new: Person | None = None
) -> tuple[Block, Machine]:
    old: Any = [Person(), Person()]
    fresh: Any = [new or Person(), Person()]
    machine = Machine(old, cost_ms)
    monkeypatch.setattr(long_conversation_test, "drive", machine.drive)
    monkeypatch.setattr(long_conversation_test, "_open_pages", lambda *_: [(0.02, 1000)])
    plan = Plan(name="block", users=2, turns=turns, tokens=4)
    made = await long_conversation_test._block(Namespace(parts=lambda: None), plan, old, fresh, turns)  # type: ignore[arg-type]
    assert [person.begun for person in (*old, *fresh)] == [0, 0, 1, 1]
    return made, machine


async def test_old_and_new_conversations_take_turns_within_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made, machine = await block_of(monkeypatch, lambda _: 5.0, 25)
    assert machine.went == [("old", 10), ("new", 10), ("new", 10), ("old", 10), ("old", 5), ("new", 5)]
    assert (made.turns, made.cost_ms, made.new_cost_ms) == (100, pytest.approx(50.0), pytest.approx(25.0))


async def test_faults_of_a_block_are_kept_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = await block_of(monkeypatch, lambda _: 5.0, 1)
    assert json.loads(json.dumps(asdict(made)))["faults"] == {"gap in the text": 4}


async def test_a_machine_that_is_busy_for_a_while_meets_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, all of it would have met the new ones: twice the cost would have looked like the same."""
    made, _ = await block_of(monkeypatch, lambda seconds: 10.0 if seconds >= 50 else 5.0, 50)
    assert made.times_new == pytest.approx(2.0, rel=0.15)


async def test_a_conversation_that_breaks_off_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StackError, match="broke off: lost: closed with 1006"):
        await block_of(monkeypatch, lambda _: 5.0, 50, Person("lost: closed with 1006"))


@pytest.mark.parametrize(("turns", "wanted"), [(3, [3]), (10, [10]), (25, [10, 10, 5])])
def test_slices_are_small_and_leave_nothing_out(turns: int, wanted: list[int]) -> None:
    assert slices(turns) == wanted


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
