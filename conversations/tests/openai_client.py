"""OpenAI's own SDK, as a program of some person uses it against a running server."""

from typing import Any

from openai import AsyncOpenAI, OpenAI

from accounts import api_keys
from accounts.models import User
from accounts.scopes import Scope


def make_key(user: User, *scopes: Scope) -> str:
    """A new API key of ``user``, good for reading and asking unless told otherwise."""
    return api_keys.create_key(user=user, name="sdk", scopes=scopes or (Scope.READ, Scope.CHAT))[1]


def sync_client(url: str, key: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def async_client(url: str, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def asked(persona: Any, text: str = "Hello?", **more: Any) -> dict[str, Any]:
    """The arguments of a chat completion."""
    return {"model": f"persona:{persona.slug}", "messages": [{"role": "user", "content": text}], **more}
