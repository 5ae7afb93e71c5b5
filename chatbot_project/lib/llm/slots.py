"""How many streams of each provider are open at once, whichever way a reply came to it."""

import asyncio
from collections.abc import Mapping

from .errors import LLMUnavailable


class Slots:
    """So many streams of each provider at once; of one that is not named, any number. Of one loop."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._free = {provider: asyncio.Semaphore(number) for provider, number in numbers.items()}

    def hold(self, seconds: float) -> "Held":
        """Nothing yet: what one reply takes, which waits for slots for so many ``seconds`` in all."""
        return Held(self._free, asyncio.get_running_loop().time() + seconds)


class Held:
    """The slot of one reply, of one provider at a time."""

    def __init__(self, free: Mapping[str, asyncio.Semaphore], until: float) -> None:
        self._free, self._until = free, until
        self._taken: asyncio.Semaphore | None = None

    async def take(self, provider: str) -> None:
        """Hold a slot of ``provider``, and no other's. Whoever came first gets the next one; whoever has it keeps it.
        Raises NoSlot."""
        slots = self._free.get(provider)
        if self._taken is not None and self._taken is slots:
            return
        self.give_back()
        if slots is None:
            return
        try:
            async with asyncio.timeout_at(self._until):
                await slots.acquire()
        except TimeoutError:
            raise NoSlot(f"{provider} has had no slot free for too long.") from None
        self._taken = slots

    def give_back(self) -> None:
        """Hold none. May be called at any time."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken.release()


class NoSlot(LLMUnavailable):
    """Not even asked: others' replies were being streamed all the time."""

    retryable = False
    counts = False
