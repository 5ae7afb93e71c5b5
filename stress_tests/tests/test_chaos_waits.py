"""For how long a client was held up, as its history tells it."""

from typing import Any

import pytest

from stress_tests.chaos.recoveries import RECOVERY_SECONDS, held_up_for
from stress_tests.chaos.waits import Waits

Line = dict[str, Any]


def heard(at: float, kind: str, **fields: Any) -> Line:
    return {"at": at, "what": "heard", "event": {"type": kind, **fields}}


def asked(at: float) -> Line:
    return {"at": at, "what": "asked", "command": {"type": "message.send", "client_id": "c0-1"}}


def accepted(at: float, client_id: str = "c0-1") -> Line:
    return heard(at, "message.accepted", client_id=client_id, reply={"id": "r1", "status": "queued"})


def read(*lines: Line) -> Waits:
    waits = Waits()
    for line in lines:
        waits.read(line)
    return waits


def said(at: float, kind: str = "delta") -> Line:
    return heard(at, f"reply.{kind}", reply="r1")


def ended(at: float) -> Line:
    reply = {"id": "r1", "role": "assistant", "status": "interrupted"}
    return heard(at, "conversation.snapshot", messages=[reply])


def closed(at: float) -> Line:
    return {"at": at, "what": "closed", "code": 1006}


REFUSED = heard(1.2, "error", client_id="c0-1", code="unavailable")
CONNECTED = [{"at": 0.0, "what": "opened", "web": 0}, heard(0.1, "ready")]
READING = [*CONNECTED, asked(1.0), accepted(1.1), said(1.2, "started"), said(1.3)]
ANSWERED = [*READING, said(1.4, "completed")]


def test_who_is_answered_at_once_is_not_held_up() -> None:
    waits = read(*ANSWERED)
    assert (waits.since, waits.over) == (None, [])


@pytest.mark.parametrize(
    ("lines", "over"),
    [
        pytest.param([*CONNECTED, asked(1.0), accepted(3.0)], [(1.0, 3.0)], id="acknowledgement"),
        pytest.param([*CONNECTED, asked(1.0), accepted(1.1), said(3.0)], [(1.1, 3.0)], id="first word"),
        pytest.param([*READING, said(4.0)], [(1.3, 4.0)], id="next word"),
        pytest.param([*READING, ended(3.0)], [(1.3, 3.0)], id="ending that a snapshot brings"),
        pytest.param([*ANSWERED, closed(2.0), heard(3.0, "ready")], [(2.0, 3.0)], id="connection"),
        pytest.param(
            [*READING, closed(1.5), heard(2.5, "ready"), said(4.0)], [(1.3, 4.0)], id="more than a connection"
        ),
        pytest.param([*CONNECTED, asked(1.0), REFUSED, accepted(3.0)], [(1.0, 3.0)], id="not a refusal"),
        pytest.param(
            [*CONNECTED, asked(1.0), accepted(1.1), said(1.2, "queued"), said(3.0)], [(1.1, 3.0)], id="not a place"
        ),
    ],
)
def test_what_was_waited_for_is_told_from_and_to(lines: list[Line], over: list[tuple[float, float]]) -> None:
    assert read(*lines).over == over


def test_who_waits_still_is_held_up() -> None:
    waits = read(*CONNECTED, asked(1.0))
    assert not waits.held_up_at(1.1)
    assert waits.held_up_at(1.5)


def test_only_what_lies_behind_the_fault_counts_for_it() -> None:
    waits = Waits()
    waits.over = [(1.0, 2.0), (4.0, 6.5), (8.0, 9.0)]
    assert waits.after(5.0, until=5.5) == 1.5
    assert waits.after(2.0, until=2.5) is None
    assert waits.after(3.0, until=4.5) == 2.5


def test_who_is_held_up_by_the_fault_when_no_longer_waited_for_counts_as_that() -> None:
    waits = read(*CONNECTED, asked(1.0))
    assert waits.after(2.0, until=2.5) is None
    assert held_up_for(waits, 2.0, until=2.5, now=62.0) == RECOVERY_SECONDS


def test_who_went_on_and_waits_anew_was_held_up_until_then() -> None:
    waits = read(*CONNECTED, asked(1.0), accepted(3.0), said(3.1, "completed"), closed(50.0))
    assert held_up_for(waits, 2.0, until=2.5, now=62.0) == 1.0
    assert held_up_for(waits, 10.0, until=10.5, now=62.0) is None
