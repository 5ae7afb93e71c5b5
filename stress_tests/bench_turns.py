"""What one turn was, taken from its raw frames once the measurement is over: whole or not, how late, token by token."""

import dataclasses
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

COMPLETED = "reply.completed"
ENDINGS = frozenset({COMPLETED, "reply.stopped", "reply.interrupted", "reply.failed"})
CHECKSUM_CHARACTERS = 8
# Tokens of a stamped stream, on the wire to a client of the model server.
STAMP_ON_WIRE = re.compile(rb'"content":"(\d+) "')
CONTENT_ON_WIRE = re.compile(rb'"content":"([^"]*)"')


@dataclasses.dataclass(slots=True)
class Turn:
    """One question and what came back. Times are ``time.monotonic`` seconds, 0 for what did not happen."""

    number: int
    sent_at: float
    queued_at: float = 0.0
    accepted_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    position: int = 0
    # Every frame of the reply, or every piece of the model's answer, and when it came.
    pieces: list[tuple[float, bytes]] = dataclasses.field(default_factory=list)
    fault: str = ""


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a turn amounts to. ``fault`` is empty for a turn that completed with every character in its place.

    ``first_s`` is from sending to the first text; ``lags_s`` has for each token the time from the model server's
    writing to its arrival here.
    """

    fault: str = ""
    first_s: float = 0.0
    lags_s: list[float] = dataclasses.field(default_factory=list)
    tokens: int = 0
    text_frames: int = 0
    wait_s: float = 0.0
    tail: bool = False  # the ending brought text that no delta had


class Frame(msgspec.Struct):
    """What every event may carry of a reply's text; other fields are passed over."""

    type: str
    reply: str = ""
    epoch: int = 0
    seq: int = 0
    text: str = ""
    code: str = ""


_decode = msgspec.json.Decoder(Frame).decode


class _Reader:
    """A client's copy of one reply, put together by the protocol's rules, and the lag of each token that it met."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.epoch = 0
        self.lags: list[float] = []
        self.tail = ""
        self._carry = ""

    def take(self, frame: Frame, now: float) -> str:
        """Apply an event; returns what is wrong with it, or nothing."""
        if frame.type == "reply.delta":
            return self._delta(frame, now)
        if frame.type == "reply.snapshot":
            return self._snapshot(frame, now)
        if frame.type == COMPLETED:
            return self._ending(frame, now)
        if frame.type in ENDINGS:
            return f"{frame.type} {frame.code}".strip()
        self.epoch = max(self.epoch, frame.epoch)
        return ""

    def _delta(self, frame: Frame, now: float) -> str:
        if frame.epoch != self.epoch:
            if self.length or frame.epoch < self.epoch:
                return "delta of another epoch"
            self.epoch = frame.epoch
        if frame.seq - len(frame.text) != self.length:
            return "gap in the text"
        self.parts.append(frame.text)
        self.length = frame.seq
        self._stamps(frame.text, now)
        return ""

    def _snapshot(self, frame: Frame, now: float) -> str:
        if frame.epoch < self.epoch or frame.seq != len(frame.text):
            return "wrong snapshot"
        known = "".join(self.parts)
        if frame.epoch == self.epoch and not frame.text.startswith(known):
            return "snapshot unlike its epoch"
        fresh = frame.text[len(known) :] if frame.text.startswith(known) else ""
        self.epoch, self.parts, self.length = frame.epoch, [frame.text], frame.seq
        self._stamps(fresh, now)
        return ""

    def _ending(self, frame: Frame, now: float) -> str:
        # An ending carries the whole text, so one of a later epoch needs nothing before it.
        known, text = "".join(self.parts), frame.text
        if frame.seq != len(text) or frame.epoch < self.epoch or not text.startswith(known):
            return "ending unlike its deltas"
        self.tail = text[len(known) :]
        self._stamps(self.tail, now)
        if checksum(text[:-CHECKSUM_CHARACTERS]) != text[-CHECKSUM_CHARACTERS:]:
            return "text unlike the model's"
        return ""

    def _stamps(self, text: str, now: float) -> None:
        *whole, self._carry = (self._carry + text).split(" ")
        self.lags += [now - int(stamp) / 1e6 for stamp in whole]


def _taken(reader: _Reader, frame: Frame, now: float) -> str:
    try:
        return reader.take(frame, now)
    except ValueError:  # a token that is no number
        return "text unlike the model's"


def checksum(text: str) -> str:
    """What a stamped stream's last token says of the text before it."""
    return f"{zlib.crc32(text.encode()):08x}"


def product_outcome(turn: Turn, tokens: int) -> Outcome:
    """Read a turn over the WebSocket, which should have brought ``tokens`` tokens."""
    outcome = Outcome(fault=turn.fault)
    reader = _Reader()
    ended = False
    frames = [(now, _decode(payload)) for now, payload in turn.pieces]
    if len({frame.reply for _, frame in frames}) > 1:
        outcome.fault = outcome.fault or "another reply's event"  # else it would pass for a gap in this one
    for now, frame in frames:
        if ended and frame.text:
            outcome.fault = outcome.fault or "text after the ending"
            break
        if frame.type in ("reply.delta", "reply.snapshot"):
            outcome.text_frames += 1
        if frame.text and not outcome.first_s:
            outcome.first_s = now - turn.sent_at
        outcome.fault = outcome.fault or _taken(reader, frame, now)
        ended = ended or frame.type in ENDINGS
    outcome.lags_s = reader.lags
    outcome.tail = bool(reader.tail)
    outcome.tokens = len(reader.lags) + (1 if ended and not outcome.fault else 0)
    if turn.position:
        outcome.wait_s = max(0.0, (turn.started_at or turn.ended_at) - turn.queued_at)
    if not outcome.fault and not ended:
        outcome.fault = "lost: no ending" if turn.accepted_at else "lost: not accepted"
    if not outcome.fault and outcome.tokens != tokens:
        outcome.fault = "wrong number of tokens"
    return outcome


def direct_outcome(turn: Turn, tokens: int) -> Outcome:
    """Read a turn that went straight to the model server."""
    outcome = Outcome(fault=turn.fault)
    text = ""
    rest = b""
    for now, piece in turn.pieces:
        data = rest + piece
        done = data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
        whole, rest = data[:done], data[done:]
        found = [match.decode() for match in CONTENT_ON_WIRE.findall(whole)]
        outcome.lags_s += [now - int(stamp) / 1e6 for stamp in STAMP_ON_WIRE.findall(whole)]
        text += "".join(found)
        if text and not outcome.first_s:
            outcome.first_s = now - turn.sent_at
        outcome.text_frames += 1
    outcome.tokens = len(outcome.lags_s) + 1
    if not outcome.fault and checksum(text[:-CHECKSUM_CHARACTERS]) != text[-CHECKSUM_CHARACTERS:]:
        outcome.fault = "text unlike the model's" if turn.ended_at else "lost: no ending"
    if not outcome.fault and outcome.tokens != tokens:
        outcome.fault = "wrong number of tokens"
    return outcome


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order; 0 where there are none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered), max(1, math.ceil(share * len(ordered)))) - 1]


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float | None]:
    """P50, P95, P99 and the largest, in milliseconds; None of nothing, which is no latency of 0."""
    ordered = sorted(seconds)
    shares = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    if not ordered:
        return dict.fromkeys(shares)
    return {name: round(percentile(ordered, share) * 1000, 2) for name, share in shares.items()}


def less(through: Mapping[str, float | None], direct: Mapping[str, float | None]) -> dict[str, float | None]:
    """The percentiles' differences, None where there is no such pair."""
    return {name: _difference(value, direct[name]) for name, value in through.items()}


def _difference(through: float | None, direct: float | None) -> float | None:
    return None if through is None or direct is None else round(through - direct, 2)
