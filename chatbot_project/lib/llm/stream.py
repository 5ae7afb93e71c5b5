"""A reply that is arriving.

Whoever relays it reads once per tick. Between two ticks the transport of a stream that is faster than the ticks is
paused, so that the kernel collects what the model sends, and one wake-up and one parse then serve all of it
(docs/adr/0001).
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import aiohttp

from .errors import LLMCut, LLMError, LLMMalformed, LLMRefused, LLMTimeout
from .sse import StreamParser
from .tokens import estimate_prompt, token_weight
from .types import Bounds, ChatRequest, Deadlines, Usage

# After the finish reason only usage and [DONE] are due; a server that never ends its body is not waited for.
AFTER_FINISH = 2.0
# A reader that was away longer than the idle deadline gets what arrived meanwhile before the deadline is applied.
READER_GRACE = 1.0
# Long enough for the event loop to poll every socket that was let flow.
ARRIVAL = 0.001
# How long a finished body may take to end so that its connection can be used again.
LINGER = 0.05


class ChatStream:
    """One streamed reply; opened by ``LLMClient.open_stream``, used by one task at a time, closed by whoever opened
    it.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        model: str,
        request: ChatRequest,
        deadlines: Deadlines,
        bounds: Bounds,
        started_at: float,
        on_failure: Callable[[LLMError], None],
    ) -> None:
        self.model = model
        self.ended = False
        self._response = response
        self._content = response.content
        self._request = request
        self._deadlines = deadlines
        self._on_failure = on_failure
        self.on_close: Callable[[], None] = lambda: None  # called once, when it is closed
        self._parser = StreamParser(model, bounds)
        self._loop = asyncio.get_running_loop()
        self._started_at = self._progress_at = self._waiting_from = started_at
        self._progress = 0
        self._finished_at: float | None = None
        self._pending = ""
        self._shown = False
        self._weight = 0.0
        self._consumed = 0
        self._broken = False
        self._waiting = False
        self._held: asyncio.Transport | None = None
        self._collects = False
        self._timer: asyncio.TimerHandle | None = None
        self._overdue: LLMTimeout | None = None
        self._error: LLMError | None = None
        self._closed = False

    @property
    def finish_reason(self) -> str | None:
        """Why the model ended, in its own word (``stop``, ``length`` …); ``None`` before it has."""
        return self._parser.finish_reason

    @property
    def usage(self) -> Usage:
        """The model's own count once it has sent one; until then, or without, an estimate of what was read so far."""
        if self._parser.usage is not None:
            prompt, completion = self._parser.usage
            return Usage(prompt, completion, estimated=False)
        return Usage(estimate_prompt(self._request.messages), round(self._weight + 0.5), estimated=True)

    async def wait_first(self) -> None:
        """Return once the first text is there to read. Raises ``LLMError``, also for a proper end without any text."""
        self._pending = await self.read()
        if not self._pending:
            error: LLMError = LLMMalformed(f"{self.model} sent an empty reply.")
            if self.finish_reason == "content_filter":
                error = LLMRefused(f"{self.model} refused: its content filter.")
            self._fail(error)
            raise error
        self._shown = True
        # The deadline has become a nearer one.
        self._disarm()

    async def read(self) -> str:
        """All text that has arrived since the last call, at least a character; "" once the reply has properly ended.

        Raises ``LLMError`` where it did not: cut, stalled, malformed, too large. Text that came before the fault is
        given back first, by calls of its own. May be cancelled and called again: nothing is lost.
        """
        text = self._at_hand()
        if text or self.ended:
            return text
        self.let_flow()
        self._waiting, self._waiting_from = True, self._loop.time()
        self._arm()
        try:
            while not text and not self.ended:
                text = self._absorb(await self._arrived())
        except LLMError as error:
            self._fail(error)
            raise
        finally:
            self._waiting = False
        self._hold()
        return text

    def read_nowait(self) -> str:
        """As ``read``, but "" also where nothing has arrived; ``ended`` tells the two apart."""
        text = self._at_hand()
        if text or self.ended:
            return text
        try:
            if self._broken or self._content.exception() is not None:
                text = self._absorb(self._salvaged())
            elif self._content.total_bytes > self._consumed:
                text = self._absorb(self._content.read_nowait())
            elif self._content.at_eof():
                text = self._absorb(b"")
            elif self._loop.time() >= self._due():
                self._expire()
                text = self._absorb(b"")
        except LLMError as error:
            self._fail(error)
            raise
        self._hold()
        return text

    async def close(self) -> None:
        """Let the connection go, or end it if the reply is not finished. May be called twice, and while being
        cancelled.
        """
        if self._closed:
            return
        self._closed = True
        self._disarm()
        try:
            if self.ended and not self._broken and not self._content.is_eof():
                self.let_flow()
                async with asyncio.timeout(LINGER):
                    await self._content.wait_eof()
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass
        finally:
            # Ends the connection unless the body was read to its end.
            self.let_flow()
            self._response.release()
            self.on_close()

    # What arrives

    def _at_hand(self) -> str:
        """What can be said without looking at the network: the first text, an error met before, a deadline."""
        if self._pending:
            text, self._pending = self._pending, ""
            return text
        if self._error is None and self._parser.failure is not None and not self.ended:
            self._fail(self._parser.failure)  # the text before it was given
        if self._error is not None:
            raise self._error
        if not self.ended and self._loop.time() >= self._started_at + self._deadlines.total:
            self._fail(LLMTimeout(f"{self.model} took longer than {self._deadlines.total:g} s for a reply."))
        if self._error is not None:
            raise self._error
        return ""

    async def _arrived(self) -> bytes:
        """The bytes that are there, or the next ones; empty at the body's end, proper or not."""
        if self._broken:
            return b""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError):
            return self._salvaged()

    def _salvaged(self) -> bytes:
        """What arrived before the connection broke. aiohttp would raise instead of handing it out."""
        if not self._broken:
            self._broken = True
            self._content.set_exception(cast(Any, None))
            if self._content.total_bytes > self._consumed:
                return self._content.read_nowait()
        return b""

    def _absorb(self, data: bytes) -> str:
        """The text in ``data``, which is empty at the body's end. Raises ``LLMError``."""
        parser = self._parser
        if data:
            self._consumed += len(data)
            text = parser.feed(data)
        else:
            text = self._ending()
        if text:
            self._weight += token_weight(text)
        arrived = parser.progress - self._progress
        if arrived:
            self._progress, self._progress_at = parser.progress, self._loop.time()
        self._collects = arrived > 1
        if parser.done and parser.finish_reason is not None:
            self.ended = True
            self._disarm()
        elif parser.finish_reason is not None and self._finished_at is None:
            self._finished_at = self._loop.time()
            self._disarm()
            if self._waiting:
                self._arm()
        return text

    def _ending(self) -> str:
        """The body is over: the last text there is, then the proper end, or the reason why it is none."""
        text = self._parser.end()
        if text:
            self._broken = True
        elif self._parser.finish_reason is not None:
            self.ended = True
            self._disarm()
        elif self._overdue is not None:
            raise self._overdue
        else:
            raise LLMCut(f"{self.model} broke off before the end of its reply.")
        return text

    def _fail(self, error: LLMError) -> None:
        """Remember the error for every later read, and end the connection."""
        self._error = error
        self._disarm()
        self._response.close()
        if self._shown and error.counts:
            self._on_failure(error)

    # Deadlines

    def _due(self) -> float:
        """The loop time at which the model is late. Bytes that bring nothing forward do not move it."""
        limits = self._deadlines
        if self._finished_at is not None:
            due = self._finished_at + AFTER_FINISH
        elif not self._shown:
            due = self._started_at + limits.first_token
            if self._progress:
                due = max(due, self._progress_at + limits.idle)
        else:
            due = max(self._progress_at + limits.idle, self._waiting_from + min(READER_GRACE, limits.idle))
        return min(due, self._started_at + limits.total)

    def _arm(self) -> None:
        """One timer watches all reads of the stream: it moves itself on when it comes too early."""
        if self._timer is None:
            self._timer = self._loop.call_at(self._due(), self._watch)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        if self._loop.time() < self._due():
            self._arm()
            return
        self._expire()

    def _expire(self) -> None:
        """The model is late. Closing the response wakes the reader, which finds the reason here."""
        limits = self._deadlines
        if self._loop.time() >= self._started_at + limits.total:
            detail = f"took longer than {limits.total:g} s for a reply"
        elif self._shown:
            detail = f"sent nothing new for {limits.idle:g} s"
        else:
            detail = f"sent no text within {limits.first_token:g} s"
        self._overdue = LLMTimeout(f"{self.model} {detail}.")
        self._broken = self._broken or not self._waiting
        self._response.close()

    # The transport between two reads

    def _hold(self) -> None:
        """Stop reading from the socket until the next read, if that pays: where one token comes per read it costs more.

        Never once the body has ended: the connection then belongs to the pool, and a paused one would never answer
        again.
        """
        connection = self._response.connection if self._collects else None
        if self._held is None and not self.ended and connection is not None and connection.transport is not None:
            self._held = connection.transport
            _switch(self._held.pause_reading)

    def let_flow(self) -> None:
        """Read from the socket again. What aiohttp itself holds back is handed out by reading, not here."""
        transport, self._held = self._held, None
        if transport is not None and self._content.total_bytes == self._consumed:
            _switch(transport.resume_reading)


def _switch(change: Callable[[], None]) -> None:
    # A transport that is closing, or cannot be paused, refuses; reading then goes on as ever.
    try:
        change()
    except (RuntimeError, NotImplementedError):
        return


async def read_all(streams: Iterable[ChatStream]) -> list[tuple[ChatStream, str, LLMError | None]]:
    """One tick of many streams: of each that has something new, its text, or "" with ``ended``, or the error.

    Cheaper than a task per stream: nobody is woken per reply, and none waits for another. Takes about a millisecond.
    """
    chosen = list(streams)
    for stream in chosen:
        stream.let_flow()
    await asyncio.sleep(ARRIVAL)
    results: list[tuple[ChatStream, str, LLMError | None]] = []
    for stream in chosen:
        try:
            text = stream.read_nowait()
        except LLMError as error:
            results.append((stream, "", error))
        else:
            if text or stream.ended:
                results.append((stream, text, None))
    return results
