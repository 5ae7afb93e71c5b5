"""The one client of all model servers.

The ``openai`` SDK does everything that is not a stream, over our HTTP session (``sdk``); a stream takes the same
session, the same sign-in and the same errors without it, which would cost several times as much per token
(docs/adr/0001).
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from .batching import Batcher
from .breaker import Breaker, State
from .errors import LLMMalformed, LLMTimeout, LLMUnavailable, error_from_event, error_from_status
from .providers import Provider, parse_model
from .requests import request_body
from .router import Router
from .slots import Slots
from .stream import ChatStream
from .transport import make_session, read_bounded, retry_after
from .types import Bounds, ChatRequest, ChatResult, Deadlines, RetryPolicy

if TYPE_CHECKING:
    from .sdk import ProviderSDK

DEADLINES = Deadlines()
RETRIES = RetryPolicy()
BOUNDS = Bounds()
JUDGING = 8  # requests to a moderation endpoint at once; of more texts, up to JUDGED_TOGETHER go in one
JUDGED_TOGETHER = 16


class LLMClient:
    """Asks models. One per process and event loop, used as an async context manager. ``slots`` are how many streams of
    a provider are open at once: who comes beyond that waits.

    Everything it raises for a model's sake is an ``LLMError``.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        deadlines: Deadlines = DEADLINES,
        retries: RetryPolicy = RETRIES,
        bounds: Bounds = BOUNDS,
        connections: int = 2000,
        slots: Mapping[str, int] | None = None,
        make_breaker: Callable[[], Breaker] = lambda: Breaker(time.monotonic, first_seconds=0.25, growth=1.25),
    ) -> None:
        self._providers = dict(providers)
        self._deadlines = deadlines
        self._bounds = bounds
        self._connections = connections
        self._slots = Slots(slots or {})
        self._router = Router(self._providers, retries, make_breaker=make_breaker)
        # With breakers of its own: an endpoint for judging may hang while the same provider's models answer.
        self._judges_router = Router(self._providers, retries, make_breaker=make_breaker)
        self._session: aiohttp.ClientSession
        self._sdks: dict[str, ProviderSDK] = {}
        self._headers: dict[str, dict[str, str]] = {}
        self._judges: dict[str, Batcher[str, dict[str, float]]] = {}

    async def __aenter__(self) -> Self:
        # Beside the loop: where the process asks for the first time, the SDK takes half a second to load.
        sdk_of = await asyncio.to_thread(_load_sdk)
        self._session = make_session(self._connections)
        for name, provider in self._providers.items():
            self._sdks[name] = sdk = sdk_of(provider, self._session, deadlines=self._deadlines, bounds=self._bounds)
            self._headers[name] = sdk.headers | STREAM_HEADERS
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for judge in self._judges.values():
            await judge.close()
        await self._session.close()

    def breaker_state(self, provider: str) -> State:
        """Whether requests to a configured provider's models go there now; judging is asked for apart from that."""
        return self._router.breaker(provider).state

    def resting(self) -> list[str]:
        """The providers that failed repeatedly and have not answered since."""
        return [name for name in self._providers if self.breaker_state(name) != "closed"]

    # Streams

    async def open_stream(
        self, models: Sequence[str], request: ChatRequest, on_sent: Callable[[], None] = lambda: None
    ) -> ChatStream:
        """The reply of the first of ``models`` (``provider/name``) that begins one; its first text has already arrived.

        Until then nothing has been shown, so that it is tried again and with the other models. A slot is waited for
        before the first try of each provider, and in all no longer than a whole reply may take: no other deadline runs
        meanwhile. ``on_sent`` is called with each try, as soon as nothing is waited for but the model. The caller
        closes the stream. Raises the ``LLMError`` of the first model.
        """
        held = self._slots.hold(self._deadlines.total)

        async def attempt(provider: Provider, name: str) -> ChatStream:
            on_sent()
            stream = await self._begin_stream(provider, name, request)
            stream.on_close = held.give_back
            return stream

        try:
            return await self._router.first(models, attempt, before=held.take)
        except BaseException:
            held.give_back()
            raise

    async def _begin_stream(self, provider: Provider, name: str, request: ChatRequest) -> ChatStream:
        ref = f"{provider.name}/{name}"
        started_at = asyncio.get_running_loop().time()
        response = await self._post_stream(provider, name, request, ref)
        breaker = self._router.breaker(provider.name)
        stream = ChatStream(
            response,
            model=ref,
            request=request,
            deadlines=self._deadlines,
            bounds=self._bounds,
            started_at=started_at,
            on_failure=lambda _: breaker.failure(),
        )
        try:
            await stream.wait_first()
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _post_stream(
        self, provider: Provider, name: str, request: ChatRequest, ref: str
    ) -> aiohttp.ClientResponse:
        """The response whose body is an event stream. Raises ``LLMError``."""
        body = request_body(provider, name, request) | {"stream": True, "stream_options": {"include_usage": True}}
        response = None
        try:
            async with asyncio.timeout(self._deadlines.first_token):
                response = await self._session.post(
                    f"{provider.base_url}/chat/completions",
                    data=json.dumps(body).encode(),
                    headers=self._headers[provider.name],
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=self._deadlines.connect, sock_read=None),
                )
                await self._check_head(response, ref)
                return response
        except BaseException as error:
            if response is not None:
                response.close()
            if isinstance(error, aiohttp.ServerTimeoutError):
                raise LLMTimeout(f"No connection to {provider.name} in time.", retryable=True) from None
            if isinstance(error, TimeoutError):
                raise LLMTimeout(f"{ref} sent no text within {self._deadlines.first_token:g} s.") from None
            if isinstance(error, (aiohttp.ClientError, OSError)):
                raise LLMUnavailable(f"{provider.name} cannot be reached.") from error
            raise

    async def _check_head(self, response: aiohttp.ClientResponse, ref: str) -> None:
        """Raise the ``LLMError`` for an answer that is no event stream."""
        kind = response.content_type
        if response.status == 200 and kind not in {"application/json", "text/html"}:
            return
        raw = await read_bounded(response, self._bounds.error_body)
        body = _json(raw) if kind == "application/json" else None
        if response.status != 200:
            raise error_from_status(ref, response.status, body, retry_after(response.headers))
        if isinstance(body, dict) and body.get("error"):
            raise error_from_event(ref, body["error"])
        raise LLMMalformed(f"{ref} answered with something that is not an event stream.")

    # Whole answers, by the SDK

    async def complete(self, models: Sequence[str], request: ChatRequest) -> ChatResult:
        """The whole reply of the first of ``models`` that gives one, within the total deadline for each try."""

        async def attempt(provider: Provider, name: str) -> ChatResult:
            return await self._sdks[provider.name].complete(name, request)

        return await self._router.first(models, attempt)

    async def embed(self, model: str, texts: list[str]) -> list[list[float]]:
        """One vector for each of ``texts``, in their order, all of one dimension and of finite numbers."""

        async def attempt(provider: Provider, name: str) -> list[list[float]]:
            return await self._sdks[provider.name].embed(name, texts)

        return await self._router.first([model], attempt) if texts else []

    async def moderate(self, model: str, text: str) -> dict[str, float]:
        """How much ``text`` is of each category, from 0 to 1, by the categories' names. Where many are asked at once,
        several go together (``Batcher``)."""
        if model not in self._judges:
            self._judges[model] = Batcher(partial(self._moderate, model), most=JUDGED_TOGETHER, calls=JUDGING)
        return await self._judges[model].ask(text)

    async def _moderate(self, model: str, texts: list[str]) -> list[dict[str, float]]:
        async def attempt(provider: Provider, name: str) -> list[dict[str, float]]:
            return await self._sdks[provider.name].moderate(name, texts)

        return await self._judges_router.first([model], attempt)

    async def list_models(self, provider: str) -> list[str]:
        """The names a provider offers, sorted. One try, whatever the breaker says."""
        parse_model(f"{provider}/any", self._providers)
        return await self._sdks[provider].list_models()

    async def check(self, provider: str) -> None:
        """Return if the provider answers within twice the connect deadline; else raise the ``LLMError``."""
        try:
            async with asyncio.timeout(self._deadlines.connect * 2):
                await self.list_models(provider)
        except TimeoutError:
            raise LLMTimeout(f"{provider} does not answer in time.") from None


STREAM_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Content-Type": "application/json"}


def _load_sdk() -> "type[ProviderSDK]":
    from .sdk import ProviderSDK  # as it is loaded, so are all the SDK's types: 20 MiB, which only who asks shall take

    return ProviderSDK


def _json(raw: bytes | None) -> Any:
    try:
        return json.loads(raw or b"")
    except (ValueError, RecursionError):
        return None
