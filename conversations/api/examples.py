"""Examples of requests and answers, for the API's documentation."""

import json
from typing import Any

from drf_spectacular.utils import OpenApiExample

from accounts.api.examples import problem

_CONVERSATION_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"
_QUESTION_ID = "01935f6e-7c1a-7f02-a7d4-5d2c1e8b9a31"
_REPLY_ID = "01935f6e-7c1b-7a44-8c3e-9f0b7d6a5c42"
CONVERSATION: dict[str, Any] = {
    "id": _CONVERSATION_ID,
    "title": "Opening hours",
    "persona": "support",
    "persona_name": "Support Assistant",
    "persona_emoji": "🛟",
    "pinned": False,
    "archived": False,
    "deleted": False,
    "updated_at": "2026-03-01T09:30:02Z",
    "revision": 2,
    "metadata": {"ticket": "4711"},
    "active_leaf": _REPLY_ID,
    "created_at": "2026-03-01T09:30:00Z",
    "expires_at": None,
}
_NOTHING_BESIDE: dict[str, Any] = {
    "feedback": 0,
    "feedback_comment": "",
    "finish_reason": "",
    "code": "",
    "model": "",
    "client_id": "",
    "source": "",
    "citations": [],
    "offers": [],
    "usage": None,
}
QUESTION: dict[str, Any] = {
    "id": _QUESTION_ID,
    "conversation": _CONVERSATION_ID,
    "parent": None,
    "role": "user",
    "status": "sent",
    "text": "When are you open?",
    "html": "",
    "epoch": 0,
    "seq": 18,
    "siblings": [_QUESTION_ID],
    "created_at": "2026-03-01T09:30:00Z",
    **_NOTHING_BESIDE,
    "client_id": "web-7f3a",
}
REPLY: dict[str, Any] = {
    "id": _REPLY_ID,
    "conversation": _CONVERSATION_ID,
    "parent": _QUESTION_ID,
    "role": "assistant",
    "status": "completed",
    "text": "From nine to five [1].",
    "html": "<p>From nine to five [1].</p>",
    "epoch": 1,
    "seq": 22,
    "siblings": [_REPLY_ID],
    "created_at": "2026-03-01T09:30:00Z",
    **_NOTHING_BESIDE,
    "finish_reason": "stop",
    "model": "openai/gpt-4o-mini",
    "source": "model",
    "citations": [{"number": 1, "faq": "01935f6e-0000-7e63-9f1e-3b1f4f3e2d10", "question": "Opening hours?"}],
    "usage": {"prompt_tokens": 240, "completion_tokens": 9, "estimated": False},
}

# --- asking

SEND = OpenApiExample("a new conversation", {"text": "When are you open?", "persona": "support"}, request_only=True)
GO_ON = OpenApiExample(
    "go on", {"text": "And on Sundays?", "conversation": _CONVERSATION_ID, "client_id": "web-7f3b"}, request_only=True
)
EXCHANGE = OpenApiExample(
    "the reply", {"conversation": CONVERSATION, "message": QUESTION, "reply": REPLY}, response_only=True
)
_HEADING = {"conversation": _CONVERSATION_ID, "reply": _REPLY_ID, "epoch": 1}
STREAM = OpenApiExample(
    "two events of a stream",
    f"id: 1-9\nevent: reply.delta\n"
    f"data: {json.dumps({'type': 'reply.delta', **_HEADING, 'seq': 9, 'text': 'From nine'})}\n\n"
    f"id: 1-22\nevent: reply.delta\n"
    f"data: {json.dumps({'type': 'reply.delta', **_HEADING, 'seq': 22, 'text': ' to five [1].'})}\n\n",
    response_only=True,
    media_type="text/event-stream",
)
ASK_REFUSALS: dict[Any, Any] = {
    **problem(404, "There is no such conversation, persona or message, or it is another person's: `not_found`."),
    **problem(409, "The reply before is under way still: `reply_in_progress`."),
    **problem(422, "The `client_id` or Idempotency-Key came with another request before: `idempotency_key_reused`."),
    **problem(
        503,
        "Asking is not possible right now: `unavailable`; or too many wait: `busy`, with `position`, `wait` where it "
        "is known, and `Retry-After`.",
    ),
}

# --- conversations

A_CONVERSATION = OpenApiExample("a conversation", CONVERSATION, response_only=True)
CONVERSATIONS = OpenApiExample("a page", {"items": [CONVERSATION], "next": None}, response_only=True)
NEW_CONVERSATION = OpenApiExample(
    "with a title", {"persona": "support", "title": "Opening hours", "metadata": {"ticket": "4711"}}, request_only=True
)
EMPTY_CONVERSATION = OpenApiExample(
    "a conversation", {**CONVERSATION, "active_leaf": None, "revision": 1}, response_only=True
)
REPLACE_CONVERSATION = OpenApiExample(
    "the whole",
    {"title": "Opening hours", "pinned": True, "archived": False, "metadata": {"ticket": "4711"}},
    request_only=True,
)
CHANGE_CONVERSATION = OpenApiExample("rename", {"title": "When they are open"}, request_only=True)
CLEAR = [
    OpenApiExample("all", {}, request_only=True),
    OpenApiExample("the archive", {"archived": True}, request_only=True),
]
CLEARED = OpenApiExample("cleared", {"deleted": 12}, response_only=True)
SELECT_BRANCH = OpenApiExample("a branch", {"message": _REPLY_ID}, request_only=True)

# --- messages

A_MESSAGE = OpenApiExample("a reply", REPLY, response_only=True)
MESSAGES = OpenApiExample("a page", {"items": [REPLY, QUESTION], "next": None}, response_only=True)
EDIT = OpenApiExample(
    "in other words", {"text": "When are you open today?", "client_id": "web-7f3c"}, request_only=True
)
ANEW = OpenApiExample("anew", {"client_id": "web-7f3d"}, request_only=True)
FEEDBACK = OpenApiExample("not helpful", {"value": -1, "comment": "This was last year."}, request_only=True)
FEEDBACK_GIVEN = OpenApiExample("feedback", {"value": -1, "comment": "This was last year."}, response_only=True)

# --- export

_EXPORTED = (
    *("id", "parent", "role", "status", "text", "created_at", "finish_reason", "code", "model"),
    *("feedback", "feedback_comment", "source", "citations", "usage"),
)
EXPORT = OpenApiExample(
    "a file",
    {
        "format": "nono.conversation/1",
        "exported_at": "2026-03-02T08:00:00Z",
        "branches": "active",
        "conversation": CONVERSATION,
        "messages": [{name: message[name] for name in _EXPORTED} for message in (QUESTION, REPLY)],
    },
    response_only=True,
    media_type="application/json",
)
EXPORTED_MARKDOWN = OpenApiExample(
    "a document",
    "# Opening hours\n\nSupport Assistant · 2026-03-02 08:00 UTC\n\n## You · 2026-03-01 09:30 UTC\n\n"
    "> When are you open?\n\n## Support Assistant · 2026-03-01 09:30 UTC\n\n> From nine to five [1].\n\n"
    "Sources:\n\n- \\[1\\] Opening hours?\n",
    response_only=True,
    media_type="text/markdown",
)
