"""How long to wait before what is away is asked again."""

import asyncio
import random


class Backoff:
    """Waits in seconds that grow from ``first``, each ``growth`` times the one before, up to ``longest``.

    What was away for a moment is asked again at once, what stays away ever less often. Up to half of each wait is left
    to chance, so that the many who lost the same thing do not come back in step.
    """

    def __init__(self, first: float, longest: float, *, growth: float = 2.0) -> None:
        self._first, self._longest, self._growth = first, longest, growth
        self._full = first

    def next(self) -> float:
        """The wait that is due now."""
        full, self._full = self._full, min(self._longest, self._full * self._growth)
        return full * random.uniform(0.5, 1)  # noqa: S311  spreads those who wait, no secret

    async def wait(self) -> None:
        """Wait as long as is due now."""
        await asyncio.sleep(self.next())

    def reset(self) -> None:
        """It answered: the next absence begins anew."""
        self._full = self._first
