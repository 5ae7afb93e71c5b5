"""Examples of answers, for the API's documentation."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"
_PERSON = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d11"
_ENDINGS = {"completed": 29, "stopped": 1, "interrupted": 0, "failed": 0, "live": 0}
_TOKENS = {"prompt": 18200, "completion": 6400, "estimated": 0}
_FEEDBACK = {"helpful": 5, "not_helpful": 1}
_FIGURES: dict[str, Any] = {
    "conversations": 12,
    "questions": 30,
    "active_people": 7,
    "replies": _ENDINGS,
    "tokens": _TOKENS,
    "feedback": _FEEDBACK,
    "sources": {"model": 14, "faq": 8, "faq_offline": 0, "unknown": 2},
    "first_token": {"replies": 30, "median": 0.412, "p95": 1.307},
}
_REPORT: dict[str, Any] = {
    "from": "2026-03-02",
    "to": "2026-03-02",
    "timezone": "Europe/Berlin",
    "totals": _FIGURES,
    "days": [{"day": "2026-03-02", "figures": _FIGURES}],
    "personas": [{"persona": "support", "name": "Support Assistant", "figures": _FIGURES}],
}
DASHBOARD = OpenApiExample(
    "one day",
    {
        **_REPORT,
        "counted_until": "2026-03-03T08:10:00Z",
        "personas": [
            {"persona": "support", "name": "Support Assistant", "suppressed": False, "figures": _FIGURES},
            {"persona": "pilot", "name": "Pilot", "suppressed": True, "figures": None},
        ],
    },
    response_only=True,
)
_ONE = {**_FIGURES, "active_people": 1}
PERSON = OpenApiExample(
    "one person's day",
    {
        **_REPORT,
        "user": {
            "id": _PERSON,
            "username": "ada",
            "role": "user",
            "is_guest": False,
            "created_at": "2026-03-01T09:30:00Z",
        },
        "totals": _ONE,
        "days": [{"day": "2026-03-02", "figures": _ONE}],
        "personas": [{"persona": "support", "name": "Support Assistant", "figures": _ONE}],
    },
    response_only=True,
)
CONVERSATIONS = OpenApiExample(
    "conversations",
    {
        "items": [
            {
                "id": _ID,
                "user": {"id": _PERSON, "username": "ada"},
                "persona": "support",
                "persona_version": 3,
                "created_at": "2026-03-02T10:00:00Z",
                "updated_at": "2026-03-02T10:12:00Z",
                "questions": 30,
                "replies": _ENDINGS,
                "tokens": _TOKENS,
                "feedback": _FEEDBACK,
            }
        ],
        "next": None,
    },
    response_only=True,
)
