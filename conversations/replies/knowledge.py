"""The FAQ's part in a reply: what is found before a model is asked, what answers without one, what is cited in the end.

Only for personas that answer from the FAQ: for all others nothing here runs.
"""

import asyncio
from dataclasses import replace
from typing import Any

import structlog
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.llm.errors import LLMError
from conversations.models import Message
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending
from conversations.replies.work import Work
from faqs.state import knowledge_state
from personas.knowledge import Consulted, Verdict, as_sources, consult, visibilities_of
from personas.models import PersonaVersion
from personas.sources import used_sources

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5


async def consult_faqs(reply: LiveReply) -> Consulted:
    """What the FAQ holds on the reply's question; the reply's ``sources`` are what was found, numbered.

    While the database is away it is asked again: nothing could be stored either.
    """
    while True:
        try:
            consulted = await run_db(_consult, reply.work)
            break
        except (DatabaseError, InterfaceError) as error:
            log.warning("worker.database_away", step="consult", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
    reply.knows = True
    reply.sources = as_sources(consulted.matches, earlier=reply.work.cited, text=reply.text)
    log.info("reply.consulted", reply=str(reply.reply), verdict=consulted.verdict.value, found=len(reply.sources))
    return consulted


def _consult(work: Work) -> Consulted:
    # Before the FAQ is asked: what changes meanwhile is a later revision, under which nothing is found of this one.
    revision = knowledge_state().revision if work.version.cache_hours else 0
    person: Any = User.objects.filter(conversations=work.conversation).first() or AnonymousUser()
    questions = [turn.text for turn in work.turns if turn.role == Message.Role.USER]
    previous = questions[-2] if len(questions) > 1 else ""
    consulted = consult(work.version, questions[-1] if questions else "", previous=previous, user=person)
    seen = f"{revision} {' '.join(sorted(visibilities_of(work.version, person)))}"
    return replace(consulted, seen=seen)


def approved_ending(reply: LiveReply, consulted: Consulted) -> Ending | None:
    """The ending that needs no model, with its text in the reply: an approved answer, or that there is none. None
    where a model is to be asked; so always where a text goes on, which only its model can do."""
    if reply.text:
        return None
    if consulted.verdict is Verdict.UNKNOWN:
        return _whole(reply, consulted.text, Message.Source.UNKNOWN, offers=offers_of(reply.work.version))
    if consulted.verdict is Verdict.DIRECT:
        return _approved(reply, Message.Source.FAQ)
    return None


def offline_ending(reply: LiveReply, error: LLMError) -> Ending | None:
    """Where no model answered: the best approved answer, with its text in the reply; None where there is none, or a
    model has said something already."""
    if reply.text or not reply.sources:
        return None
    log.warning("reply.answered_offline", reply=str(reply.reply), code=error.code)
    return replace(_approved(reply, Message.Source.FAQ_OFFLINE), code=error.code)


def _approved(reply: LiveReply, source: str) -> Ending:
    best = reply.sources[0]
    return _whole(reply, best.answer, source, citations=(best,))


def _whole(reply: LiveReply, text: str, source: str, **fields: Any) -> Ending:
    reply.text, reply.first_token_at = text, timezone.now()
    return Ending("completed", text, finish_reason="stop", first_token_at=reply.first_token_at, source=source, **fields)


def offers_of(version: PersonaVersion) -> list[dict[str, Any]]:
    """What ``version`` offers where it does not know, as a message keeps it."""
    return [
        {"kind": kind, "text": version.contact if kind == "contact" else "", "done": False}
        for kind in version.unknown_offers
    ]


def with_sources(reply: LiveReply, ending: Ending) -> Ending:
    """``ending`` with what the model's text used of the sources it was told. As it is where there were none to use,
    or it says so already."""
    if ending.source or not ending.text or not (reply.knows or reply.work.cited):
        return ending
    work = reply.work
    said = "\n".join([work.version.system_prompt, work.instructions, *(turn.text for turn in work.turns)])
    used = used_sources(ending.text, reply.told, earlier=reply.work.cited, said=said)
    return replace(ending, source=Message.Source.MODEL, citations=tuple(used))
