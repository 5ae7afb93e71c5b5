"""How replies ended, as a client hears it, for tests that ask the same again."""

from typing import Any

from .client import ChatClient

QUESTION = "What is a tree?"


async def asked(tab: ChatClient, text: str = QUESTION, **fields: Any) -> dict[str, Any]:
    """The ending of the reply to ``text``."""
    return await ended(tab, await tab.ask(text, **fields))


async def ended(tab: ChatClient, accepted: dict[str, Any]) -> dict[str, Any]:
    """The ending of the reply that was ``accepted``."""
    await tab.ended(accepted["reply"]["id"])
    return next(e for e in reversed(tab.heard) if e.get("reply") == accepted["reply"]["id"] and "text" in e)
