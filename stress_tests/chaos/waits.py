"""From a client's history: when it waited for something, and heard nothing of it. Pure.

A client waits for its connection, for the acknowledgement of what it asked, and for the next word, or the ending, of a
reply that is not over. Each of these that comes is a sign that it goes on, but for a mere connection while it waits for
more. A place in the queue is none: it says that there is none yet.
"""

from collections.abc import Mapping
from typing import Any

from .history import ENDINGS, LIVE

#: Natural pauses are shorter: between two words, or from an acknowledgement to the first of them.
HELD_UP_SECONDS = 0.3


class Waits:
    """One client's. ``since`` is when what it waits for now was last heard of, None where it waits for nothing;
    ``over`` are the waits of HELD_UP_SECONDS and more that have ended, each from and to. All are ``time.monotonic``."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.over: list[tuple[float, float]] = []
        self._commands: set[str] = set()
        self._replies: set[str] = set()
        self._is_connected = False

    def read(self, line: Mapping[str, Any]) -> None:
        """The next line of the history."""
        goes_on = self._goes_on(line)
        if goes_on and self.since is not None:
            if line["at"] - self.since >= HELD_UP_SECONDS:
                self.over.append((self.since, line["at"]))
            self.since = None
        if not self._waits():
            self.since = None
        elif self.since is None:
            self.since = line["at"]

    def held_up_at(self, now: float) -> bool:
        """Whether it has waited for HELD_UP_SECONDS and more, and still does."""
        return self.since is not None and now - self.since >= HELD_UP_SECONDS

    def after(self, back: float, *, until: float) -> float | None:
        """The longest time after ``back`` for which it was held up by what began before ``until``, of the waits that
        are over; None where it was not."""
        times = [end - max(start, back) for start, end in self.over if start < until and end > back]
        return max(times, default=None)

    def _waits(self) -> bool:
        return not self._is_connected or bool(self._commands or self._replies)

    def _goes_on(self, line: Mapping[str, Any]) -> bool:
        """Take the line in: whether something came of what was waited for."""
        what = line["what"]
        if what == "asked":
            self._commands.add(line["command"]["client_id"])
        elif what in ("closed", "refused", "gave_up"):
            self._is_connected = False
        elif what == "heard":
            return self._hear(line["event"])
        return False

    def _hear(self, event: Mapping[str, Any]) -> bool:
        kind = event["type"]
        if kind == "ready":
            self._is_connected = True
            return not (self._commands or self._replies)
        if kind == "message.accepted":
            was_open = event["client_id"] in self._commands
            self._commands.discard(event["client_id"])
            self._learn(event["reply"])
            return was_open
        if kind == "conversation.snapshot":
            over = [self._learn(message) for message in event["messages"] if message["role"] == "assistant"]
            return any(over)
        if kind in ENDINGS:
            self._replies.discard(event["reply"])
            return True
        return bool(kind.startswith("reply.") and kind != "reply.queued")

    def _learn(self, message: Mapping[str, Any]) -> bool:
        """Whether a reply that was waited for is over."""
        if message["status"] in LIVE:
            self._replies.add(message["id"])
            return False
        was_open = message["id"] in self._replies
        self._replies.discard(message["id"])
        return was_open
