"""One line to an embeddings endpoint for all questions of a process: they come one by one, from many threads.

Its connections stay open, and what comes at once goes together. Texts of an index, which come many at a time, take
connections of their own (embedding.py) and never stand before a question.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Self

from django.conf import settings

from chatbot_project.lib.llm.batching import Batcher
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMTimeout
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.types import Deadlines, RetryPolicy

CALLS = 8  # to one endpoint at once; of more questions, up to TOGETHER go in one
TOGETHER = 64
SECONDS = 20.0
LONGEST_SECONDS = 60.0  # two tries and the pause between them take less
CLOSE_SECONDS = 2.0


def deadlines() -> Deadlines:
    """Of a request to an embeddings endpoint."""
    return Deadlines(connect=settings.LLM_CONNECT_SECONDS, total=SECONDS)


class EmbeddingLine:
    """A loop in a thread of its own, which ends with the process."""

    def __init__(self, model: str, providers: Mapping[str, Provider]) -> None:
        self.model, self.providers, self.process = model, providers, os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"embedding {model}", daemon=True)
        self._questions: asyncio.Queue[tuple[str, Future[list[float]]] | None] = asyncio.Queue()
        self._closing = False

    def start(self) -> Self:
        """Begin; once."""
        self._thread.start()
        atexit.register(self.close)
        return self

    @property
    def is_open(self) -> bool:
        """Whether anybody serves it: in this process, and not ended, whatever ended it."""
        return self.process == os.getpid() and self._thread.is_alive() and not self._closing

    def ask(self, text: str) -> list[float]:
        """The vector of ``text``, from any thread but the line's own. Raises LLMError."""
        answer: Future[list[float]] = Future()
        self._loop.call_soon_threadsafe(self._questions.put_nowait, (text, answer))
        try:
            return answer.result(LONGEST_SECONDS)
        except FutureTimeout:  # nothing serves the line any more
            raise LLMTimeout(f"{self.model} did not answer in time.") from None

    def close(self) -> None:
        """End it, and what is under way."""
        atexit.unregister(self.close)
        if self.is_open:
            self._closing = True
            self._loop.call_soon_threadsafe(self._questions.put_nowait, None)
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with LLMClient(self.providers, deadlines=deadlines(), retries=RetryPolicy(attempts=2)) as llm:

            async def embed(texts: list[str]) -> list[list[float]]:
                return await llm.embed(self.model, texts)

            batcher = Batcher(embed, most=TOGETHER, calls=CALLS)
            async with asyncio.TaskGroup() as asked:
                while (question := await self._questions.get()) is not None:
                    asked.create_task(_answer(batcher.ask(question[0]), question[1]))
                await batcher.close()


async def _answer(asking: Awaitable[list[float]], answer: Future[list[float]]) -> None:
    try:
        answer.set_result(await asking)
    except Exception as error:  # raised where it was asked
        answer.set_exception(error)


_lines: dict[str, EmbeddingLine] = {}
_lock = threading.Lock()


def line_to(model: str) -> EmbeddingLine:
    """The line to ``model`` (``provider/name``) of this process, with the providers that are configured now."""
    with _lock:
        line = _lines.get(model)
        if line is not None and line.is_open and line.providers is settings.LLM_PROVIDERS:
            return line
        if line is not None:
            line.close()
        _lines[model] = EmbeddingLine(model, settings.LLM_PROVIDERS).start()
        return _lines[model]
