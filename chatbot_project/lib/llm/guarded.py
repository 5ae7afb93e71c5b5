"""The gate: how every question that is no reply of a conversation is put to a model.

Side chats, titles, summaries, drafts: what of people goes to a model, and what it says, is held against the same rules
and the same endpoint as a conversation's. The settings name the gate, as rules are kept by an app that those who ask
do not know. A test lists all who hold an ``LLMClient`` of their own, and why they may.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from django.conf import settings
from django.utils.module_loading import import_string

from chatbot_project.lib.metrics import names as metrics

from .client import LLMClient
from .errors import LLMTimeout
from .types import ChatRequest, ChatResult, Deadlines

LATELY_SECONDS = 60.0
# When a model gave no whole answer in time, by its name and the seconds it had. Of the process: each who asks for one
# has a client, and so breakers, of its own.
_timed_out: dict[tuple[str, float], float] = {}


class Thresholds(NamedTuple):
    """From which scores of a moderation endpoint on a text is flagged, and held back: a persona's, or these."""

    flag_from: float = 0.5
    block_from: float = 0.9


class Words(Protocol):
    """Streamed text on its way to a reader."""

    def feed(self, piece: str) -> str:
        """What of it can be shown now that ``piece`` has come. Raises LLMHeldBack."""

    def close(self) -> str:
        """The rest, when nothing more comes. Raises LLMHeldBack."""


class Gate(Protocol):
    """Judges text. Raises LLMHeldBack for what breaks a rule, LLMUnjudged where it cannot tell and that fails closed.
    Whatever it holds back, it records."""

    async def pass_sent(self, client: LLMClient, text: str, thresholds: Thresholds) -> None:
        """``text`` is about to go to a model."""

    async def pass_said(self, client: LLMClient, text: str, thresholds: Thresholds) -> None:
        """``text`` is what a model said, whole."""

    async def words(self) -> Words:
        """What a stream has to pass, piece by piece, before it is judged as a whole."""


@functools.cache
def _gate() -> Gate:
    gate: Gate = import_string(settings.MODERATION_GATE)()
    return gate


def deadlines() -> Deadlines:
    """The deadlines of a question to a model, from the settings."""
    return Deadlines(
        connect=settings.LLM_CONNECT_SECONDS,
        first_token=settings.LLM_FIRST_TOKEN_SECONDS,
        idle=settings.LLM_IDLE_SECONDS,
        total=settings.LLM_TOTAL_SECONDS,
        # Before those who ask give up: it is the endpoint that is late, which its breaker shall know.
        moderation=settings.MODERATION_SECONDS * 0.9,
    )


class GuardedClient:
    """Asks models through the gate, as an async context manager. Raises LLMError, of which LLMHeldBack is one."""

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008  a constant
        self._thresholds = thresholds
        self._client = LLMClient(settings.LLM_PROVIDERS, deadlines=deadlines())
        self._passed: set[str] = set()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def check(self, texts: Iterable[str]) -> None:
        """Let ``texts`` pass before anything is done about them. What has passed is not judged again."""
        new = [text for text in dict.fromkeys(texts) if text and text not in self._passed]
        if new:
            await _gate().pass_sent(self._client, "\n\n".join(new), self._thresholds)
            self._passed.update(new)

    async def complete(self, models: Sequence[str], request: ChatRequest) -> ChatResult:
        """The whole reply of the first of ``models`` that gives one."""
        await self._check(request)
        result = await self._client.complete(models, request)
        await _gate().pass_said(self._client, result.text, self._thresholds)
        return result

    async def stream(self, models: Sequence[str], request: ChatRequest) -> AsyncGenerator[str, None]:
        """The reply piece by piece. Where LLMHeldBack is raised, what was shown is to be taken back."""
        await self._check(request)
        words, parts = await _gate().words(), list[str]()
        stream = await self._client.open_stream(models, request)
        try:
            while piece := await stream.read():
                if shown := words.feed(piece):
                    parts.append(shown)
                    yield shown
        finally:
            await stream.close()
        if rest := words.close():
            parts.append(rest)
            yield rest
        await _gate().pass_said(self._client, "".join(parts), self._thresholds)

    async def _check(self, request: ChatRequest) -> None:
        # The system prompt is the organisation's words.
        await self.check(message.content for message in request.messages if message.role != "system")


@asynccontextmanager
async def answered_within(model: str, seconds: float) -> AsyncIterator[None]:
    """Raise LLMTimeout where what is awaited in here, asking ``model`` with all tries and the gate, takes longer. Any
    that is raised in here is remembered for ``timed_out_lately``."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except LLMTimeout:
        _timed_out[model, seconds] = monotonic()
        raise
    except TimeoutError:
        _timed_out[model, seconds] = monotonic()
        # The try that was cut off is counted by nobody else.
        metrics.MODEL_REQUESTS.labels(model.partition("/")[0], LLMTimeout.code_name).inc()
        raise LLMTimeout(f"{model} gave no whole answer within {seconds:g} s.") from None


def timed_out_lately(model: str, seconds: float) -> bool:
    """Whether somebody in this process waited for ``model`` just as long within the last minute, for nothing: what may
    as well be left out needs no thread then."""
    at = _timed_out.get((model, seconds))
    return at is not None and monotonic() < at + LATELY_SECONDS


def ask_whole(
    models: Sequence[str],
    request: ChatRequest,
    *,
    thresholds: Thresholds = Thresholds(),  # noqa: B008  a constant
    seconds: float,
) -> str:
    """The text of one whole reply, for code that waits for it in a thread of its own: for ``seconds`` at most, as few
    threads do all background work. Raises LLMError."""

    async def ask() -> str:
        async with answered_within(models[0], seconds), GuardedClient(thresholds) as client:
            return (await client.complete(models, request)).text

    return asyncio.run(ask())
