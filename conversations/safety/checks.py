"""The rules' part in a reply: the question before anything else is done, the model's words while they stream."""

import asyncio

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from chatbot_project.lib.db import run_db
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending
from conversations.safety.findings import Finding, kept_rules, read_rules
from conversations.safety.rules import INPUT, OutputFilter, RuleSet
from conversations.services import BLOCKED
from faqs.languages import LANGUAGES, detect_language

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
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


async def checked_question(reply: LiveReply, rules: RuleSet) -> Ending | None:
    """The ending that a question gets which must not be answered, with its text in the reply; ``None`` for all others.
    What broke a rule is among the reply's findings either way."""
    work = reply.work
    if not rules.for_input or not work.turns or reply.text:
        return None
    question = work.turns[-1].text
    judge = rules.strongest
    rule = judge(question, INPUT) if len(question) < LONG_TEXT else await asyncio.to_thread(judge, question, INPUT)
    if rule is None:
        return None
    reply.findings.append(Finding(work.turn_ids[-1], rule))
    log.info("reply.moderated", reply=str(reply.reply), stage="input", action=rule.action, rule=str(rule.id))
    if rule.action == "crisis":
        return crisis_help(reply, question)
    if rule.action == "block":
        return Ending("failed", "", code=BLOCKED)
    return None


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
