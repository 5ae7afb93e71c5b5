"""What is said of many sockets: a good run reaches everything, a doctored one misses what was doctored."""

import asyncio
import copy
import time
from argparse import Namespace
from typing import Any, cast

import pytest

from stress_tests.bench_cpu import Parts
from stress_tests.reporting import report_page, report_text
from stress_tests.websocket_phases import BROKEN, ping_all
from stress_tests.websocket_test import judged, report_of
from stress_tests.websocket_visitor import Visitor

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}
MS = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
MIB = 2**20


def good() -> dict[str, Any]:
    storm = {
        "sockets": 100, "back": 100, "back_ms": MS, "times_s": [0.1, 0.2], "cpu_ms_per_socket": 3.0,
        "rss": 200 * MIB, "refused": {},
    }  # fmt: skip
    pings = {"due": 200, "answered": 200, "pong_ms": MS, "cpu_us_per_ping": 300.0}
    return {
        "memory": {"before": 170 * MIB, "open": 175 * MIB},
        "still_open": {"open": 100, "pings": 100, "storm 1": 100},
        "open": {
            "sockets": 100, "opened": 100, "refused": {}, "kib_per_socket": 40.0, "cpu_ms_per_socket": 3.0,
            "ready_ms": MS, "times_s": [0.1, 0.2],
        },
        "ping": pings,
        "follow": {"tabs": 40, "whole": 40, "faults": {}, "lag_ms": MS, "cpu_us_per_token_and_tab": 90.0},
        "storms": [storm, copy.deepcopy(storm)],
        "slow": {
            "readers": 3, "closed": {"4408": 3}, "whole_afterwards": 3, "kib_per_reader": 900.0,
            "others": copy.deepcopy(pings),
        },
        "broken": {
            "answers": {name: {min(expected): 3} for name, (_, expected) in BROKEN.items()},
            "others": copy.deepcopy(pings),
        },
        "left_behind": 0,
    }  # fmt: skip


def doctored(path: str, value: Any) -> dict[str, Any]:
    found = good()
    *way, last = path.split("/")
    place: Any = found
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[last] = value
    return found


def test_a_good_run_reaches_everything() -> None:
    assert {check.verdict for check in judged(good())} == {"reached"}


@pytest.mark.parametrize(
    ("path", "value", "missed"),
    [
        ("open/opened", 99, "sockets opened"),
        ("open/kib_per_socket", 61.0, "memory of an idle socket"),
        ("still_open/pings", 99, "sockets open at the end of each phase"),
        ("ping/answered", 199, "pings answered"),
        ("ping/pong_ms", MS | {"p95": 300.0}, "pong, P95"),
        ("follow/whole", 39, "tabs that hold the whole reply"),
        ("storms/1/back", 99, "sockets back after storm 2"),
        ("storms/0/back_ms", MS | {"max": 31_000.0}, "the last one is back"),
        ("storms/1/back_ms", dict.fromkeys(MS), "the last one is back"),
        ("ping/pong_ms", dict.fromkeys(MS), "pong, P95"),
        ("storms/1/rss", 230 * MIB, "memory after the last storm, more than after the first"),
        ("slow/closed", {"4408": 2, "None": 1}, "readers that do not read, closed with 4408"),
        ("slow/whole_afterwards", 2, "of these, found everything afterwards"),
        ("slow/kib_per_reader", 5000.0, "memory of one of them"),
        ("slow/others/answered", 100, "others' pings answered meanwhile"),
        ("broken/others/answered", 0, "others' pings answered after frames that are none"),
        ("broken/answers/no mask", {"1002": 2, "pong": 1}, "frames that are none: refused as they should"),
        ("left_behind", 1, "connections left behind"),
    ],
)
def test_what_went_wrong_is_missed(path: str, value: Any, missed: str) -> None:
    assert [check.name for check in judged(doctored(path, value)) if check.verdict == "MISSED"] == [missed]


class Socket:
    """The socket of a visitor whose pings are answered after ``delay_s``, or never."""

    def __init__(self, visitor: Visitor, delay_s: float | None) -> None:
        self.visitor, self.delay_s, self.sent = visitor, delay_s, 0

    def send(self, _payload: bytes) -> None:
        self.sent += 1
        if self.delay_s is not None:
            asyncio.get_running_loop().call_later(self.delay_s, self.answer)

    def answer(self) -> None:
        self.visitor._on_text(b'{"type":"pong"}', time.monotonic())


def visitor_who_is_answered_after(delay_s: float | None) -> Visitor:
    visitor = Visitor()
    visitor.socket = cast(Any, Socket(visitor, delay_s))
    return visitor


async def pinged(*visitors: Visitor, seconds: float = 0.2, every_s: float = 0.1) -> dict[str, Any]:
    return await ping_all(cast(Any, Namespace(parts=lambda: Parts({}))), visitors, seconds=seconds, every_s=every_s)


async def test_ping_of_a_closed_socket_was_due_and_is_missed() -> None:
    answered, closed = visitor_who_is_answered_after(0), visitor_who_is_answered_after(0)
    closed._on_closed(1006)
    found = await pinged(answered, closed)
    assert (found["due"], found["answered"]) == (4, 2)
    assert found["pong_ms"]["max"] >= 200


async def test_pings_of_a_socket_that_closed_are_not_answered_by_pongs_of_the_next() -> None:
    visitor = visitor_who_is_answered_after(None)
    pong_of_the_next = cast(Any, visitor.socket).answer

    def close() -> None:
        visitor._on_closed(1006)
        pong_of_the_next()

    asyncio.get_running_loop().call_later(0.05, close)
    found = await pinged(visitor)
    assert (found["due"], found["answered"], visitor.is_open) == (2, 0, False)


async def test_late_pong_holds_no_ping_back_and_counts_from_the_moment_it_was_due() -> None:
    visitor = visitor_who_is_answered_after(0.15)
    found = await pinged(visitor)
    assert cast(Any, visitor.socket).sent == 2
    assert found["due"] == 2
    assert found["pong_ms"]["p50"] >= 100


async def test_pong_of_an_earlier_phase_answers_none_of_the_next() -> None:
    visitor = visitor_who_is_answered_after(None)
    await pinged(visitor, seconds=0.1)
    asyncio.get_running_loop().call_later(0.05, cast(Any, visitor.socket).answer)
    found = await pinged(visitor, seconds=0.1)
    assert (found["due"], found["answered"]) == (1, 0)


def test_memory_of_one_reader_alone_is_unclear() -> None:
    found = doctored("slow/kib_per_reader", None)
    assert [check.name for check in judged(found) if check.verdict != "reached"] == ["memory of one of them"]
    assert {check.verdict for check in judged(found)} == {"reached", "unclear"}


def test_a_run_without_storms_is_told_as_well() -> None:
    found = good() | {"storms": []}
    assert {check.verdict for check in judged(found)} == {"reached"}
    assert "after 0 reconnect storms" in report_text(report_of(found, Namespace(), MACHINE))


def test_a_headline_claims_no_more_than_came_back() -> None:
    found = doctored("storms/1/back_ms", dict.fromkeys(MS)) | {"ping": good()["ping"] | {"pong_ms": dict.fromkeys(MS)}}
    assert report_of(found, Namespace(), MACHINE).headline.endswith("after 2 reconnect storms not all are back.")
    assert "not all are back" in report_of(doctored("storms/0/back", 99), Namespace(), MACHINE).headline


def test_the_page_shows_times_and_memory() -> None:
    page = report_page(report_of(doctored("broken/answers/no mask", {"pong": 3}), Namespace(sockets=100), MACHINE))
    assert page.count("<svg") == 2
    assert "no mask: {&#x27;pong&#x27;: 3}" in page
