"""The way of one reply from its question to its ending, each step a small function."""

import asyncio
from collections.abc import Awaitable, Callable

from django.utils import timezone

from chatbot_project.lib import tracing
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.llm.stream import ChatStream
from chatbot_project.lib.llm.tokens import estimate_prompt
from chatbot_project.lib.llm.types import ChatRequest
from chatbot_project.lib.pii import Pseudonyms, Restorer
from chatbot_project.lib.token_budget import Spending, TokenBudget
from conversations.replies import metering
from conversations.replies.cache.joining import ReplyCache
from conversations.replies.knowledge import approved_ending, consult_faqs, offline_ending
from conversations.replies.live import LiveReply
from conversations.replies.prompt import Turn, build_prompt, cost_of_instructions
from conversations.replies.queue import Ending
from conversations.safety.checks import (
    blocked_output,
    checked_question,
    judged_shown,
    output_filter,
    rules_in_force,
)
from conversations.safety.findings import Finding
from conversations.safety.rules import OutputFilter
from conversations.safety.watching import Watch, watched
from personas.sources import with_knowledge, without_marks

NextTick = Callable[[], Awaitable[None]]
Say = Callable[[LiveReply, bool], None]


async def answer(
    reply: LiveReply, llm: LLMClient, budget: TokenBudget, cache: ReplyCache, next_tick: NextTick, say: Say
) -> Ending:
    """Stream the reply from its models into ``reply.text`` and return how it ended.

    What the models may take at most is reserved from ``budget`` first. ``say(reply, at_once)`` is called whenever there
    is more text; between two reads it waits for ``next_tick()``. What ``cache`` has needs no model.
    """
    rules = await rules_in_force()
    if (refused := await checked_question(reply, rules, llm)) is not None:
        say(reply, True)
        return refused
    reply.filter = output_filter(reply, rules)
    seen = ""
    if reply.work.version.answers_from_faqs:
        with tracing.step("retrieval") as retrieval:
            consulted = await consult_faqs(reply)
            retrieval.say(verdict=consulted.verdict.value)
        metering.consulted(consulted.verdict)
        if (approved := approved_ending(reply, consulted)) is not None:
            say(reply, True)
            return approved
        seen = consulted.seen
    if (before := await cache.answered_before(reply, rules, seen)) is not None:
        say(reply, True)
        return before
    # With a long conversation to read through, not in the loop that all others stream in.
    request = await asyncio.to_thread(ask, reply) if takes_out(reply) else ask(reply)
    most = estimate_prompt(request.messages) + reply.work.reply_tokens
    try:
        async with budget.reserved(person=reply.work.owner, reply=reply.reply, tokens=most) as spending:
            stream = await relay_from_models(reply, llm, request, spending, next_tick, say)
    except LLMError as error:
        if (approved := offline_ending(reply, error)) is not None:
            say(reply, True)
            return approved
        return await judged_shown(reply, llm, broken_off(reply, error))
    except ApplicationError as error:
        return await judged_shown(reply, llm, broken_off(reply, error))
    ending = blocked_output(reply) if is_blocked(reply) else completed(reply, stream)
    return await judged_shown(reply, llm, ending)


async def relay_from_models(
    reply: LiveReply, llm: LLMClient, request: ChatRequest, spending: Spending, next_tick: NextTick, say: Say
) -> ChatStream:
    """Relay the reply of the first of its models that begins one, and note what that took as ``spending``. Its stream,
    closed. Raises LLMError."""
    with tracing.step("model") as call:
        try:
            stream = await llm.open_stream(reply.work.models, request, reply.note_asked)
            metering.began(stream.model, reply.asked_at)
            call.note("first token")
        except asyncio.CancelledError:
            if reply.asked_at is not None:
                spending.used = estimate_prompt(request.messages)  # stopped while it was read: used up, too
            raise
        reply.model = stream.model
        try:
            async with watched(reply, llm) as watch:
                await relay(stream, reply, next_tick, say, watch)
        finally:
            try:
                spending.used = stream.usage.prompt_tokens + stream.usage.completion_tokens
                metering.used(stream.model, stream.usage)
                call.say(model=stream.model, prompt_tokens=stream.usage.prompt_tokens)
                call.say(completion_tokens=stream.usage.completion_tokens)
            finally:
                await stream.close()
    return stream


def takes_out(reply: LiveReply) -> bool:
    """Whether the models of ``reply`` see placeholders in place of personal data."""
    return reply.work.version.takes_out_personal_data(reply.work.models)


def ask(reply: LiveReply) -> ChatRequest:
    """What the model is asked: the persona's prompt, the approved answers that were found, what a program added, and
    what fits of the conversation. Sets the reply's ``restorer`` where placeholders stand in it."""
    work, version = reply.work, reply.work.version
    system_prompt, turns = version.system_prompt, work.turns
    if reply.sources:
        system_prompt, reply.told = with_knowledge(
            system_prompt,
            reply.sources,
            question=turns[-1].text if turns else "",
            budget=version.context_budget - cost_of_instructions(work.instructions),
        )
        turns = [Turn(t.role, without_marks(t.text)) if t.role == "assistant" else t for t in turns]
    pseudonyms = Pseudonyms() if takes_out(reply) else None
    prompt = build_prompt(
        system_prompt=system_prompt,
        turns=turns,
        budget=version.context_budget,
        summary=work.summary,
        summarised=work.summarised,
        continued=reply.text,
        instructions=work.instructions,
        pseudonyms=pseudonyms,
    )
    reply.restorer = pseudonyms.restorer() if pseudonyms else None
    reply.first_kept = prompt.first_kept
    return ChatRequest(prompt.messages, temperature=version.temperature, max_tokens=work.reply_tokens)


async def relay(
    stream: ChatStream, reply: LiveReply, next_tick: NextTick, say: Say, watch: Watch | None = None
) -> None:
    """Everything that the model says, the first piece at once and then once per tick, with personal data put back;
    ``watch`` hears of each.

    The beginning of a placeholder that a broken-off text ends with is left out: what goes on from there writes it anew.
    """
    restorer, judged = reply.restorer, reply.filter
    while piece := await stream.read():
        if reply.cancelled_for:  # and it went on: the cancellation was dropped on its way (lib/loops.py)
            raise asyncio.CancelledError
        first = reply.first_token_at is None
        if first:
            reply.first_token_at = timezone.now()
        if restorer is not None:
            piece = restorer.feed(piece)
        if judged is not None:
            piece = judged.feed(piece)
            if judged.is_blocked:
                break
        reply.text += piece
        say(reply, first)
        if watch is not None:
            watch.heard()
        await next_tick()
    else:
        if rest := _rest(restorer, judged):
            reply.text += rest
            say(reply, False)
    if judged is not None and judged.broken is not None:
        reply.findings.append(Finding(reply.reply, judged.broken))


def _rest(restorer: Restorer | None, judged: OutputFilter | None) -> str:
    """What was held back until the model was done."""
    rest = restorer.close() if restorer is not None else ""
    return rest if judged is None else judged.feed(rest) + judged.close()


def is_blocked(reply: LiveReply) -> bool:
    """Whether the model said what a rule blocks."""
    return reply.filter is not None and reply.filter.is_blocked


def completed(reply: LiveReply, stream: ChatStream) -> Ending:
    """The model ended the reply itself, and said so."""
    usage = stream.usage
    return Ending(
        "completed",
        reply.text,
        model=stream.model,
        finish_reason=stream.finish_reason or "",
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        usage_estimated=usage.estimated if usage else False,
        first_token_at=reply.first_token_at,
    )


def broken_off(reply: LiveReply, error: ApplicationError) -> Ending:
    """The model failed, or was not asked: a partial text is kept and can be continued; without any the reply has
    failed."""
    return Ending(
        "interrupted" if reply.text else "failed",
        reply.text,
        model=reply.model,
        code=error.code,
        first_token_at=reply.first_token_at,
    )
