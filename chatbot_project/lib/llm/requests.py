"""A request in the protocol's words, streamed or not."""

from typing import Any

from .providers import OPENAI_URL, Provider
from .sse import without_surrogates
from .types import ChatRequest


def request_body(provider: Provider, name: str, request: ChatRequest) -> dict[str, Any]:
    """The request in the protocol's words. OpenAI itself has renamed the token limit, the others have not."""
    body: dict[str, Any] = {
        "model": name,
        "messages": [{"role": m.role, "content": without_surrogates(m.content)} for m in request.messages],
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        limit = "max_completion_tokens" if provider.base_url == OPENAI_URL else "max_tokens"
        body[limit] = request.max_tokens
    return body
