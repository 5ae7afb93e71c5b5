"""Trying a version before it is published: a chat that is stored nowhere, with the page that asks keeping the turns."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from django.conf import settings
from django.utils.translation import gettext as _

from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.llm.errors import LLMError
from chatbot_project.lib.llm.guarded import GuardedClient, Thresholds
from chatbot_project.lib.llm.tokens import estimate_prompt
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest
from chatbot_project.lib.markdown import render
from chatbot_project.lib.pii import Pseudonyms
from personas.knowledge import Consulted, Verdict, as_sources, consult
from personas.models import PersonaVersion
from personas.sources import Source, used_sources, with_knowledge

log = structlog.get_logger(__name__)

WITHDRAWING = ("content_blocked", "moderation_unavailable")
MAX_TURNS = 100
MAX_TURN_LENGTH = 16_000


def read_turns(body: bytes) -> list[ChatMessage]:
    """The turns that a page sent: ``{"messages": [{"role", "content"}, …]}``, user and assistant in turn, user last.

    Raises ApplicationError ``bad_request`` (400) for anything else.
    """
    try:
        sent = json.loads(body)["messages"]
        turns = [ChatMessage(role=turn["role"], content=turn["content"]) for turn in sent]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _bad_request() from None
    expected = ["assistant" if (len(turns) - index) % 2 == 0 else "user" for index in range(len(turns))]
    if not turns or len(turns) > MAX_TURNS or [turn.role for turn in turns] != expected:
        raise _bad_request()
    if not all(isinstance(turn.content, str) and 0 < len(turn.content) <= MAX_TURN_LENGTH for turn in turns):
        raise _bad_request()
    return turns


def _bad_request() -> ApplicationError:
    return ApplicationError("bad_request", _("This chat cannot be continued. Start it again."))


def make_request(version: PersonaVersion, turns: list[ChatMessage], prompt: str = "") -> ChatRequest:
    """What to ask the model: the version's prompt, or ``prompt`` in its place, and the newest turns that fit its
    context budget."""
    system = ChatMessage(role="system", content=prompt or version.system_prompt)
    kept = list(turns)
    while len(kept) > 1 and estimate_prompt([system, *kept]) > version.context_budget:
        del kept[0]
    return ChatRequest(messages=[system, *kept], temperature=version.temperature, max_tokens=version.max_reply_tokens)


async def stream_reply(
    version: PersonaVersion, turns: list[ChatMessage], user: Any = None
) -> AsyncGenerator[bytes, None]:
    """The reply as lines of JSON: ``{"text"}`` for each piece, then ``{"html", "sources"}`` or ``{"error"}``,
    with ``withdrawn`` where what was shown must go.

    Asks the FAQ as ``user`` would where the version answers from it, and the version's own model and no fallback: the
    one to be tried is that one.
    """
    async with GuardedClient(Thresholds(version.flag_from, version.block_from)) as client:
        try:
            await client.check(turn.content for turn in turns)
            async with aclosing(_reply(client, version, turns, user)) as lines:
                async for line in lines:
                    yield line
        except LLMError as error:
            log.warning("side_chat.failed", version=str(version.pk), code=error.code)
            # What is held back may have been shown: the page takes it back.
            taken_back = {"withdrawn": True} if error.code in WITHDRAWING else {}
            yield _line({"error": error.as_dict()} | taken_back)


async def _reply(
    client: GuardedClient, version: PersonaVersion, turns: list[ChatMessage], user: Any
) -> AsyncGenerator[bytes, None]:
    consulted = await _consult(version, turns, user)
    found = as_sources(consulted.matches)
    if consulted.text:
        yield _line({"text": consulted.text})
        yield _ending(consulted.text, "", found[:1] if consulted.verdict is Verdict.DIRECT else [])
        return
    model, text, prompt, told = version.model or settings.DEFAULT_MODEL, "", "", list[Source]()
    if found:
        question = turns[-1].content
        prompt, told = with_knowledge(version.system_prompt, found, question=question, budget=version.context_budget)
    request, pseudonyms = make_request(version, turns, prompt), Pseudonyms()
    if version.takes_out_personal_data([model]):
        request = await asyncio.to_thread(_without_personal_data, request, pseudonyms)
    restorer = pseudonyms.restorer()
    async with aclosing(client.stream([model], request)) as pieces:
        async for piece in pieces:
            shown = restorer.feed(piece) if restorer else piece
            text += shown
            yield _line({"text": shown})
    if restorer and (held := restorer.close()):
        text += held
        yield _line({"text": held})
    yield _ending(text, model, used_sources(text, told, said=turns[-1].content))


def _without_personal_data(request: ChatRequest, pseudonyms: Pseudonyms) -> ChatRequest:
    """``request`` with placeholders in all but the system prompt, which says what they are."""
    system, *turns = request.messages
    turns = [ChatMessage(turn.role, pseudonyms.take_out(turn.content)) for turn in turns]
    note = f"\n\n{pseudonyms.note}" if pseudonyms else ""
    messages = [ChatMessage(system.role, system.content + note), *turns]
    return ChatRequest(messages=messages, temperature=request.temperature, max_tokens=request.max_tokens)


async def _consult(version: PersonaVersion, turns: list[ChatMessage], user: Any) -> Consulted:
    if not version.answers_from_faqs:
        return Consulted(Verdict.MODEL_ALONE, "")
    previous = turns[-3].content if len(turns) > 2 else ""
    return await run_db(consult, version, turns[-1].content, previous=previous, user=user)


def _ending(text: str, model: str, sources: Sequence[Source]) -> bytes:
    cited = [{"number": source.number, "question": source.question} for source in sources]
    return _line({"html": render(text), "model": model, "sources": cited})


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
