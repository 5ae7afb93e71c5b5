"""The moderators' rules and the endpoint as the gate of all that is asked of a model beside conversations' replies."""

import asyncio

import structlog
from django.conf import settings

from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError, LLMHeldBack, LLMUnjudged
from chatbot_project.lib.llm.guarded import Thresholds, Words
from conversations.safety.checks import ENDING, rules_in_force
from conversations.safety.endpoint import judge
from conversations.safety.rules import INPUT, OUTPUT, OutputFilter, RuleSet
from personas.models import PersonaVersion

log = structlog.get_logger(__name__)


class ModerationGate:
    """There is no message to note a finding at: what is held back or flagged is logged, without its text."""

    async def pass_sent(self, client: LLMClient, text: str, thresholds: Thresholds) -> None:
        await self._pass(client, text, thresholds, INPUT)

    async def pass_said(self, client: LLMClient, text: str, thresholds: Thresholds) -> None:
        await self._pass(client, text, thresholds, OUTPUT)

    async def words(self) -> Words:
        return _Words(await rules_in_force())

    async def _pass(self, client: LLMClient, text: str, thresholds: Thresholds, stage: str) -> None:
        rules = await rules_in_force()
        # Beside the loop: what is summarised or drafted from may be long.
        rule = await asyncio.to_thread(rules.strongest, text, stage)
        if rule is not None:
            _log(stage, rule.action, rule.category, "rule")
            if rule.action in ENDING:
                raise LLMHeldBack
        if settings.MODERATION_MODEL:
            await self._judge(client, text, thresholds, stage)

    async def _judge(self, client: LLMClient, text: str, thresholds: Thresholds, stage: str) -> None:
        version = PersonaVersion(flag_from=thresholds.flag_from, block_from=thresholds.block_from)
        judgement = await judge(client, text, version=version, stage=stage)
        if not judgement.action:
            return
        _log(stage, judgement.action, judgement.category, "unavailable" if judgement.score is None else "endpoint")
        if judgement.action in ENDING:
            error: type[LLMError] = LLMUnjudged if judgement.score is None else LLMHeldBack
            raise error


class _Words:
    def __init__(self, rules: RuleSet) -> None:
        self._filter = OutputFilter(rules) if rules.for_output else None

    def feed(self, piece: str) -> str:
        return piece if self._filter is None else self._unbroken(self._filter, self._filter.feed(piece))

    def close(self) -> str:
        return "" if self._filter is None else self._unbroken(self._filter, self._filter.close())

    def _unbroken(self, judged: OutputFilter, shown: str) -> str:
        if judged.is_blocked and judged.broken is not None:
            _log(OUTPUT, judged.broken.action, judged.broken.category, "rule")
            raise LLMHeldBack
        return shown


def _log(stage: str, action: str, category: str, source: str) -> None:
    log.info("gate.moderated", stage=stage, action=action, category=category, source=source)
