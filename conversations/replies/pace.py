"""How fast replies are started: each worker measures it per provider, and all of them together are a line's pace.

A start says how fast a line moves only while every slot is taken: otherwise replies start as they are asked for. While
that is so, starts per second are counted. Else the pace is what the slots could do: their number over the mean time
for which the replies that lately ended held one. Neither is known of a worker that has just begun.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

KEY = "nono:pace"
WINDOW_SECONDS = 120.0
SURE_FULL_SECONDS = 5.0  # so long, within the window, all slots must have been taken
SURE_ENDS = 3
TELL_SECONDS = 1.0
FRESH_SECONDS = 10.0  # of a worker that has not told for longer nothing is known
GONE_SECONDS = 60.0  # whoever has not told for longer comes back under another name


class _Span(NamedTuple):
    """What one worker saw of one provider in about a second."""

    until: float
    full_seconds: float
    starts: int  # while full
    ends: int
    held_seconds: float  # by the replies that ended, in all


@dataclass(slots=True)
class Pace:
    """One worker's, for one provider with so many ``slots``; ``now`` is any clock in seconds."""

    slots: int
    _spans: deque[_Span] = field(default_factory=deque)
    _looked_at: float | None = None
    _was_full: bool = False
    _starts: int = 0
    _ends: int = 0
    _held: float = 0.0

    def started(self, replies: int = 1) -> None:
        """So many replies took a slot."""
        self._starts += replies

    def ended(self, held_seconds: float) -> None:
        """A reply gave its slot back after so long."""
        self._ends += 1
        self._held += held_seconds

    def look(self, now: float, *, is_full: bool) -> None:
        """Close a span; call it about once a second. A span counts as full where both of its ends were."""
        if self._looked_at is not None:
            full = now - self._looked_at if is_full and self._was_full else 0.0
            self._spans.append(_Span(now, full, self._starts if full else 0, self._ends, self._held))
            while self._spans and self._spans[0].until <= now - WINDOW_SECONDS:
                self._spans.popleft()
        self._looked_at, self._was_full = now, is_full
        self._starts = self._ends = 0
        self._held = 0.0

    @property
    def per_second(self) -> float | None:
        """Replies that can be started per second; None where that is not known. Where none was in all of that time, as
        if the next were about to be: a line that has just filled up with long replies does not stand still yet."""
        full = sum(span.full_seconds for span in self._spans)
        if full >= SURE_FULL_SECONDS:
            return max(1, sum(span.starts for span in self._spans)) / full
        ends = sum(span.ends for span in self._spans)
        held = sum(span.held_seconds for span in self._spans)
        return self.slots * ends / held if ends >= SURE_ENDS and held > 0 else None


class Speedometer:
    """One worker's paces, of all providers."""

    def __init__(self, slots: Mapping[str, int]) -> None:
        self._paces = {provider: Pace(number) for provider, number in slots.items()}

    def started(self, provider: str) -> None:
        """A reply took a slot of ``provider``; one that is not configured has no line of its own."""
        if pace := self._paces.get(provider):
            pace.started()

    def ended(self, provider: str, held_seconds: float) -> None:
        """A reply gave its slot back after so long."""
        if pace := self._paces.get(provider):
            pace.ended(held_seconds)

    def look(self, now: float, free: Mapping[str, int]) -> dict[str, float]:
        """What is known at ``now``, with so many slots ``free``, in replies per second."""
        for provider, pace in self._paces.items():
            pace.look(now, is_full=free[provider] <= 0)
        known = {provider: pace.per_second for provider, pace in self._paces.items()}
        return {provider: rate for provider, rate in known.items() if rate is not None}


async def tell(client: Any, worker: str, paces: Mapping[str, float], at: float) -> None:
    """Let everybody know what ``worker`` measured at ``at`` (Unix time). Raises RedisError."""
    said = json.dumps({"at": at, "paces": {provider: round(rate, 4) for provider, rate in paces.items()}})
    pipe = client.pipeline(transaction=False)
    pipe.hset(KEY, worker, said)
    pipe.expire(KEY, int(FRESH_SECONDS))
    await pipe.execute()


async def leave(client: Any, worker: str) -> None:
    """``worker`` starts nothing more. Raises RedisError."""
    await client.hdel(KEY, worker)


async def read(client: Any, at: float) -> dict[str, float]:
    """Replies per second by provider, of all workers that told of theirs lately. Raises RedisError.

    What a worker that was killed left behind long ago is removed, unless all of it goes by itself.
    """
    told = {worker: json.loads(said) for worker, said in (await client.hgetall(KEY)).items()}
    gone = [worker for worker, said in told.items() if at - said["at"] > GONE_SECONDS]
    if gone:
        await client.hdel(KEY, *gone)
    return added_up([said["paces"] for said in told.values() if at - said["at"] <= FRESH_SECONDS])


def added_up(told: "list[dict[str, float]]") -> dict[str, float]:
    """The paces of several workers together. One that does not know its own is taken to be as fast as the others."""
    paces: dict[str, float] = {}
    for provider in {provider for said in told for provider in said}:
        known = [said[provider] for said in told if provider in said]
        paces[provider] = sum(known) * len(told) / len(known)
    return paces
