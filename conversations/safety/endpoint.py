"""What OpenAI's moderation endpoint, or one of its protocol, makes of a text, where MODERATION_MODEL is set."""

import asyncio
from dataclasses import dataclass

import structlog
from django.conf import settings

from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.pii import Pseudonyms
from conversations.safety.rules import INPUT
from personas.models import PersonaVersion

log = structlog.get_logger(__name__)

# The beginnings of OpenAI's categories ("self-harm/intent") as ours.
_CATEGORIES = {
    "hate": "hate",
    "harassment": "harassment",
    "self-harm": "self_harm",
    "sexual": "sexual",
    "violence": "violence",
    "illicit": "crime",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """``action`` is empty where nothing is to be done. ``score`` is the highest of the categories, which is
    ``category``; None where the endpoint could not be asked."""

    action: str
    category: str
    score: float | None


async def judge(llm: LLMClient, text: str, *, version: PersonaVersion, stage: str) -> Judgement:
    """What is to be done about ``text`` by the thresholds of ``version``. Personal data is not sent where the persona
    says so. Where the endpoint cannot be asked, the text is blocked or flagged as MODERATION_FAILS says."""
    model = settings.MODERATION_MODEL
    if version.takes_out_personal_data([model]):
        text = await asyncio.to_thread(Pseudonyms().take_out, text)
    try:
        async with asyncio.timeout(settings.MODERATION_SECONDS):
            scores = await llm.moderate(model, text)
    except Exception as error:  # whatever it is, nobody has judged the text
        is_closed = settings.MODERATION_FAILS == "closed"
        code = error.code if isinstance(error, LLMError) else type(error).__name__
        log.warning("moderation.unavailable", stage=stage, fails="closed" if is_closed else "open", code=code)
        return Judgement("block" if is_closed else "flag", "other", None)
    named = {name: score for name, score in scores.items() if name.partition("/")[0] in _CATEGORIES}
    if not named:
        return Judgement("", "other", 0.0)
    worst = max(named, key=lambda name: named[name])
    category, score = _CATEGORIES[worst.partition("/")[0]], named[worst]
    return Judgement(_action(category, score, version, stage), category, score)


def _action(category: str, score: float, version: PersonaVersion, stage: str) -> str:
    if score >= version.block_from:
        return "crisis" if category == "self_harm" and stage == INPUT else "block"
    return "flag" if score >= version.flag_from else ""
