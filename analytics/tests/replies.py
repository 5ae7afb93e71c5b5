"""Replies to be judged."""

from datetime import datetime
from typing import Any

from accounts.models import User
from analytics.quality import handing
from analytics.quality.models import QualityItem, QualityReview
from analytics.quality.rubric import RUBRIC
from conversations.models import Conversation, Message
from personas.models import Persona


def make_reply(owner: User, persona: Persona, at: datetime, question: str = "Why?", **fields: Any) -> Message:
    """A finished reply of a conversation of its own."""
    conversation = Conversation.objects.create(
        owner=owner, persona_version=persona.published, title="x", created_at=at, updated_at=at
    )
    asked = Message.objects.create(
        conversation=conversation, owner=owner, role="user", status="sent", text=question, created_at=at
    )
    fields = {"text": "Because.", "status": "completed", "source": "model"} | fields
    return Message.objects.create(
        conversation=conversation, owner=owner, parent=asked, role="assistant", created_at=at, **fields
    )


def make_item(reply: Message, **fields: Any) -> QualityItem:
    """``reply`` in the queue, drawn by chance."""
    version = reply.conversation.persona_version
    fields = {"day": reply.created_at.date(), "chance_random": 0.5} | fields
    return QualityItem.objects.create(message=reply, persona=version.persona_id, version=version.pk, **fields)


def answers(correct: str = "yes") -> dict[str, str]:
    return dict.fromkeys(RUBRIC, "yes") | {"correct": correct}


def judged(reviewer: User, correct: str = "yes", comment: str = "") -> QualityReview:
    """The next reply for ``reviewer``, judged."""
    turn = handing.take_next(reviewer=reviewer)
    assert turn is not None
    return handing.judge(reviewer=reviewer, review_id=turn.pk, answers=answers(correct), comment=comment)
