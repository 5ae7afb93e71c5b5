"""What is said of many sockets: a good run reaches everything, a doctored one misses what was doctored."""

import copy
from argparse import Namespace
from typing import Any

import pytest

from stress_tests.reporting import report_page, report_text
from stress_tests.websocket_phases import BROKEN
from stress_tests.websocket_test import judged, report_of

MACHINE = {"processors": 2, "processor_name": "Quick", "python": "3", "commit": "abc"}
MS = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
MIB = 2**20


def good() -> dict[str, Any]:
    storm = {
        "sockets": 100, "back": 100, "back_ms": MS, "times_s": [0.1, 0.2], "cpu_ms_per_socket": 3.0,
        "rss": 200 * MIB, "refused": {},
    }  # fmt: skip
    pings = {"sent": 200, "answered": 200, "pong_ms": MS, "cpu_us_per_ping": 300.0}
    return {
        "memory": {"before": 170 * MIB, "open": 175 * MIB},
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
