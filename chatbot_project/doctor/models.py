"""The endpoints of every provider: a tiny completion of each model that settings or published personas name, and a
judgement of the one that moderates."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from django.conf import settings

from chatbot_project.doctor.endpoints import explained
from chatbot_project.doctor.registry import Finding, Findings, Request, check, failed, ok
from chatbot_project.doctor.running import in_database
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError, LLMTimeout
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest, Deadlines, RetryPolicy
from chatbot_project.management.commands.models import configured_models
from personas.models import Persona

FEW_TOKENS = ChatRequest([ChatMessage("user", "Say OK.")], max_tokens=16)
HARMLESS = "Good morning."


@check("models", "Every model answers")
async def examine_models(request: Request) -> Findings:
    providers = settings.LLM_PROVIDERS
    if not providers:
        return failed(
            "No model provider is configured.", "Set OPENAI_API_KEY, OLLAMA_HOST or LLM_PROVIDERS, and DEFAULT_MODEL."
        )
    models, judges = configured_models(), [settings.MODERATION_MODEL] if settings.MODERATION_MODEL else []
    # Vectors are asked for by a check of their own.
    named = {model.partition("/")[0] for model in (*models, *judges, settings.EMBEDDING_MODEL)}
    async with _client(request) as client:
        asked = [_model(client, model) for model in models] + [_judge(client, model) for model in judges]
        listed = [_provider(client, name) for name in providers if name not in named]
        return await asyncio.gather(*asked, *listed)


@check("persona-models", "Every model that a persona names answers", needs=("database", "migrations"))
async def examine_persona_models(request: Request) -> Findings:
    """Those of published personas, as far as the settings do not name them."""
    configured, named = configured_models(), await in_database(_named_by_personas, seconds=request.seconds)
    async with _client(request) as client:
        return await asyncio.gather(*(_model(client, model) for model in named if model not in configured))


def _named_by_personas() -> list[str]:
    published = Persona.objects.filter(archived_at=None, published__isnull=False).exclude(published__model="")
    return sorted(set(published.values_list("published__model", flat=True)))


def _client(request: Request) -> LLMClient:
    """One that tries once, and leaves time to say what came of it."""
    bound = request.seconds * 0.8
    deadlines = Deadlines(
        connect=min(settings.LLM_CONNECT_SECONDS, bound), first_token=bound, idle=bound, total=bound,
        moderation=min(settings.MODERATION_SECONDS, bound),
    )  # fmt: skip
    return LLMClient(settings.LLM_PROVIDERS, deadlines=deadlines, retries=RetryPolicy(attempts=1))


async def _model(client: LLMClient, model: str) -> Finding:
    """A completion of a few tokens by ``model``."""

    async def ask() -> None:
        stream = await client.open_stream([model], FEW_TOKENS)
        await stream.close()

    return await _answer(model, ask, "First text")


async def _judge(client: LLMClient, model: str) -> Finding:
    """What ``model`` makes of a harmless text, whatever that is, within the time that questions wait for it."""
    late = (
        "See that it is not overloaded; questions wait for it for MODERATION_SECONDS, the doctor for --timeout at most."
    )
    return await _answer(model, lambda: client.moderate(model, HARMLESS), "A judgement", late=late)


async def _answer(model: str, ask: Callable[[], Awaitable[object]], what: str, *, late: str = "") -> Finding:
    provider = settings.LLM_PROVIDERS.get(model.partition("/")[0])
    if provider is None:
        fix = f"Set that provider's variable, or another model than {model}."
        return failed("No provider of that name is configured.", fix, part=model)
    began = perf_counter()
    try:
        await ask()
    except LLMError as error:
        if late and isinstance(error, LLMTimeout):
            return failed(error.detail, late, part=model)
        return await explained(error, provider, part=model)
    return ok(f"{what} after {(perf_counter() - began) * 1000:.0f} ms.", part=model)


async def _provider(client: LLMClient, name: str) -> Finding:
    """The list of models of a provider of which no setting names one: nothing is spent there."""
    try:
        models = await client.list_models(name)
    except LLMError as error:
        return await explained(error, settings.LLM_PROVIDERS[name], part=name)
    return ok(f"Lists {len(models)} models; no setting names one of them.", part=name)
