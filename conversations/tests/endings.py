"""How replies ended, as a client hears it, for tests that ask the same again."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import User
from conversations.models import Message
from conversations.replies.cache.asking import Asked
from personas.models import Persona

from .client import ChatClient
from .factories import ask

QUESTION = "What is a tree?"


async def asked(tab: ChatClient, text: str = QUESTION, **fields: Any) -> dict[str, Any]:
    """The ending of the reply to ``text``."""
    return await ended(tab, await tab.ask(text, **fields))


async def ended(tab: ChatClient, accepted: dict[str, Any]) -> dict[str, Any]:
    """The ending of the reply that was ``accepted``."""
    await tab.ended(accepted["reply"]["id"])
    return next(e for e in reversed(tab.heard) if e.get("reply") == accepted["reply"]["id"] and "text" in e)


def begun(owner: User, persona: Persona, key: str) -> tuple[Asked, Message]:
    """A reply that is being streamed to answer all who ask the question of ``key``."""
    reply = ask(owner, QUESTION, persona=persona).reply
    lease = timezone.now() + timedelta(seconds=30)
    Message.objects.filter(pk=reply.pk).update(status="streaming", epoch=1, lease_expires_at=lease)
    assert persona.published is not None
    question = Asked(key=key, near="near", question=QUESTION, version=persona.published.pk, hours=1)
    return question, reply
