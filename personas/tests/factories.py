"""Personas for tests, made through the services."""

from itertools import count
from typing import Any

from personas import services
from personas.models import Persona, PersonaVersion

_number = count(1)

CONTENT: dict[str, Any] = {
    "name": "Helper",
    "description": "Helps with tests.",
    "emoji": "🤖",
    "colour": "blue",
    "greeting": "Hello!",
    "suggestions": ["What can you do?"],
    "system_prompt": "You are a helper.",
    "temperature": 0.5,
    "max_reply_tokens": 200,
    "context_budget": 1000,
}


def make_draft(slug: str = "", position: int = 0, **overrides: Any) -> PersonaVersion:
    """The draft of a new persona that was never published."""
    slug = slug or f"helper-{next(_number):06}"
    return services.create_persona(slug=slug, actor=None, position=position, **(CONTENT | overrides))


def make_persona(slug: str = "", position: int = 0, **overrides: Any) -> Persona:
    """A published persona, visible to everyone unless ``visibility`` says otherwise."""
    version = make_draft(slug, position, **overrides)
    return services.publish_draft(persona=version.persona, actor=None).persona


def republish(persona: Persona, **changes: Any) -> PersonaVersion:
    """A further published version of ``persona``."""
    services.edit_draft(persona=persona, actor=None, **changes)
    version = services.publish_draft(persona=persona, actor=None)
    persona.refresh_from_db()
    return version
