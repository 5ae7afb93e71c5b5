"""Text goes out once and is never taken back; a reply that did not complete is never told as if it had."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations import events
from conversations.event_examples import EXAMPLES
from conversations.openai_api.reading import ReplyChanged, Said, Told, read_said, refusal_of

PIECES = st.lists(st.text(min_size=1, max_size=5), max_size=8)


def delta(before: str, text: str) -> Said:
    return Said("reply.delta", len(before) + len(text), text)


def snapshot(text: str) -> Said:
    return Said("reply.snapshot", len(text), text)


def ending(text: str, name: str = "completed", **fields: Any) -> Said:
    return Said(f"reply.{name}", len(text), text, **fields)


@given(PIECES)
def test_deltas_go_out_as_they_come(pieces: list[str]) -> None:
    told, text, out = Told(), "", []
    for piece in pieces:
        out.append(told.more(delta(text, piece)))
        text += piece
    assert out == pieces
    assert told.more(ending(text)) == ""
    assert told.is_whole


@given(PIECES, st.data())
def test_whatever_is_told_anew_what_went_out_is_the_reply(pieces: list[str], data: st.DataObject) -> None:
    """Snapshots, also shorter ones, may come at any time: a new epoch, a log that was lost."""
    whole = "".join(pieces)
    told, known, out = Told(), "", ""
    for piece in pieces:
        if data.draw(st.booleans()):
            known = whole[: data.draw(st.integers(0, len(whole)))]
            out += told.more(snapshot(known))
            assert whole.startswith(out)
        if whole.startswith(known + piece):
            out += told.more(delta(known, piece))
            known += piece
    out += told.more(ending(whole))
    assert out == whole
    assert told.is_whole


def test_a_reply_that_begins_anew_in_other_words_is_no_completion() -> None:
    told = Told()
    assert told.more(delta("", "Once upon")) == "Once upon"
    assert told.more(Said("reply.started", 0)) == ""
    assert told.more(delta("", "Once")) == ""
    with pytest.raises(ReplyChanged):
        told.more(delta("Once", ", long ago"))


def test_one_that_ends_shorter_than_it_was_told_is_not_whole() -> None:
    told = Told()
    told.more(delta("", "Once upon a time"))
    assert told.more(ending("Once upon")) == ""
    assert not told.is_whole


def test_a_piece_that_does_not_join_is_not_glued_on() -> None:
    told = Told()
    told.more(delta("", "One "))
    with pytest.raises(ReplyChanged):
        told.more(Said("reply.delta", 13, "three"))


def test_what_counts_not_here_adds_nothing() -> None:
    told = Told()
    told.more(delta("", "One"))
    for name in ("reply.queued", "reply.citations"):
        assert told.more(Said(name, 3)) == ""
    assert told.text == "One"


REPLY_EVENTS = [example for example in EXAMPLES if isinstance(example, events.ReplyEvent)]


@pytest.mark.parametrize("event", REPLY_EVENTS, ids=events.tag_of)
def test_every_event_of_a_reply_can_be_read(event: events.ReplyEvent) -> None:
    said = read_said(events.encode(event))
    assert (said.type, said.seq) == (events.tag_of(event), event.seq)
    if isinstance(event, events.ReplyEnding):
        assert (said.text, said.usage, said.citations) == (event.text, event.usage, event.citations)


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (ending("x", "stopped", finish_reason="stop_requested"), 409, "stopped"),
        (ending("x", "interrupted", code="llm_cut"), 502, "llm_cut"),
        (ending("x", "interrupted", code="worker_lost"), 503, "worker_lost"),
        (ending("", "failed", code="llm_timeout"), 504, "llm_timeout"),
        (ending("", "failed", code="llm_unavailable"), 503, "llm_unavailable"),
        (ending("", "failed", code="token_budget_spent"), 429, "token_budget_spent"),
        (ending("", "failed", code="internal_error"), 500, "internal_error"),
        (ending("", "failed", code="something_new"), 502, "something_new"),
        (ending("", "failed"), 502, "failed"),
    ],
)
def test_an_ending_that_is_none_is_an_error(said: Said, status: int, code: str) -> None:
    error = refusal_of(said)
    assert error is not None
    assert (error.status, error.code) == (status, code)
    assert error.detail


def test_a_completed_reply_is_no_error() -> None:
    assert refusal_of(ending("x", finish_reason="length")) is None
