"""Conversations for tests, through the services wherever they can make what is needed."""

import itertools
from typing import Any
from uuid import uuid4

from django.utils import timezone

from accounts.models import User
from conversations import services
from conversations.models import Conversation, Message
from personas.models import Persona, PersonaVersion

_numbers = itertools.count(1)


def make_persona(**overrides: Any) -> Persona:
    """A published persona that asks the fake model, visible to everyone."""
    number = next(_numbers)
    slug = overrides.pop("slug", f"helper-{number:06}")
    fields: dict[str, Any] = {
        "number": 1,
        "name": f"Helper {number}",
        "description": "Helps with tests.",
        "emoji": "🤖",
        "colour": "#336699",
        "greeting": "Hello!",
        "suggestions": ["What can you do?"],
        "system_prompt": "You are a helper.",
        "model": "fake/echo",
        "temperature": 0.5,
        "max_reply_tokens": 200,
        "context_budget": 1000,
        "visibility": "guests",
    } | overrides
    persona = Persona.objects.create(slug=slug)
    persona.published = PersonaVersion.objects.create(persona=persona, published_at=timezone.now(), **fields)
    persona.save(update_fields=["published"])
    return persona


def ask(user: User, text: str = "Hello?", *, persona: Persona | None = None, **arguments: Any) -> services.Accepted:
    """A question that was accepted, with its reply queued."""
    slug = persona.slug if persona else None
    return services.send_message(user=user, client_id=uuid4().hex, text=text, persona_slug=slug, **arguments)


def end(reply: Message, text: str = "A reply.", status: str = "completed", **fields: Any) -> Message:
    """``reply`` as it is after a worker ended it."""
    fields = {"text": text, "status": status, "epoch": 1, "lease_expires_at": None} | fields
    Message.objects.filter(pk=reply.pk).update(**fields)
    reply.refresh_from_db()
    return reply


def make_exchange(user: User, text: str = "Hello?", answer: str = "A reply.", **arguments: Any) -> services.Accepted:
    """A question with a completed reply."""
    accepted = ask(user, text, **arguments)
    end(accepted.reply, answer)
    return accepted


def make_conversation(user: User, turns: int = 1, **arguments: Any) -> Conversation:
    """A conversation of ``turns`` exchanges."""
    first = make_exchange(user, "Question 1", "Reply 1", **arguments)
    for number in range(2, turns + 1):
        make_exchange(user, f"Question {number}", f"Reply {number}", conversation_id=first.conversation.pk)
    return Conversation.objects.select_related("persona_version__persona").get(pk=first.conversation.pk)
