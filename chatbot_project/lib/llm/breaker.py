"""A circuit breaker: after some failures in a row nobody is sent to a provider for a while, then one tries. No I/O."""

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed: all pass. Open, after ``threshold`` failures in a row: none for ``first_seconds``, and after each probe
    that fails for ``growth`` times as long as before, at most ``open_seconds`` (from the first, where only those are
    given): who was away for a moment is asked again soon, who stays away seldom. Half-open: one passes.

    Whoever ``admit`` lets through ends with exactly one of ``success``, ``failure`` or ``abandon``; a probe that never
    does is replaced after ``open_seconds``. For one event loop; ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        threshold: int = 5,
        open_seconds: float = 10.0,
        first_seconds: float | None = None,
        growth: float = 2.0,
    ) -> None:
        self._clock = clock
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._first_seconds = open_seconds if first_seconds is None else first_seconds
        self._growth = growth
        self._rest = self._first_seconds
        self._failures = 0
        self._opened_at: float | None = None
        self._probed_at: float | None = None

    @property
    def state(self) -> State:
        """What ``admit`` would see now."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._clock() >= self._opened_at + self._rest else "open"

    @property
    def rest_left(self) -> float:
        """Seconds until one may try; 0 where one may, or does."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._rest - self._clock())

    @property
    def is_shut(self) -> bool:
        """Whether ``admit`` would let nobody through."""
        return self.state == "open" or (self.state == "half_open" and self._is_probed())

    def admit(self) -> bool:
        """Whether a request may go out now. Half-open, the one that may is the probe."""
        if self.is_shut:
            return False
        if self.state == "half_open":
            self._probed_at = self._clock()
        return True

    def _is_probed(self) -> bool:
        return self._probed_at is not None and self._clock() < self._probed_at + self._open_seconds

    def success(self) -> None:
        """The provider answered."""
        self._failures = 0
        self._opened_at = self._probed_at = None

    def failure(self) -> None:
        """The provider failed. A failed probe opens the breaker anew; late failures of an open one change nothing."""
        self._failures += 1
        is_probe = self.state == "half_open"
        if is_probe or (self._opened_at is None and self._failures >= self._threshold):
            self._rest = min(self._open_seconds, self._growth * self._rest) if is_probe else self._first_seconds
            self._opened_at = self._clock()
            self._probed_at = None

    def abandon(self) -> None:
        """Whoever was let through gave up without learning anything: the next may probe."""
        self._probed_at = None
