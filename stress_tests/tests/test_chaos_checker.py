"""The checker of chaos runs finds nothing in a good history, and each fault that is doctored into it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from stress_tests.chaos.checker import Told, check, is_whole, may_be_shown

REST = "echo: Go on."
QUESTIONS = ("c0q1w0 c0q1w1", "c0q2w0 c0q2w1")
Event = dict[str, Any]


def heard(**event: Any) -> Event:
    return {"at": 1.0, "what": "heard", "event": event}


def reply_event(kind: str, turn: int, text: str = "", *, seq: int, epoch: int = 1) -> Event:
    return heard(type=f"reply.{kind}", conversation="k", reply=f"r{turn}", epoch=epoch, seq=seq, text=text)


def a_turn(turn: int, question: str) -> list[Event]:
    """One question that was sent twice and acknowledged twice, and its reply in two pieces."""
    whole = f"echo: {question}"
    client_id = f"c0-{turn}"
    command = {"type": "message.send", "client_id": client_id, "text": question, "conversation": None}
    message = {"id": f"q{turn}", "role": "user", "status": "sent", "text": question, "epoch": 0}
    reply = {"id": f"r{turn}", "role": "assistant", "status": "queued", "text": "", "epoch": 0}
    accepted = heard(
        type="message.accepted", client_id=client_id, conversation={"id": "k"}, message=message, reply=reply
    )
    return [
        {"at": 1.0, "what": "sent", "command": command},
        {"at": 1.0, "what": "sent", "command": command},
        accepted,
        copy.deepcopy(accepted),
        reply_event("started", turn, seq=0),
        reply_event("delta", turn, whole[:8], seq=8),
        reply_event("delta", turn, whole[8:], seq=len(whole)),
        reply_event("completed", turn, whole, seq=len(whole)),
    ]


def rows() -> list[Event]:
    found = []
    for turn, question in enumerate(QUESTIONS, start=1):
        base = {"conversation": "k", "owner": "ann", "epoch": 0, "error_code": "", "finish_reason": ""}
        parent = f"r{turn - 1}" if turn > 1 else None
        found += [
            base | {"id": f"q{turn}", "parent": parent, "role": "user", "status": "sent", "text": question,
                    "client_id": f"c0-{turn}", "finished": False},
            base | {"id": f"r{turn}", "parent": f"q{turn}", "role": "assistant", "status": "completed", "epoch": 1,
                    "text": f"echo: {question}", "client_id": None, "finish_reason": "stop", "finished": True},
        ]  # fmt: skip
    return found


def told() -> Told:
    lines = [line for turn, question in enumerate(QUESTIONS, start=1) for line in a_turn(turn, question)]
    return Told({"c0": lines}, {"c0": "ann"}, rows(), dict.fromkeys(QUESTIONS, 1), REST)


def test_good_history_is_found_good() -> None:
    verdict = check(told())
    assert verdict.violations == []
    assert verdict.counts == {"accepted": 2, "stored": 2, "completed": 2, "sent again": 2}


def lines_of(told: Told, kind: str) -> list[Event]:
    """The events of one kind, to be changed in place."""
    return [line["event"] for line in told.histories["c0"] if line["what"] == "heard" and line["event"]["type"] == kind]


def lost(told: Told) -> None:
    del told.rows[2]  # type: ignore[attr-defined]


def doubled(told: Told) -> None:
    told.rows.append(dict(told.rows[0]) | {"id": "q9"})  # type: ignore[attr-defined]


def doubled_under_another_name(told: Told) -> None:
    told.rows.append(dict(told.rows[0]) | {"id": "q9", "client_id": "c0-9"})  # type: ignore[attr-defined]


def acknowledged_under_two_ids(told: Told) -> None:
    lines_of(told, "message.accepted")[1]["message"]["id"] = "q9"


def altered(told: Told) -> None:
    told.rows[0]["text"] = "c0q1w0"  # type: ignore[index]


def answered_twice(told: Told) -> None:
    told.rows.append(dict(told.rows[1]) | {"id": "r9"})  # type: ignore[attr-defined]


def never_acknowledged(told: Told) -> None:
    told.histories["c0"][:] = [  # type: ignore[index]
        line for line in told.histories["c0"]
        if not (line["what"] == "heard" and line["event"].get("client_id") == "c0-2")
    ]  # fmt: skip


def stuck(told: Told) -> None:
    told.rows[3].update(status="streaming", finished=False)  # type: ignore[attr-defined]


def never_told_of_the_end(told: Told) -> None:
    told.histories["c0"].pop()  # type: ignore[attr-defined]


def cut_and_called_whole(told: Told) -> None:
    told.rows[1]["text"] = "echo: c0q1w0"  # type: ignore[index]
    lines_of(told, "reply.completed")[0].update(text="echo: c0q1w0", seq=12)
    del told.histories["c0"][6]  # type: ignore[attr-defined]


def whole_but_the_model_never_said_so(told: Told) -> None:
    del told.finished[QUESTIONS[0]]  # type: ignore[attr-defined]


def cut_before_its_eyes(told: Told) -> None:
    """Shown as completed too early, and put right afterwards."""
    whole = lines_of(told, "reply.completed")[0]
    early = heard(**whole | {"text": "echo: c0q1w0", "seq": 12})
    again = heard(**whole | {"epoch": 2})
    told.histories["c0"][6:8] = [early, again]  # type: ignore[index]


def ended_twice_in_one_epoch(told: Told) -> None:
    reply = {"id": "r1", "role": "assistant", "status": "interrupted", "text": "echo: c0q1w0", "epoch": 1}
    shown = heard(type="conversation.snapshot", conversation={"id": "k"}, messages=[reply])
    told.histories["c0"].insert(8, shown)  # type: ignore[attr-defined]
    told.histories["c0"].insert(9, copy.deepcopy(told.histories["c0"][7]))  # type: ignore[attr-defined]


def stopped_by_nobody(told: Told) -> None:
    told.rows[1].update(status="stopped", text="echo: c0q1w0")  # type: ignore[attr-defined]
    lines_of(told, "reply.completed")[0].update(type="reply.stopped", text="echo: c0q1w0", seq=12)
    del told.histories["c0"][6]  # type: ignore[attr-defined]


def acknowledged_and_never_taken_up(told: Told) -> None:
    """Told to go on, the reply is interrupted again in the epoch that it was in."""
    told.rows[1].update(status="interrupted", text="echo: c0q1w0")  # type: ignore[attr-defined]
    ending = heard(
        **lines_of(told, "reply.completed")[0] | {"type": "reply.interrupted", "text": "echo: c0q1w0", "seq": 12}
    )
    command = {"type": "reply.continue", "client_id": "c0-1c", "reply": "r1"}
    reply = {"id": "r1", "role": "assistant", "status": "queued", "text": "echo: c0q1w0", "epoch": 1}
    accepted = dict(lines_of(told, "message.accepted")[0]) | {"client_id": "c0-1c", "reply": reply}
    told.histories["c0"][6:8] = [ending, {"at": 1.0, "what": "sent", "command": command}, heard(**accepted), ending]  # type: ignore[index]


def asked_while_there_was_no_connection(told: Told) -> None:
    command = {"type": "message.send", "client_id": "c0-3", "text": "c0q3w0", "conversation": "k"}
    told.histories["c0"].append({"at": 2.0, "what": "asked", "command": command})  # type: ignore[attr-defined]


def of_two_epochs(told: Told) -> None:
    lines_of(told, "reply.delta")[1]["epoch"] = 2


def back_to_an_earlier_epoch(told: Told) -> None:
    lines_of(told, "reply.delta")[0]["epoch"] = 0


def with_a_gap(told: Told) -> None:
    del told.histories["c0"][5]  # type: ignore[attr-defined]


def said_twice(told: Told) -> None:
    deltas = lines_of(told, "reply.delta")
    deltas[1].update(text=deltas[0]["text"], seq=16)


def of_another_question(told: Told) -> None:
    whole = f"echo: {QUESTIONS[1]}"
    told.rows[1]["text"] = whole  # type: ignore[index]
    lines_of(told, "reply.completed")[0].update(text=whole)


def shown_otherwise_than_stored(told: Told) -> None:
    told.rows[1].update(status="interrupted", text="echo: c0")  # type: ignore[attr-defined]


def in_another_order(told: Told) -> None:
    told.rows[2]["parent"] = None  # type: ignore[index]


def of_another_person(told: Told) -> None:
    told.rows.append(
        dict(told.rows[0]) | {"id": "x", "conversation": "other", "owner": "bob", "client_id": "b", "text": "b"}
    )  # type: ignore[attr-defined]
    told.histories["c0"].append(heard(type="conversation.updated", conversation={"id": "other"}))  # type: ignore[attr-defined]


def signed_out(told: Told) -> None:
    told.histories["c0"].append({"at": 2.0, "what": "closed", "code": 4401})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "doctor"),
    [
        ("lost", lost),
        ("doubled", doubled),
        ("doubled", doubled_under_another_name),
        ("doubled", acknowledged_under_two_ids),
        ("altered", altered),
        ("replies", answered_twice),
        ("unanswered", never_acknowledged),
        ("stuck", stuck),
        ("stuck", never_told_of_the_end),
        ("cut", cut_and_called_whole),
        ("cut", whole_but_the_model_never_said_so),
        ("cut", cut_before_its_eyes),
        ("stream", ended_twice_in_one_epoch),
        ("unasked", stopped_by_nobody),
        ("unanswered", acknowledged_and_never_taken_up),
        ("unanswered", asked_while_there_was_no_connection),
        ("stream", of_two_epochs),
        ("stream", back_to_an_earlier_epoch),
        ("stream", with_a_gap),
        ("mixed", said_twice),
        ("mixed", of_another_question),
        ("differs", shown_otherwise_than_stored),
        ("order", in_another_order),
        ("foreign", of_another_person),
        ("signed_out", signed_out),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_doctored_history_is_found_out(kind: str, doctor: Callable[[Told], None]) -> None:
    doctored = told()
    doctor(doctored)
    assert kind in check(doctored).of_kind


def test_violation_tells_the_whole_history_of_its_message() -> None:
    doctored = told()
    whole_but_the_model_never_said_so(doctored)
    [violation] = check(doctored).violations
    said = str(violation)
    assert (violation.client, violation.client_id) == ("c0", "c0-1")
    assert said.count("'what': 'sent'") == 2
    assert "reply.delta" in said
    assert "stored: " in said
    assert "r2" not in said


@pytest.mark.parametrize("text", ["", "echo: c", "echo: c0q1", "echo: cecho: Go on.", "echecho: Goecho: Go on."])
def test_text_that_went_on_may_be_shown(text: str) -> None:
    assert may_be_shown(text, "echo: c0q1", REST)


@pytest.mark.parametrize("text", ["cho: c0q1", "echo: c0q2", "echo: c0q1 ", "echo: cGo on.", "echo: c0echo: Go on.x"])
def test_text_of_something_else_may_not(text: str) -> None:
    assert not may_be_shown(text, "echo: c0q1", REST)


def test_text_that_went_on_is_whole_when_the_model_had_said_the_rest() -> None:
    assert is_whole("echo: cecho: Go on.", "echo: c0q1", REST)
    assert not is_whole("echo: cecho: Go", "echo: c0q1", REST)
