"""Which model answers: the first, else its fallbacks; each tried again where that may help. No HTTP in here."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import structlog

from chatbot_project.lib.metrics import names as metrics

from .breaker import Breaker
from .errors import LLMError, LLMRefused, LLMUnavailable
from .providers import Provider, parse_model
from .types import RetryPolicy

log = structlog.get_logger(__name__)

T = TypeVar("T")
PROBE_SECONDS = 0.05  # between looks whether who tries a provider again got an answer
Attempt = Callable[[Provider, str], Awaitable[T]]
Before = Callable[[str], Awaitable[None]]


async def _nothing(provider: str) -> None:
    """What is awaited before an attempt where nothing has to be."""


class Router:
    """Runs an attempt against the models in their order until one gives a result.

    Nothing has been shown to anyone before an attempt returns, so that trying again is safe; what fails later is the
    caller's to report with ``breaker(name).failure()``.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        policy: RetryPolicy,
        *,
        make_breaker: Callable[[], Breaker],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._providers = providers
        self._policy = policy
        self._breakers = {name: make_breaker() for name in providers}
        self._sleep = sleep

    def breaker(self, provider: str) -> Breaker:
        """The breaker of a configured provider."""
        return self._breakers[provider]

    async def first(self, models: Sequence[str], attempt: Attempt[T], *, before: Before = _nothing) -> T:
        """The first result. ``before(provider)`` is awaited ahead of each attempt that the breaker lets through, for
        however long it takes. Raises the error of the first model, which is the one that was asked for, if all fail."""
        errors: list[LLMError] = []
        for others, ref in enumerate(models, 1 - len(models)):
            patience = 0.0 if others else self._policy.patience
            try:
                provider, name = parse_model(ref, self._providers)
                return await self._tried(provider, name, attempt, before, patience)
            except LLMError as error:
                errors.append(error)
        raise errors[0] if errors else LLMRefused("No model is configured.")

    async def _tried(self, provider: Provider, name: str, attempt: Attempt[T], before: Before, patience: float) -> T:
        """One model, as often as the policy allows. Raises the last ``LLMError``."""
        for number in range(1, self._policy.attempts + 1):
            patience = await self._rested(provider, patience)
            try:
                if not self._breakers[provider.name].is_shut:
                    await before(provider.name)
                    # It may have begun a rest meanwhile: not all who waited shall fail by that.
                    patience = await self._rested(provider, patience)
                return await self._once(provider, name, attempt)
            except LLMError as error:
                log.warning("llm.attempt_failed", provider=provider.name, model=name, attempt=number, code=error.code)
                wait = self._wait_before_next(error, number)
                if wait is None:
                    raise
            await self._sleep(wait)
        raise AssertionError("a policy allows at least one attempt")

    async def _rested(self, provider: Provider, patience: float) -> float:
        """Wait for the end of a provider's rest, and for who tries it then, unless that takes more than ``patience``
        seconds. Returns what is left of them."""
        breaker = self._breakers[provider.name]
        while breaker.is_shut:
            wait = max(PROBE_SECONDS, breaker.rest_left) * random.uniform(1.0, 1.1)  # noqa: S311 - spreads load
            if wait > patience:
                break
            await self._sleep(wait)
            patience -= wait
        return patience

    async def _once(self, provider: Provider, name: str, attempt: Attempt[T]) -> T:
        breaker = self._breakers[provider.name]
        if not breaker.admit():
            metrics.MODEL_REQUESTS.labels(provider.name, "breaker_open").inc()
            raise BreakerOpen(f"{provider.name} is given a rest after repeated failures.")
        try:
            result = await attempt(provider, name)
        except LLMError as error:
            metrics.MODEL_REQUESTS.labels(provider.name, error.code).inc()
            if error.counts:
                breaker.failure()
            else:
                breaker.success()
            raise
        except BaseException:
            breaker.abandon()
            raise
        breaker.success()
        metrics.MODEL_REQUESTS.labels(provider.name, "ok").inc()
        return result

    def _wait_before_next(self, error: LLMError, number: int) -> float | None:
        """Seconds before attempt ``number`` + 1, or ``None`` for no further one."""
        if not error.retryable or number >= self._policy.attempts:
            return None
        if error.wait is not None:
            return error.wait if error.wait <= self._policy.retry_after_cap else None
        backoff = self._policy.backoff * 2.0 ** (number - 1)
        return backoff * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, protects nothing


class BreakerOpen(LLMUnavailable):
    """Not even asked. The next try would find the same."""

    retryable = False
    counts = False
