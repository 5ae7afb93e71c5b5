"""What a reviewer and a model read of a reply: itself, its question, what was said just before, and what it cites.
Personal data is taken out, and nothing tells whose it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from chatbot_project.lib.pii import Pseudonyms
from conversations.models import Message

#: How many messages before the question are read with it, so that "and on Sundays?" is understood.
EARLIER = 4


@dataclass(frozen=True, slots=True)
class Turn:
    is_question: bool
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """``answer`` is the FAQ's as it stands today, "" where that is gone."""

    number: int
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Reading:
    earlier: Sequence[Turn]
    question: str
    reply: str
    sources: Sequence[Source]


def read(reply: Message) -> Reading:
    """Two queries, and one for each message before."""
    pseudonyms = Pseudonyms()
    question = reply.parent
    return Reading(
        earlier=[
            Turn(message.role == Message.Role.USER, pseudonyms.take_out(message.text)) for message in _before(question)
        ],
        question=pseudonyms.take_out(question.text) if question else "",
        reply=pseudonyms.take_out(reply.text),
        sources=[
            Source(cited.number, cited.question, cited.faq.answer if cited.faq else "")
            for cited in reply.citations.select_related("faq").order_by("number")
        ],
    )


def _before(question: Message | None) -> list[Message]:
    """Oldest first; none before one that was held back or is looked at."""
    found: list[Message] = []
    current = question
    while current is not None and current.parent_id and len(found) < EARLIER:
        current = Message.objects.filter(pk=current.parent_id, moderation_item=None).first()
        if current is not None:
            found.append(current)
    return found[::-1]
