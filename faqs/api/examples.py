"""Examples of requests and answers about the knowledge, for the API's documentation."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"
_OTHER_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d11"
_QUESTION, _ANSWER = "How do I reset my password?", "Use the link **Forgot password**."
_FAQ: dict[str, Any] = {
    "id": _ID,
    "question": _QUESTION,
    "answer": _ANSWER,
    "language": "en",
    "category": "accounts",
    "tags": ["password"],
    "version": 2,
    "updated_at": "2026-03-01T09:30:00Z",
}
_DETAIL: dict[str, Any] = {
    "answer_html": "<p>Use the link <strong>Forgot password</strong>.</p>\n",
    "translations": [{"id": _OTHER_ID, "language": "de", "question": "Wie setze ich mein Passwort zurück?"}],
}
_FOR_EDITORS: dict[str, Any] = {
    "status": "draft",
    "visibility": "guests",
    "valid_from": None,
    "valid_until": None,
    "published_at": None,
    "owner": "ada",
    "drafted_by": "",
}
_NEW: dict[str, Any] = {
    "question": _QUESTION,
    "answer": _ANSWER,
    "language": "en",
    "category": "accounts",
    "tags": ["password"],
    "visibility": "guests",
    "phrasings": ["I forgot my password"],
}
FAQS = OpenApiExample("FAQs", {"items": [_FAQ], "next": None}, response_only=True)
FAQ = OpenApiExample("an FAQ", {**_FAQ, **_DETAIL}, response_only=True)
EDITED_FAQ = OpenApiExample(
    "as editors see it",
    {
        **_FAQ,
        **_FOR_EDITORS,
        **_DETAIL,
        "translations": [{**_DETAIL["translations"][0], "status": "published"}],
        "phrasings": ["I forgot my password"],
    },
    response_only=True,
)
NEW_FAQ = OpenApiExample("an FAQ", _NEW, request_only=True)
EDIT = OpenApiExample("another answer", {"answer": "Call us.", "note": "The link is gone."}, request_only=True)
PHRASING = OpenApiExample("another way to ask it", {"text": "I can't sign in any more"}, request_only=True)
OPINION = OpenApiExample("it did not help", {"helpful": False, "comment": "There is no link."}, request_only=True)
GIVEN_OPINION = OpenApiExample(
    "kept",
    {"helpful": False, "comment": "There is no link.", "version": 2, "created_at": "2026-03-01T09:30:00Z"},
    response_only=True,
)
FOUND = OpenApiExample(
    "a sure match",
    {
        "items": [
            {
                "id": _ID,
                "question": _QUESTION,
                "answer": _ANSWER,
                "language": "en",
                "category": "accounts",
                "version": 2,
                "score": 0.81,
                "confidence": 0.93,
                "phrasing": "I forgot my password",
            }
        ],
        "language": "en",
        "outside": 0.04,
        "below_floor": False,
    },
    response_only=True,
)
_LINE: dict[str, Any] = {
    "number": 2,
    "note": "Shorter",
    "author": "ada",
    "created_at": "2026-03-01T09:30:00Z",
}
VERSIONS = OpenApiExample("versions", {"items": [_LINE], "next": None}, response_only=True)
VERSION = OpenApiExample("a version", {**_LINE, **_NEW, "valid_from": None, "valid_until": None}, response_only=True)
RESTORE = OpenApiExample("back to version 1", {"number": 1}, request_only=True)
DIFF = OpenApiExample(
    "a tag more",
    {"old": "1", "new": "2", "changes": [{"name": "tags", "lines": [{"kind": "added", "text": "password"}]}]},
    response_only=True,
)
CSV = 'question,answer,category\r\n"How do I reset my password?","Use the link.","Accounts"\r\n'
FILE: dict[str, Any] = {"faqs": [{"question": _QUESTION, "answer": _ANSWER, "tags": ["password"]}]}
REPORT = OpenApiExample(
    "one new, one as it was",
    {
        "applied": True,
        "counts": {"created": 1, "changed": 0, "unchanged": 1, "refused": 0},
        "categories": ["Accounts"],
        "rows": [
            {"line": 2, "outcome": "created", "question": _QUESTION, "faq": None, "fields": [], "reason": ""},
            {"line": 3, "outcome": "unchanged", "question": "Where?", "faq": _ID, "fields": [], "reason": ""},
        ],
    },
    response_only=True,
)
_CATEGORY: dict[str, Any] = {
    "slug": "refunds",
    "name": "Refunds",
    "description": "Money back",
    "position": 0,
    "parent": "orders",
    "path": [{"slug": "orders", "name": "Orders"}, {"slug": "refunds", "name": "Refunds"}],
    "faqs": 7,
}
CATEGORY = OpenApiExample("a category", _CATEGORY, response_only=True)
CATEGORIES = OpenApiExample("categories", {"items": [_CATEGORY], "next": None}, response_only=True)
NEW_CATEGORY = OpenApiExample("below another", {"name": "Refunds", "parent": "orders"}, request_only=True)
MOVE_CATEGORY = OpenApiExample("to the top", {"parent": None}, request_only=True)
_GAP: dict[str, Any] = {
    "id": _ID,
    "question": "Do you ship to Norway?",
    "language": "en",
    "status": "open",
    "count": 12,
    "faq": None,
    "reason": "",
    "first_seen_at": "2026-03-01T09:30:00Z",
    "last_seen_at": "2026-03-14T18:05:00Z",
}
GAPS = OpenApiExample("gaps", {"items": [_GAP], "next": None}, response_only=True)
GAP = OpenApiExample(
    "a gap",
    {
        **_GAP,
        "questions": [
            {"text": "Do you deliver to Oslo?", "source": "below_floor", "created_at": "2026-03-14T18:05:00Z"}
        ],
    },
    response_only=True,
)
DISMISS = OpenApiExample("not ours", {"reason": "We do not ship at all."}, request_only=True)
