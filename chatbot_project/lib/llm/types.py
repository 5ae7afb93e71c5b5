"""What goes to a model and what comes back. Plain values, without I/O."""

from typing import Literal

import msgspec


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn of a conversation as a model sees it."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, frozen=True):
    """What to ask, whichever model answers. ``None`` leaves a choice to the model."""

    messages: list[ChatMessage]
    temperature: float | None = None
    max_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and written; ``estimated`` where the model did not count them itself."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool


MOST_TOKENS = 2**31 - 1  # what the database counts them in


def is_count(prompt: object, completion: object) -> bool:
    """Whether a provider's numbers of tokens can be believed; that of the prompt may be missing (None)."""
    return (
        isinstance(completion, int)
        and 0 <= completion <= MOST_TOKENS
        and (prompt is None or (isinstance(prompt, int) and 0 <= prompt <= MOST_TOKENS))
    )


class ChatResult(msgspec.Struct, frozen=True):
    """A whole reply. ``model`` is the ``provider/name`` that answered."""

    text: str
    finish_reason: str
    usage: Usage
    model: str


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds: until a connection stands, until the first text, between two pieces of text, for the whole reply; and
    for a moderation."""

    connect: float = 5.0
    first_token: float = 60.0
    idle: float = 30.0
    total: float = 600.0
    moderation: float = 10.0


class RetryPolicy(msgspec.Struct, frozen=True):
    """How a request that has shown no text yet is tried again.

    ``attempts`` counts all tries of one model; ``backoff`` seconds double from try to try, with jitter. A model's
    Retry-After is honoured up to ``retry_after_cap`` seconds: one that asks for more is left for the next model. Where
    the last model is given a rest, its end is waited for, for ``patience`` seconds in all.
    """

    attempts: int = 3
    backoff: float = 0.25
    retry_after_cap: float = 5.0
    patience: float = 1.0


class Bounds(msgspec.Struct, frozen=True):
    """Of one event of a stream (bytes), of a reply's text (characters), of the bodies of whole and of error answers
    (bytes).
    """

    line: int = 1024 * 1024
    reply: int = 1024 * 1024
    body: int = 64 * 1024 * 1024
    error_body: int = 16 * 1024
