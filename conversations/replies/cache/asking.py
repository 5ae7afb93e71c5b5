"""What a reply's question is looked up by, and whether it and its answer are for others, too. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings

from chatbot_project.lib.pii import find
from conversations.models import Message
from conversations.replies.cache.near import outline
from conversations.replies.cache.questions import digest, is_code, is_general, normalised
from conversations.replies.queue import Ending
from conversations.replies.work import Work
from personas.sources import Source

if TYPE_CHECKING:
    from conversations.replies.live import LiveReply

MOST_TEXT = 12_000  # characters of a reply


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that may be answered as it was before. ``key`` names it and all that its answer depends on; ``near``
    the same of all questions that may mean the same ("" where none may), of which vectors decide; ``hours`` is how long
    an answer holds."""

    key: str
    near: str
    question: str
    version: UUID
    hours: int


def asked_of(work: Work, *, seen: str, sources: Sequence[Source], language: str) -> Asked:
    """``work``'s question. ``seen`` says which knowledge was looked at and for whom, ``sources`` what was found there,
    ``language`` what the question is written in."""
    question = normalised(work.turns[-1].text)
    alike = "" if not settings.RESPONSE_CACHE_NEAR or is_code(question) else outline(question, language)
    scope = (work.version.pk, *work.models, settings.MODERATION_MODEL, seen, language)
    return Asked(
        key=digest(["exact", *scope, *(source.faq for source in sources), question]),
        near=digest(["near", *scope, *sorted(str(source.faq) for source in sources), alike]) if alike else "",
        question=question,
        version=work.version.pk,
        hours=work.version.cache_hours,
    )


def is_for_all(reply: "LiveReply") -> bool:
    """Whether anybody who asks the question of ``reply`` could get the same answer: the persona allows it, it is the
    first of its conversation and has no personal data, nothing broke a rule, a program told nothing beside it and asked
    for no shorter reply, and nobody wants it made anew."""
    work = reply.work
    return (
        work.version.cache_hours > 0
        and not (work.bypass_cache or reply.text or reply.findings)
        and len(work.turns) == 1
        and not (work.summary or work.instructions)
        and work.max_tokens is None
        and is_general(work.turns[0].text)
    )


def is_worth_keeping(reply: "LiveReply", ending: Ending) -> bool:
    """Whether others may get ``ending``: whole, of the model that was meant to answer, within all rules, with what it
    cites where there was something to cite, and without personal data but what the organisation itself said."""
    work = reply.work
    return (
        ending.status == Message.Status.COMPLETED
        and ending.finish_reason == "stop"
        and not (ending.code or reply.findings)
        and ending.model == work.models[0]
        and bool(ending.citations or not reply.sources)
        and 0 < len(ending.text) <= MOST_TEXT
        and not _tells_of_people(ending.text, [work.version.system_prompt, *(s.answer for s in reply.told)])
    )


def _tells_of_people(text: str, published: Sequence[str]) -> bool:
    return any(not any(text[span.start : span.end] in said for said in published) for span in find(text))
