"""Examples of requests and answers, for the API's documentation."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from chatbot_project.lib.api.errors import PROBLEM

_ID = "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10"
ME: dict[str, Any] = {
    "id": _ID,
    "email": "ada@example.org",
    "email_verified": True,
    "username": "ada",
    "role": "user",
    "language": "en",
    "timezone": "Europe/Berlin",
    "is_guest": False,
    "created_at": "2026-03-01T09:30:00Z",
}
PAIR = OpenApiExample(
    "signed in",
    {
        "access": "eyJhbGciOiJIUzI1NiIs….eyJ0b2tlbl90eXBlIjoiYWNj….Zx3mVg",
        "refresh": "eyJhbGciOiJIUzI1NiIs….eyJ0b2tlbl90eXBlIjoicmVm….kQ8wTA",
        "token_type": "Bearer",
        "expires_in": 1800,
        "refresh_expires_in": 604800,
        "user": ME,
    },
    response_only=True,
)
_PASSWORD = "correct horse battery"  # noqa: S105 - of the documentation
REGISTER = OpenApiExample(
    "sign up",
    {
        "email": "ada@example.org",
        "password": _PASSWORD,
        "username": "ada",
        "consents": [{"purpose": "improvement", "granted": True, "version": 1}],
    },
    request_only=True,
)
MAILED = OpenApiExample(
    "mailed", {"detail": "We have mailed you a link that confirms your address."}, response_only=True
)
VERIFY = OpenApiExample(
    "confirm", {"token": "WyIwMTkzNWY2ZS03YzFhIl0:1tq9:3Jx…", "password": _PASSWORD}, request_only=True
)
_LOGIN = {"email": "ada@example.org", "password": _PASSWORD}
LOGIN = [
    OpenApiExample("sign in", {**_LOGIN, "device": "backup script"}, request_only=True),
    OpenApiExample("with a second factor", {**_LOGIN, "code": "123456"}, request_only=True),
]
GUEST = OpenApiExample("a guest", {"device": "kiosk"}, request_only=True)
_REFRESH = "eyJhbGciOiJIUzI1NiIs….eyJ0b2tlbl90eXBlIjoicmVm….kQ8wTA"
REFRESH = OpenApiExample("the next pair", {"refresh": _REFRESH}, request_only=True)
LOGOUT = [
    OpenApiExample("this session", {}, request_only=True),
    OpenApiExample("every session", {"all": True}, request_only=True),
    OpenApiExample("with an access token that has run out", {"refresh": _REFRESH}, request_only=True),
]
ADDRESS = OpenApiExample("forgotten", {"email": "ada@example.org"}, request_only=True)
RESET_MAILED = OpenApiExample(
    "mailed", {"detail": "If this address has an account, we have mailed it a link."}, response_only=True
)
CONFIRM_RESET = OpenApiExample(
    "a new password", {"token": "WyIwMTkzNWY2ZS03YzFhIl0:1tq9:3Jx…", "new_password": _PASSWORD}, request_only=True
)
CHANGE_PASSWORD = OpenApiExample(
    "change", {"password": "the old one", "new_password": _PASSWORD, "revoke_api_keys": False}, request_only=True
)
OWN_PASSWORD: dict[str, Any] = {"password": _PASSWORD}
ME_ANSWER = OpenApiExample("me", ME, response_only=True)
CHANGE_ME = OpenApiExample("in German", {"language": "de", "timezone": "Europe/Berlin"}, request_only=True)
_KEY: dict[str, Any] = {
    "id": _ID,
    "name": "backup script",
    "prefix": "nono_sk_Zx3m",
    "scopes": ["read"],
    "created_at": "2026-03-01T09:30:00Z",
    "expires_at": None,
    "last_used_at": None,
}
KEYS = OpenApiExample("keys", {"items": [_KEY], "next": None}, response_only=True)
NEW_KEY = OpenApiExample(
    "a key that only reads", {"name": "backup script", "scopes": ["read"], "expires_at": None}, request_only=True
)
MADE_KEY = OpenApiExample("the one time it is shown", {**_KEY, "key": "nono_sk_Zx3mVgkQ8wTA…"}, response_only=True)
_SIGN_IN: dict[str, Any] = {
    "id": _ID,
    "kind": "browser",
    "device": "Firefox (Linux)",
    "created_at": "2026-03-01T09:30:00Z",
    "last_used_at": "2026-03-02T10:00:00Z",
    "expires_at": "2026-03-15T09:30:00Z",
    "current": True,
}
SIGN_INS = OpenApiExample("sessions", {"items": [_SIGN_IN], "next": None}, response_only=True)
_POLICY: dict[str, Any] = {
    "purpose": "improvement",
    "version": 1,
    "language": "en",
    "title": "Let editors learn from questions that found no answer",
    "text": "When the assistant does not know an answer, …",
    "text_hash": "5f0e9d7c…",
}
_CONSENT: dict[str, Any] = {
    **_POLICY,
    "granted": True,
    "is_open": False,
    "decided_version": 1,
    "decided_at": "2026-03-01T09:30:00Z",
    "decided_in": "api",
}
POLICIES = OpenApiExample("policies", {"items": [_POLICY], "next": None}, response_only=True)
CONSENTS = OpenApiExample("consents", {"items": [_CONSENT], "next": None}, response_only=True)
CONSENT = OpenApiExample("consent", _CONSENT, response_only=True)
AGREE = OpenApiExample("agree", {"granted": True, "version": 1}, request_only=True)
WITHDRAW = OpenApiExample("withdraw", {"granted": False}, request_only=True)
_EXPORT: dict[str, Any] = {
    "id": _ID,
    "state": "ready",
    "created_at": "2026-03-01T09:30:00Z",
    "finished_at": "2026-03-01T09:30:04Z",
    "expires_at": "2026-03-08T09:30:04Z",
    "size": 48213,
}
EXPORT_READY = OpenApiExample("ready", _EXPORT, response_only=True)
EXPORTS = OpenApiExample("copies", {"items": [_EXPORT], "next": None}, response_only=True)
EXPORT_WAITING = OpenApiExample(
    "asked for",
    {**_EXPORT, "state": "waiting", "finished_at": None, "expires_at": None, "size": None},
    response_only=True,
)
ERASURE = OpenApiExample(
    "closed",
    {"id": _ID, "state": "waiting", "created_at": "2026-03-01T09:30:00Z", "due_at": "2026-03-15T09:30:00Z"},
    response_only=True,
)
_PLANNED = {"model": "conversations.Message", "about": "Questions and replies of all branches", "erasure": "delete"}
PLAN = OpenApiExample("plan", {"items": [{**_PLANNED, "rows": 214}], "next": None}, response_only=True)
CANCEL = OpenApiExample("cancel", {"email": "ada@example.org", "password": _PASSWORD}, request_only=True)
RESTRICTED = OpenApiExample(
    "paused",
    {"restricted": True, "since": "2026-03-01T09:30:00Z", "by_staff": False, "ends_at": None},
    response_only=True,
)
TICKET = OpenApiExample(
    "ticket",
    {
        "ticket": "Zx3mVgkQ8wTA",
        "expires_in": 30,
        "url": "wss://chat.example.org/ws/chat/?ticket=Zx3mVgkQ8wTA",
    },
    response_only=True,
)


def problem(status: int, description: str) -> dict[Any, Any]:
    """An answer of ``extend_schema`` in the one shape of errors; ``description`` names its code."""
    return {(status, PROBLEM): OpenApiResponse({"$ref": "#/components/schemas/Problem"}, description)}
