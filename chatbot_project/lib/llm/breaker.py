"""A circuit breaker: after some failures in a row nobody is sent to a provider for a while, then one tries. No I/O."""

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed: all pass. Open, after ``threshold`` failures in a row: none for ``open_seconds``. Half-open: one passes.

    Whoever ``admit`` lets through ends with exactly one of ``success``, ``failure`` or ``abandon``; a probe that never
    does is replaced after ``open_seconds``. For one event loop; ``clock`` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float], *, threshold: int = 5, open_seconds: float = 10.0) -> None:
        self._clock = clock
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._failures = 0
        self._opened_at: float | None = None
        self._probed_at: float | None = None

    @property
    def state(self) -> State:
        """What ``admit`` would see now."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._clock() >= self._opened_at + self._open_seconds else "open"

    def admit(self) -> bool:
        """Whether a request may go out now. Half-open, the one that may is the probe."""
        state = self.state
        if state == "half_open":
            now = self._clock()
            if self._probed_at is not None and now < self._probed_at + self._open_seconds:
                return False
            self._probed_at = now
        return state != "open"

    def success(self) -> None:
        """The provider answered."""
        self._failures = 0
        self._opened_at = self._probed_at = None

    def failure(self) -> None:
        """The provider failed. A failed probe opens the breaker anew; late failures of an open one change nothing."""
        self._failures += 1
        if self.state == "half_open" or (self._opened_at is None and self._failures >= self._threshold):
            self._opened_at = self._clock()
            self._probed_at = None

    def abandon(self) -> None:
        """Whoever was let through gave up without learning anything: the next may probe."""
        self._probed_at = None
