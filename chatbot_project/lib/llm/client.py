"""The one client of all model servers.

The ``openai`` SDK does everything that is not a stream, over our HTTP session; a stream takes the same session, the
same sign-in and the same errors without the SDK, which would cost several times as much per token (docs/adr/0001).
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx2
import openai
from openai.types.chat import ChatCompletion

from .batching import Batcher
from .breaker import Breaker, State
from .errors import LLMError, LLMMalformed, LLMTimeout, LLMTooLarge, LLMUnavailable, error_from_event, error_from_status
from .providers import OPENAI_URL, Provider, parse_model
from .router import Router
from .sse import REPLACEMENT, without_surrogates
from .stream import ChatStream
from .tokens import estimate_prompt, estimate_tokens
from .transport import BodyTooLarge, SessionTransport, make_session, read_bounded, retry_after
from .types import Bounds, ChatRequest, ChatResult, Deadlines, RetryPolicy, Usage

DEADLINES = Deadlines()
RETRIES = RetryPolicy()
BOUNDS = Bounds()
JUDGING = 8  # requests to a moderation endpoint at once; of more texts, up to JUDGED_TOGETHER go in one
JUDGED_TOGETHER = 16


class LLMClient:
    """Asks models. One per process and event loop, used as an async context manager.

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
        make_breaker: Callable[[], Breaker] = lambda: Breaker(time.monotonic, first_seconds=0.25, growth=1.25),
    ) -> None:
        self._providers = dict(providers)
        self._deadlines = deadlines
        self._bounds = bounds
        self._connections = connections
        self._router = Router(self._providers, retries, make_breaker=make_breaker)
        self._session: aiohttp.ClientSession
        self._sdks: dict[str, openai.AsyncOpenAI] = {}
        self._headers: dict[str, dict[str, str]] = {}
        self._judges: dict[str, Batcher[str, dict[str, float]]] = {}

    async def __aenter__(self) -> Self:
        self._session = make_session(self._connections)
        for name, provider in self._providers.items():
            self._sdks[name] = sdk = self._make_sdk(provider)
            common = {key: value for key, value in sdk.default_headers.items() if isinstance(value, str)}
            self._headers[name] = common | sdk.auth_headers | STREAM_HEADERS
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for judge in self._judges.values():
            await judge.close()
        await self._session.close()

    def _make_sdk(self, provider: Provider) -> openai.AsyncOpenAI:
        transport = SessionTransport(self._session, body_limit=self._bounds.body)
        return openai.AsyncOpenAI(
            # The SDK insists on a key; a server without keys passes over this one.
            api_key=provider.api_key or "none",
            base_url=provider.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._deadlines.total, connect=self._deadlines.connect),
            http_client=httpx2.AsyncClient(transport=transport, follow_redirects=False, trust_env=False),
        )

    def breaker_state(self, provider: str) -> State:
        """Whether requests go to a configured provider now."""
        return self._router.breaker(provider).state

    def resting(self) -> list[str]:
        """The providers that failed repeatedly and have not answered since."""
        return [name for name in self._providers if self.breaker_state(name) != "closed"]

    # Streams

    async def open_stream(self, models: Sequence[str], request: ChatRequest) -> ChatStream:
        """The reply of the first of ``models`` (``provider/name``) that begins one; its first text has already arrived.

        Until then nothing has been shown, so that it is tried again and with the other models. The caller closes the
        stream. Raises the ``LLMError`` of the first model.
        """

        async def attempt(provider: Provider, name: str) -> ChatStream:
            return await self._begin_stream(provider, name, request)

        return await self._router.first(models, attempt)

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
        body = _body(provider, name, request) | {"stream": True, "stream_options": {"include_usage": True}}
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
            return await self._complete(provider, name, request)

        return await self._router.first(models, attempt)

    async def _complete(self, provider: Provider, name: str, request: ChatRequest) -> ChatResult:
        ref = f"{provider.name}/{name}"
        async with self._translated(ref):
            answer: object = await self._sdks[provider.name].chat.completions.create(**_body(provider, name, request))
        # The SDK passes on what it cannot parse: an HTML page is a str, a missing list is None.
        choices = getattr(answer, "choices", None) if isinstance(answer, ChatCompletion) else None
        if not isinstance(answer, ChatCompletion) or not choices:
            raise LLMMalformed(f"{ref} answered with something that is not a chat completion.")
        text = getattr(getattr(choices[0], "message", None), "content", None)
        if not isinstance(text, str) or not text or not choices[0].finish_reason:
            raise LLMMalformed(f"{ref} sent an empty reply.")
        if len(text) > self._bounds.reply:
            raise LLMTooLarge(f"{ref} sent a reply of more than {self._bounds.reply} characters.")
        usage = Usage(estimate_prompt(request.messages), estimate_tokens(text), estimated=True)
        if answer.usage is not None and isinstance(answer.usage.completion_tokens, int):
            usage = Usage(answer.usage.prompt_tokens or 0, answer.usage.completion_tokens, estimated=False)
        text = without_surrogates(text).replace("\0", REPLACEMENT)
        return ChatResult(text, choices[0].finish_reason, usage, ref)

    async def embed(self, model: str, texts: list[str]) -> list[list[float]]:
        """One vector for each of ``texts``, in their order, all of one dimension and of finite numbers."""

        async def attempt(provider: Provider, name: str) -> list[list[float]]:
            async with self._translated(model):
                answer = await self._sdks[provider.name].embeddings.create(
                    model=name, input=texts, encoding_format="float"
                )
            return _vectors(model, answer, len(texts))

        return await self._router.first([model], attempt) if texts else []

    async def moderate(self, model: str, text: str) -> dict[str, float]:
        """How much ``text`` is of each category, from 0 to 1, by the categories' names. Where many are asked at once,
        several go together (``Batcher``)."""
        if model not in self._judges:
            self._judges[model] = Batcher(partial(self._moderate, model), most=JUDGED_TOGETHER, calls=JUDGING)
        return await self._judges[model].ask(text)

    async def _moderate(self, model: str, texts: list[str]) -> list[dict[str, float]]:
        async def attempt(provider: Provider, name: str) -> list[dict[str, float]]:
            given: str | list[str] = texts if len(texts) > 1 else texts[0]  # a single one as every server takes it
            async with self._translated(model):
                answer = await self._sdks[provider.name].moderations.create(model=name, input=given)
            return _scores(model, answer, len(texts))

        return await self._router.first([model], attempt)

    async def list_models(self, provider: str) -> list[str]:
        """The names a provider offers, sorted. One try, whatever the breaker says."""
        parse_model(f"{provider}/any", self._providers)
        async with self._translated(provider):
            page = await self._sdks[provider].models.list()
        names = [getattr(model, "id", None) for model in getattr(page, "data", None) or []]
        if not all(isinstance(name, str) for name in names):
            raise LLMMalformed(f"{provider} answered with something that is not a list of models.")
        return sorted(str(name) for name in names)

    async def check(self, provider: str) -> None:
        """Return if the provider answers within twice the connect deadline; else raise the ``LLMError``."""
        try:
            async with asyncio.timeout(self._deadlines.connect * 2):
                await self.list_models(provider)
        except TimeoutError:
            raise LLMTimeout(f"{provider} does not answer in time.") from None

    @asynccontextmanager
    async def _translated(self, what: str) -> AsyncIterator[None]:
        """The SDK's exceptions as ours, within the total deadline."""
        try:
            async with asyncio.timeout(self._deadlines.total):
                yield
        except (TimeoutError, openai.APITimeoutError):
            raise LLMTimeout(f"{what} did not answer in time.") from None
        except openai.APIStatusError as error:
            body = {"error": error.body} if isinstance(error.body, dict) else None
            raise error_from_status(what, error.status_code, body, retry_after(error.response.headers)) from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, BodyTooLarge):
                raise LLMTooLarge(f"{what} sent an answer of more than {self._bounds.body} bytes.") from None
            raise LLMUnavailable(f"{what} cannot be reached.") from error
        except LLMError:
            raise
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            # The SDK trusts the shape of an answer; a strange one trips it in any of these ways.
            raise LLMMalformed(f"{what} sent an answer that does not follow the protocol.") from error


STREAM_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Content-Type": "application/json"}


def _body(provider: Provider, name: str, request: ChatRequest) -> dict[str, Any]:
    """The request in the protocol's words. OpenAI itself has renamed the token limit, the others have not."""
    body: dict[str, Any] = {
        "model": name,
        "messages": [{"role": m.role, "content": without_surrogates(m.content)} for m in request.messages],
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        limit = "max_completion_tokens" if provider.base_url == OPENAI_URL else "max_tokens"
        body[limit] = request.max_tokens
    return body


def _scores(model: str, answer: Any, count: int) -> list[dict[str, float]]:
    """Those of ``count`` texts. Raises ``LLMMalformed``."""
    results = getattr(answer, "results", None)
    if not isinstance(results, list) or len(results) != count:
        raise LLMMalformed(f"{model} answered with something that is no moderation.")
    return [_scores_of(model, result) for result in results]


def _scores_of(model: str, result: Any) -> dict[str, float]:
    scores = getattr(result, "category_scores", None)
    # The SDK names fields by attributes; the categories' own names are their aliases.
    dump = getattr(scores, "model_dump", None)
    named = dump(by_alias=True) if dump is not None else scores
    found = {}
    for name, score in named.items() if isinstance(named, dict) else ():
        if isinstance(score, (int, float)) and math.isfinite(score):
            found[str(name)] = float(score)
    if not found:
        raise LLMMalformed(f"{model} answered with something that is no moderation.")
    return found


def _vectors(model: str, answer: object, count: int) -> list[list[float]]:
    """The vectors of an embeddings answer. Raises ``LLMMalformed`` for a wrong count, dimension or number."""
    items = getattr(answer, "data", None) or []
    try:
        vectors = [[float(number) for number in item.embedding] for item in sorted(items, key=lambda item: item.index)]
    except (TypeError, ValueError, AttributeError):
        vectors = []
    sizes = {len(vector) for vector in vectors}
    # Compared with itself, NaN differs; an infinity is larger than any number.
    sane = all(abs(number) < float("inf") for vector in vectors for number in vector)
    if len(vectors) != count or len(sizes) != 1 or 0 in sizes or not sane:
        raise LLMMalformed(f"{model} sent vectors that cannot be used.")
    return vectors


def _json(raw: bytes | None) -> Any:
    try:
        return json.loads(raw or b"")
    except (ValueError, RecursionError):
        return None
