"""Questions to an endpoint that takes several at once: alone while there is room, together once many come."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Generic, TypeVar

from .errors import LLMCut, LLMMalformed, LLMRefused

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Batch = list[tuple[Item, asyncio.Future[Answer]]]


class Batcher(Generic[Item, Answer]):
    """Lets at most ``calls`` calls be under way. What comes meanwhile waits, and the next call takes up to ``most`` of
    it: nobody waits for a batch to fill, and where many ask, few calls answer them all.

    ``call`` gives an answer to each of its items, in their order. Where it refuses several, each is asked alone:
    nobody's question fails for another's. Where it gives what cannot be used, so is each from then on: it takes but
    one at a time. A call that nobody waits for any more is cancelled. Of one loop; ``close`` ends what is under way.
    """

    def __init__(self, call: Callable[[list[Item]], Awaitable[Sequence[Answer]]], *, most: int, calls: int) -> None:
        self._call, self._most, self._calls = call, most, calls
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._alone: deque[tuple[Item, asyncio.Future[Answer]]] = deque()  # refused together, the next to be asked
        self._under_way: dict[asyncio.Task[None], Batch[Item, Answer]] = {}
        self._is_closed = False

    async def ask(self, item: Item) -> Answer:
        """The answer to ``item``. Raises what ``call`` raises, and LLMCut once this is closed."""
        if self._is_closed:
            raise _closed()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        self._begin()
        try:
            return await answer
        except asyncio.CancelledError:
            self._cancel_unwanted()
            raise

    async def close(self) -> None:
        """End what is under way and refuse what waits."""
        self._is_closed, self._calls = True, 0
        tasks, left = list(self._under_way), [*chain(*self._under_way.values()), *self._alone, *self._waiting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._alone.clear()
        self._waiting.clear()
        _fail(left, _closed())

    def _begin(self) -> None:
        while len(self._under_way) < self._calls and (batch := self._next()):
            task = asyncio.create_task(self._answer(batch))
            self._under_way[task] = batch
            task.add_done_callback(self._ended)

    def _cancel_unwanted(self) -> None:
        """One that hangs would keep the place of others' calls for longer than anybody waits for it."""
        for task, batch in self._under_way.items():
            if all(answer.done() for _item, answer in batch):
                task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._begin()

    def _next(self) -> "Batch[Item, Answer]":
        """The first who still wait: whoever gave up is passed over."""
        while self._alone:
            alone = self._alone.popleft()
            if not alone[1].done():
                return [alone]
        batch: Batch[Item, Answer] = []
        while self._waiting and len(batch) < self._most:
            item, answer = self._waiting.popleft()
            if not answer.done():
                batch.append((item, answer))
        return batch

    async def _answer(self, batch: "Batch[Item, Answer]") -> None:
        try:
            try:
                answers = await self._call([item for item, _answer in batch])
            except (LLMRefused, LLMMalformed) as error:
                if len(batch) == 1:
                    raise
                if isinstance(error, LLMMalformed):
                    self._most = 1
                self._alone += batch
                return
            for (_item, answer), given in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(given)
        except Exception as error:  # whatever it is, it is raised where it was asked
            _fail(batch, error)


def _closed() -> LLMCut:
    return LLMCut("The connection to the model was closed.")


def _fail(batch: "Batch[Item, Answer]", error: Exception) -> None:
    for _item, answer in batch:
        if not answer.done():
            answer.set_exception(error)
