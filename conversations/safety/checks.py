"""The rules' part in a reply: the question before anything else is done, the model's words while they stream."""

import asyncio
from dataclasses import replace
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.client import LLMClient
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending
from conversations.safety.endpoint import judge
from conversations.safety.findings import Finding, kept_rules, read_rules
from conversations.safety.rules import INPUT, OUTPUT, OutputFilter, Rule, RuleSet
from conversations.services import BLOCKED, UNCHECKED, WITHDRAWN
from faqs.languages import LANGUAGES, detect_language

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
ENDING = frozenset({"block", "crisis"})
LONG_TEXT = 2_000  # characters, from which on a question is read beside the loop


async def rules_in_force() -> RuleSet:
    """The moderators' rules. While the database is away they are asked for again: nothing could be stored either."""
    while (rules := kept_rules()) is None:
        try:
            return await run_db(read_rules)
        except (DatabaseError, InterfaceError) as error:
            log.warning("worker.database_away", step="rules", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
    return rules


async def checked_question(reply: LiveReply, rules: RuleSet, llm: LLMClient) -> Ending | None:
    """The ending that a question gets which must not be answered, with its text in the reply; ``None`` for all others.
    What broke a rule is among the reply's findings either way."""
    work = reply.work
    if not work.turns:
        return None
    question, found = work.turns[-1].text, list[Finding]()
    # With what a program told of instructions and a history: nobody has judged that before.
    said = "\n\n".join([*work.told, question])
    if rules.for_input:
        strongest = rules.strongest
        is_long = len(said) > LONG_TEXT
        rule = await asyncio.to_thread(strongest, said, INPUT) if is_long else strongest(said, INPUT)
        if rule is not None:
            found.append(Finding(work.turn_ids[-1], rule))
    # A reply that goes on was let through by the endpoint when it began; rules may have been added since.
    if settings.MODERATION_MODEL and not reply.text and not any(finding.rule.action in ENDING for finding in found):
        found += await endpoint_findings(reply, llm, said, work.turn_ids[-1], INPUT)
    reply.findings += found
    for finding in found:
        if finding.rule.action == "crisis" and not reply.text:
            return crisis_help(reply, question)
        if finding.rule.action in ENDING:
            code = UNCHECKED if finding.source == "unavailable" else BLOCKED
            return Ending("interrupted" if reply.text else "failed", reply.text, code=code)
    return None


async def judged_shown(reply: LiveReply, llm: LLMClient, ending: Ending) -> Ending:
    """``ending``, or in its place that of a reply which is withdrawn: the endpoint, which judges all that was shown
    however it ended, condemns it, or could not be asked and MODERATION_FAILS is closed. As it is where no endpoint is
    configured, or nothing was shown."""
    if not settings.MODERATION_MODEL or not reply.text:
        return ending
    if not reply.is_condemned:
        reply.findings += await endpoint_findings(reply, llm, reply.text, reply.reply, OUTPUT)
    return withdrawn(reply) if reply.is_condemned else ending


async def endpoint_findings(reply: LiveReply, llm: LLMClient, text: str, message: UUID, stage: str) -> list[Finding]:
    """What the endpoint finds: nothing or one finding."""
    judgement = await judge(llm, text, version=reply.work.version, stage=stage)
    if not judgement.action:
        return []
    rule = Rule(None, "", judgement.action, stage, judgement.category)
    source = "unavailable" if judgement.score is None else "endpoint"
    log.info("reply.moderated", reply=str(reply.reply), stage=stage, action=rule.action, source=source)
    return [Finding(message, rule, source, judgement.score)]


def withdrawn(reply: LiveReply) -> Ending:
    """How a reply ends that must not stay: without a text. Moderators find what was shown with the finding."""
    reply.findings = [
        replace(finding, withdrawn=reply.text) if finding.condemns else finding for finding in reply.findings
    ]
    unavailable = all(finding.source == "unavailable" for finding in reply.findings if finding.condemns)
    log.info("reply.withdrawn", reply=str(reply.reply), characters=len(reply.text))
    return Ending(
        "failed",
        "",
        model=reply.model,
        finish_reason="content_filter",
        code=UNCHECKED if unavailable else WITHDRAWN,
        first_token_at=reply.first_token_at,
        withdraws=True,
    )


def crisis_help(reply: LiveReply, said: str) -> Ending:
    """A reply that says where to find help, in the language of what was ``said`` where the pages speak it."""
    known = dict(settings.LANGUAGES)
    language = detect_language(said, among=LANGUAGES, default=settings.LANGUAGE_CODE)
    with translation.override(language if language in known else settings.LANGUAGE_CODE):
        text = _(
            "What you write sounds as if you were in great distress, and I want you to get help from people. **If you "
            "are in danger, call your local emergency number now:** 112 in Europe, 911 in the US and Canada.\n\n"
            "Somebody to talk to, at any hour and in your country: [findahelpline.com](https://findahelpline.com). If "
            "you can, tell a person near you how you feel."
        )
    reply.text, reply.first_token_at = text, timezone.now()
    return Ending("completed", text, finish_reason="content_filter", first_token_at=reply.first_token_at)


def output_filter(reply: LiveReply, rules: RuleSet) -> OutputFilter | None:
    """What the model's words have to pass; ``None`` where no rule is for them."""
    return OutputFilter(rules, reply.text) if rules.for_output else None


def blocked_output(reply: LiveReply) -> Ending:
    """How a reply ends whose model said what a rule blocks: what was shown stays."""
    return Ending(
        "interrupted" if reply.text else "failed",
        reply.text,
        model=reply.model,
        finish_reason="content_filter",
        code=BLOCKED,
        first_token_at=reply.first_token_at,
    )
