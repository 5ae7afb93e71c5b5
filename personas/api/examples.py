"""Examples of requests and answers about personas, for the API's documentation."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_PERSONA: dict[str, Any] = {
    "id": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10",
    "slug": "support",
    "name": "Support",
    "description": "Answers what customers ask.",
    "emoji": "🛟",
    "colour": "teal",
    "greeting": "Hello! What can I do for you?",
    "suggestions": ["How do I reset my password?"],
    "version": 3,
    "published_at": "2026-03-01T09:30:00Z",
}
_FOR_STAFF = {
    "state": "published",
    "visibility": "guests",
    "position": 0,
    "has_draft": True,
    "archived_at": None,
}
_HTML = {"greeting_html": "<p>Hello! What can I do for you?</p>\n"}
_CONTENT: dict[str, Any] = {
    "name": "Support",
    "description": "Answers what customers ask.",
    "emoji": "🛟",
    "colour": "teal",
    "greeting": "Hello! What can I do for you?",
    "suggestions": ["How do I reset my password?"],
    "system_prompt": "You answer customers of a book shop, in short and friendly sentences.",
    "model": "",
    "temperature": 0.3,
    "max_reply_tokens": 512,
    "context_budget": 3072,
    "visibility": "guests",
    "faq_mode": "context",
    "faq_categories": ["orders"],
    "unknown_offers": ["rephrase", "handover"],
    "contact": "",
    "personal_data": "outside",
    "flag_from": 0.5,
    "cache_hours": 0,
    "block_from": 0.9,
}
_LINE: dict[str, Any] = {
    "number": 3,
    "name": "Support",
    "author": "ada",
    "created_at": "2026-03-01T09:20:00Z",
    "published_at": "2026-03-01T09:30:00Z",
}
PERSONAS = OpenApiExample("personas", {"items": [_PERSONA], "next": None}, response_only=True)
PERSONA = OpenApiExample("a persona", {**_PERSONA, **_HTML}, response_only=True)
STAFF_PERSONA = OpenApiExample("as staff see it", {**_PERSONA, **_FOR_STAFF, **_HTML}, response_only=True)
NEW_PERSONA = OpenApiExample("a persona", {"slug": "support", "position": 0, **_CONTENT}, request_only=True)
PLACE = OpenApiExample("first", {"position": 0}, request_only=True)
EDIT = OpenApiExample("another temperature", {"temperature": 0.5}, request_only=True)
ROLL_BACK = OpenApiExample("back to version 2", {"number": 2}, request_only=True)
VERSION = OpenApiExample("a version", {**_LINE, **_CONTENT}, response_only=True)
DRAFT = OpenApiExample("a draft", {**_LINE, **_CONTENT, "number": None, "published_at": None}, response_only=True)
VERSIONS = OpenApiExample("versions", {"items": [_LINE], "next": None}, response_only=True)
DIFF = OpenApiExample(
    "another name",
    {
        "old": "2",
        "new": "3",
        "changes": [
            {
                "name": "name",
                "lines": [{"kind": "removed", "text": "Helper"}, {"kind": "added", "text": "Support"}],
            }
        ],
    },
    response_only=True,
)
