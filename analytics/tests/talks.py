"""Replies made one by one, for tests that know what they come to."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from accounts.models import User
from conversations.models import Citation, Conversation, Feedback, Message
from faqs.models import FAQ
from personas.models import PersonaVersion


def replies(
    version: PersonaVersion,
    people: Iterable[User],
    at: datetime,
    *,
    up: int = 0,
    down: int = 0,
    faq: FAQ | None = None,
    seconds: float = 1.0,
    **fields: Any,
) -> list[Message]:
    """One conversation of each of ``people``, with a question and a reply at that time; the first ``up`` of the replies
    were found helpful, the next ``down`` not. Completed unless ``fields`` say otherwise; they cite ``faq``."""
    made, asked = [], []
    for person in people:
        conversation = Conversation(owner=person, persona_version=version, title="x", created_at=at, updated_at=at)
        question = Message(
            conversation=conversation, owner=person, role="user", status="sent", text="?", created_at=at
        )  # fmt: skip
        reply = {
            "status": "completed", "provider": "acme", "model": "acme/big", "source": "model", "queued_at": at,
            "first_token_at": at + timedelta(seconds=seconds), "finished_at": at + timedelta(seconds=2 * seconds),
        }  # fmt: skip
        asked += [conversation, question]
        made.append(
            Message(
                conversation=conversation, owner=person, parent=question, role="assistant", created_at=at,
                **(reply | fields),
            )
        )  # fmt: skip
    Conversation.objects.bulk_create(asked[::2])
    Message.objects.bulk_create(asked[1::2] + made)
    values = [1] * up + [-1] * down
    Feedback.objects.bulk_create(
        Feedback(message=reply, value=value) for reply, value in zip(made, values, strict=False)
    )
    if faq is not None:
        Citation.objects.bulk_create(
            Citation(message=reply, faq=faq, number=1, question=faq.question, score=0.9) for reply in made
        )
    return made
