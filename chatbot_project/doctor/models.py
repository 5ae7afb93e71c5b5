"""The chat endpoint of every provider: one tiny completion of each model that the settings name."""

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import aiohttp
from django.conf import settings

from chatbot_project.doctor.registry import Finding, Findings, Request, check, failed, ok, warning
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError, LLMMalformed, LLMRateLimited, LLMRefused, LLMTimeout
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.transport import make_session
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest, Deadlines, RetryPolicy
from chatbot_project.management.commands.models import configured_models

FEW_TOKENS = ChatRequest([ChatMessage("user", "Say OK.")], max_tokens=16)
_SUFFIXES = ("/chat/completions", "/embeddings", "/models", "/completions")
_VARIABLES: Mapping[str, str] = {"openai": "OPENAI_BASE_URL", "ollama": "OLLAMA_HOST", "local": "LOCAL_LLM_URL"}


@check("models", "Every model answers")
async def examine_models(request: Request) -> Findings:
    providers = settings.LLM_PROVIDERS
    if not providers:
        return failed(
            "No model provider is configured.", "Set OPENAI_API_KEY, OLLAMA_HOST or LLM_PROVIDERS, and DEFAULT_MODEL."
        )
    models = configured_models()
    strangers = [model for model in models if model.partition("/")[0] not in providers]
    findings = [
        failed(
            "No provider of that name is configured.",
            f"Set that provider's variable, or another model than {model}.",
            part=model,
        )
        for model in strangers
    ]
    bound = request.seconds * 0.8
    deadlines = Deadlines(connect=min(settings.LLM_CONNECT_SECONDS, bound), first_token=bound, idle=bound, total=bound)
    async with LLMClient(providers, deadlines=deadlines, retries=RetryPolicy(attempts=1)) as client:
        asked = [_model(client, model) for model in models if model not in strangers]
        named = {model.partition("/")[0] for model in models}
        listed = [_provider(client, name) for name in providers if name not in named]
        findings += await asyncio.gather(*asked, *listed)
    return findings


async def _model(client: LLMClient, model: str) -> Finding:
    """A completion of a few tokens by ``model``."""
    began = perf_counter()
    try:
        stream = await client.open_stream([model], FEW_TOKENS)
        await stream.close()
    except LLMError as error:
        return await explained(error, settings.LLM_PROVIDERS[model.partition("/")[0]], part=model)
    return ok(f"First text after {(perf_counter() - began) * 1000:.0f} ms.", part=model)


async def _provider(client: LLMClient, name: str) -> Finding:
    """The list of models of a provider of which no setting names one: nothing is spent there."""
    try:
        models = await client.list_models(name)
    except LLMError as error:
        return await explained(error, settings.LLM_PROVIDERS[name], part=name)
    return ok(f"Lists {len(models)} models; no setting names one of them.", part=name)


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
