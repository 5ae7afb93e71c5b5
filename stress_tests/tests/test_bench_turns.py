"""The bench's reading of a turn: it must notice whatever is not as it was sent."""

import json

import pytest

from stress_tests.bench_turns import (
    Turn,
    checksum,
    direct_outcome,
    less,
    percentile,
    percentiles_ms,
    product_outcome,
)

STAMPS = "1000000 1020000 1040000 "
WHOLE = STAMPS + checksum(STAMPS)
PIECES = ["1000000 10", "20000 1040000 ", checksum(STAMPS)]


def event(kind: str, text: str = "", *, epoch: int = 1, seq: int = 0, reply: str = "r") -> bytes:
    return json.dumps({"type": f"reply.{kind}", "reply": reply, "epoch": epoch, "seq": seq, "text": text}).encode()


def deltas(pieces: list[str], *, epoch: int = 1) -> list[bytes]:
    seq, frames = 0, []
    for piece in pieces:
        seq += len(piece)
        frames.append(event("delta", piece, seq=seq, epoch=epoch))
    return frames


def turn(*frames: bytes, sent_at: float = 0.9) -> Turn:
    """The frames come at 1.05 s, 1.10 s, and so on."""
    pieces = [(1.05 + 0.05 * number, frame) for number, frame in enumerate(frames)]
    return Turn(0, sent_at, accepted_at=0.95, ended_at=9.0, pieces=pieces)


def ending(text: str = WHOLE, *, epoch: int = 1) -> bytes:
    return event("completed", text, seq=len(text), epoch=epoch)


def test_whole_turn_counts_every_token_and_its_lag() -> None:
    outcome = product_outcome(turn(event("started"), *deltas(PIECES), ending()), tokens=4)
    assert outcome.fault == ""
    assert outcome.tokens == 4
    # The first token came whole with the first delta, the one that was split only with the second.
    assert outcome.lags_s == pytest.approx([0.10, 0.13, 0.11])
    assert outcome.first_s == pytest.approx(0.2)


def test_snapshot_of_the_same_epoch_adds_only_what_was_missing() -> None:
    frames = [event("started"), *deltas(PIECES[:1]), event("snapshot", STAMPS, seq=len(STAMPS))]
    frames += [event("delta", PIECES[2], seq=len(WHOLE)), ending()]
    outcome = product_outcome(turn(*frames), tokens=4)
    assert (outcome.fault, outcome.tokens) == ("", 4)


@pytest.mark.parametrize(
    ("frames", "fault"),
    [
        ([*deltas(PIECES)[:1], deltas(PIECES)[2], ending()], "gap in the text"),
        ([*deltas(PIECES)[:1], *deltas(PIECES)[:1]], "gap in the text"),
        ([*deltas(PIECES)[:1], *deltas(PIECES, epoch=2)[1:]], "delta of another epoch"),
        ([*deltas(PIECES), ending(STAMPS)], "ending unlike its deltas"),
        ([*deltas(PIECES, epoch=2), ending()], "ending unlike its deltas"),
        ([*deltas(PIECES), ending(WHOLE + "9 ")], "text unlike the model's"),
        ([*deltas(["1000000 ", "f0f0f0f0"]), ending("1000000 f0f0f0f0")], "text unlike the model's"),
        ([*deltas(PIECES)[:2]], "lost: no ending"),
        ([event("delta", "1 ", seq=2, reply="other"), *deltas(PIECES)], "another reply's event"),
        ([*deltas(PIECES), ending(), event("delta", "1 ", seq=len(WHOLE) + 2)], "text after the ending"),
        ([event("failed")], "reply.failed"),
    ],
)
def test_what_is_not_as_it_was_sent_is_a_fault(frames: list[bytes], fault: str) -> None:
    assert product_outcome(turn(*frames), tokens=4).fault == fault


def test_text_that_comes_with_the_ending_alone_counts_and_is_marked() -> None:
    outcome = product_outcome(turn(*deltas(PIECES[:1]), ending()), tokens=4)
    assert (outcome.fault, outcome.tokens, outcome.tail) == ("", 4, True)


def test_too_few_tokens_are_a_fault_even_where_the_text_agrees() -> None:
    assert product_outcome(turn(*deltas(PIECES), ending()), tokens=5).fault == "wrong number of tokens"


def test_direct_answer_is_read_across_the_pieces_it_came_in() -> None:
    wire = b"".join(b'2a\r\ndata: {"choices":[{"delta":{"content":"%s"}}]}\n\n\r\n' % text.encode() for text in (
        "1000000 ", "1020000 ", "1040000 ", checksum(STAMPS)
    ))  # fmt: skip
    outcome = direct_outcome(turn(wire[:30], wire[30:110], wire[110:]), tokens=4)
    assert outcome.fault == ""
    assert outcome.lags_s == pytest.approx([0.10, 0.13, 0.11])


def test_latency_of_nothing_is_none_and_no_zero() -> None:
    assert percentiles_ms([]) == dict.fromkeys(("p50", "p95", "p99", "max"))
    assert percentiles_ms([0.002, 0.001])["p50"] == 1.0


def test_what_is_added_to_nothing_or_by_nothing_is_none() -> None:
    assert less({"p50": 30.0, "p95": None, "p99": 50.0}, {"p50": 10.0, "p95": 12.0, "p99": None}) == {
        "p50": 20.0, "p95": None, "p99": None,
    }  # fmt: skip


def test_percentile_is_a_value_that_occurred() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0.0, 0.5, 0.95, 1.0)] == [1, 2, 4, 4]
