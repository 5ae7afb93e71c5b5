"""Examples of requests and answers, for the API's documentation."""

import json
from typing import Any

from drf_spectacular.utils import OpenApiExample

_MODEL: dict[str, Any] = {
    "id": "persona:support",
    "object": "model",
    "created": 1772357400,
    "owned_by": "nono",
    "name": "Support Assistant",
    "description": "Answers from the FAQ.",
}
MODEL = OpenApiExample("a persona", _MODEL, response_only=True)
MODELS = OpenApiExample("one persona", {"object": "list", "data": [_MODEL]}, response_only=True)
_ASK: dict[str, Any] = {
    "model": "persona:support",
    "messages": [
        {"role": "system", "content": "The person looks at the page of opening hours."},
        {"role": "user", "content": "When are you open?"},
    ],
}
ASK = OpenApiExample("ask", _ASK, request_only=True)
ASK_STREAM = OpenApiExample(
    "ask, in chunks",
    {**_ASK, "stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": 200},
    request_only=True,
)
_ID = {"id": "chatcmpl-01935f6e7c1b7a448c3e9f0b7d6a5c42", "created": 1772357400, "model": "persona:support"}
_PLACE = {
    "conversation": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10",
    "message": "01935f6e-7c1a-7f02-a7d4-5d2c1e8b9a31",
    "reply": "01935f6e-7c1b-7a44-8c3e-9f0b7d6a5c42",
}
_SOURCES = {
    "source": "model",
    "citations": [{"number": 1, "faq": "01935f6e-0000-7e63-9f1e-3b1f4f3e2d10", "question": "Opening hours?"}],
}
COMPLETION = OpenApiExample(
    "the reply",
    {
        **_ID,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "From nine to five [1].", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 240, "completion_tokens": 9, "total_tokens": 249},
        "system_fingerprint": None,
        "nono": {**_PLACE, **_SOURCES},
    },
    response_only=True,
)


def _chunk(delta: dict[str, str], reason: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return f"data: {json.dumps({**_ID, 'object': 'chat.completion.chunk', 'choices': [choice], **more})}\n\n"


CHUNKS = OpenApiExample(
    "three chunks",
    _chunk({"role": "assistant", "content": ""}, nono=_PLACE)
    + _chunk({"content": "From nine to five [1]."})
    + _chunk({}, "stop", nono=_SOURCES)
    + "data: [DONE]\n\n",
    response_only=True,
)
