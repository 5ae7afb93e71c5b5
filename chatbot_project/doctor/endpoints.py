"""What a provider's endpoint answered instead of what it was asked for, and how to mend that."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from chatbot_project.doctor.registry import Finding, failed, warning
from chatbot_project.lib.llm.errors import LLMError, LLMMalformed, LLMRateLimited, LLMRefused, LLMTimeout
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.transport import make_session

_SUFFIXES = ("/chat/completions", "/embeddings", "/models", "/completions")
_VARIABLES: Mapping[str, str] = {"openai": "OPENAI_BASE_URL", "ollama": "OLLAMA_HOST", "local": "LOCAL_LLM_URL"}


async def explained(error: LLMError, provider: Provider, *, part: str) -> Finding:
    """What ``error`` means and how to mend it. Where another base URL would do, that one is tried and named."""
    if isinstance(error, (LLMMalformed, LLMRefused)) and (better := await better_url(provider)):
        variable = _VARIABLES.get(provider.name, "LLM_PROVIDERS")
        return failed(
            f"{error.detail} The base URL is {provider.base_url}, but models are listed at {better}.",
            f"Set the base URL in {variable} to {better}",
            part=part,
        )
    if isinstance(error, LLMRateLimited):
        return warning(error.detail, "Wait, or raise the account's limits with the provider.", part=part)
    if isinstance(error, LLMTimeout):
        return failed(
            error.detail,
            "See that it is not overloaded, or that the model is loaded; --timeout gives longer.",
            part=part,
        )
    if isinstance(error, LLMRefused):
        return failed(error.detail, _refusal(error.detail, provider), part=part)
    if isinstance(error, LLMMalformed):
        return failed(
            error.detail, f"See what serves {provider.base_url}: it does not speak OpenAI's protocol.", part=part
        )
    return failed(error.detail, f"See that it runs and is reached at {provider.base_url}", part=part)


def _refusal(detail: str, provider: Provider) -> str:
    if " 401" in detail or " 403" in detail:
        return f"Correct the API key of {provider.name}, and see that its account may use that model."
    if provider.name == "ollama":
        return "Fetch the model: manage.py models pull NAME; manage.py models list names those there are."
    return "See the model's name: manage.py models list names those there are."


async def better_url(provider: Provider) -> str:
    """The base URL that the configured one may have meant and at which models are listed; "" for none.

    One with ``/v1`` behind it, or without the endpoint's own path.
    """
    base = provider.base_url
    guesses = [base.removesuffix(suffix) for suffix in _SUFFIXES if base.endswith(suffix)]
    guesses += [f"{guess}/v1" for guess in [base, *guesses] if not guess.endswith("/v1")]
    headers = {"Authorization": f"Bearer {provider.api_key}"} if provider.api_key else {}
    async with make_session(2) as session:
        for guess in guesses:
            if await _lists_models(session, guess, headers):
                return guess
    return ""


async def _lists_models(session: aiohttp.ClientSession, base: str, headers: Mapping[str, str]) -> bool:
    """Whether ``base`` speaks the protocol: it lists models, or asks in JSON for a key."""
    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with session.get(f"{base}/models", headers=headers, allow_redirects=False, timeout=timeout) as answer:
            body: Any = await answer.json() if answer.content_type == "application/json" else None
    except (aiohttp.ClientError, OSError, ValueError):
        return False
    return isinstance(body, dict) and (isinstance(body.get("data"), list) or (answer.status == 401 and "error" in body))
