"""Whole answers by the ``openai`` SDK, over our HTTP session, with its exceptions as ours.

Apart from ``client``, which loads it where a model is first asked for something.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx2
import openai
from openai.types.chat import ChatCompletion

from .errors import LLMError, LLMMalformed, LLMTimeout, LLMTooLarge, LLMUnavailable, error_from_status
from .providers import Provider
from .requests import request_body
from .sse import REPLACEMENT, without_surrogates
from .tokens import estimate_prompt, estimate_tokens
from .transport import BodyTooLarge, SessionTransport, retry_after
from .types import Bounds, ChatRequest, ChatResult, Deadlines, Usage, is_count


class ProviderSDK:
    """Asks one provider once, within the total deadline. Raises ``LLMError``."""

    def __init__(
        self, provider: Provider, session: aiohttp.ClientSession, *, deadlines: Deadlines, bounds: Bounds
    ) -> None:
        self._provider = provider
        self._deadlines = deadlines
        self._bounds = bounds
        self.client = openai.AsyncOpenAI(
            # The SDK insists on a key; a server without keys passes over this one.
            api_key=provider.api_key or "none",
            base_url=provider.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(deadlines.total, connect=deadlines.connect),
            http_client=httpx2.AsyncClient(
                transport=SessionTransport(session, body_limit=bounds.body), follow_redirects=False, trust_env=False
            ),
        )

    @property
    def headers(self) -> dict[str, str]:
        """What the SDK says of itself, and how it signs in."""
        common = {key: value for key, value in self.client.default_headers.items() if isinstance(value, str)}
        return common | self.client.auth_headers

    async def complete(self, name: str, request: ChatRequest) -> ChatResult:
        """The whole reply of the model ``name``."""
        ref = f"{self._provider.name}/{name}"
        async with self._translated(ref):
            answer: object = await self.client.chat.completions.create(**request_body(self._provider, name, request))
        # The SDK passes on what it cannot parse: an HTML page is a str, a missing list is None.
        choices = getattr(answer, "choices", None) if isinstance(answer, ChatCompletion) else None
        if not isinstance(answer, ChatCompletion) or not choices:
            raise LLMMalformed(f"{ref} answered with something that is not a chat completion.")
        text = getattr(getattr(choices[0], "message", None), "content", None)
        reason: object = choices[0].finish_reason
        if not isinstance(text, str) or not text or not isinstance(reason, str) or not reason:
            raise LLMMalformed(f"{ref} sent an empty reply.")
        if len(text) > self._bounds.reply:
            raise LLMTooLarge(f"{ref} sent a reply of more than {self._bounds.reply} characters.")
        usage = Usage(estimate_prompt(request.messages), estimate_tokens(text), estimated=True)
        if answer.usage is not None and is_count(answer.usage.prompt_tokens, answer.usage.completion_tokens):
            usage = Usage(answer.usage.prompt_tokens or 0, answer.usage.completion_tokens, estimated=False)
        text = without_surrogates(text).replace("\0", REPLACEMENT)
        return ChatResult(text, reason.replace("\0", REPLACEMENT), usage, ref)

    async def embed(self, name: str, texts: list[str]) -> list[list[float]]:
        """One vector for each of ``texts``, in their order, all of one dimension and of finite numbers."""
        ref = f"{self._provider.name}/{name}"
        async with self._translated(ref):
            answer = await self.client.embeddings.create(model=name, input=texts, encoding_format="float")
        return _vectors(ref, answer, len(texts))

    async def moderate(self, name: str, texts: list[str]) -> list[dict[str, float]]:
        """How much each of ``texts`` is of each category, from 0 to 1, by the categories' names."""
        ref = f"{self._provider.name}/{name}"
        given: str | list[str] = texts if len(texts) > 1 else texts[0]  # a single one as every server takes it
        async with self._translated(ref, self._deadlines.moderation):
            answer = await self.client.moderations.create(model=name, input=given)
            return _scores(ref, answer, len(texts))

    async def list_models(self) -> list[str]:
        """The names the provider offers, sorted."""
        provider = self._provider.name
        async with self._translated(provider):
            page = await self.client.models.list()
        names = [getattr(model, "id", None) for model in getattr(page, "data", None) or []]
        if not all(isinstance(name, str) for name in names):
            raise LLMMalformed(f"{provider} answered with something that is not a list of models.")
        return sorted(str(name) for name in names)

    @asynccontextmanager
    async def _translated(self, what: str, seconds: float | None = None) -> AsyncIterator[None]:
        """The SDK's exceptions as ours, within ``seconds``, or the total deadline."""
        try:
            async with asyncio.timeout(self._deadlines.total if seconds is None else seconds):
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
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            # The SDK trusts the shape of an answer; a strange one trips it in any of these ways.
            raise LLMMalformed(f"{what} sent an answer that does not follow the protocol.") from error


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
