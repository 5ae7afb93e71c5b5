"""What ``manage.py check`` refuses everywhere, and with ``--deploy`` in production, each with its id and its mend."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

SIGNING_KEY_LENGTH = 32
INSECURE_KEYS = {"", "insecure-local-key"}
TRANSLATOR_KEYS = {"llm": "", "deepl": "DEEPL_API_KEY", "google": "GOOGLE_TRANSLATE_API_KEY"}


@register
def check_translator(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The translation service is one there is, and has its key."""
    kind = settings.TRANSLATOR
    if kind not in TRANSLATOR_KEYS:
        hint = f"Set TRANSLATOR to one of {', '.join(TRANSLATOR_KEYS)}."
        return [Error("TRANSLATOR names no translation service.", hint=hint, id="nono.E020")]
    key = TRANSLATOR_KEYS[kind]
    if key and not getattr(settings, key):
        return [Error(f"{key} is not set.", hint=f"TRANSLATOR={kind} needs it.", id="nono.E021")]
    return []


@register(Tags.security, deploy=True)
def check_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Settings that production must not guess."""
    problems = [
        (settings.IS_LOCAL, "nono.E001", "NONO_ENV is local.", "Set NONO_ENV=production."),
        (
            settings.SECRET_KEY in INSECURE_KEYS,
            "nono.E002",
            "SECRET_KEY is not set.",
            "Set SECRET_KEY to 50 or more random characters.",
        ),
        (
            not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS,
            "nono.E003",
            "ALLOWED_HOSTS is empty or allows every host.",
            "Set ALLOWED_HOSTS to the host names that this site is reached by.",
        ),
        (not settings.DATABASE_URL, "nono.E004", "DATABASE_URL is not set.", "Set it to postgresql://…"),
        (not settings.REDIS_URL, "nono.E005", "REDIS_URL is not set.", "Set it to redis://… or rediss://…"),
        (
            not settings.BASE_URL.startswith("https://"),
            "nono.E006",
            "BASE_URL is not an https address.",
            "Set BASE_URL to the address people open, such as https://chat.example.org.",
        ),
        (
            any(len(key) < SIGNING_KEY_LENGTH for key in settings.JWT_SIGNING_KEYS),
            "nono.E009",
            "JWT_SIGNING_KEYS holds a short key.",
            f"Give each {SIGNING_KEY_LENGTH} or more random characters, or leave it unset to sign by SECRET_KEY.",
        ),
        (
            not settings.AUDIT_SIGNING_KEYS
            or any(len(key) < SIGNING_KEY_LENGTH for key in settings.AUDIT_SIGNING_KEYS),
            "nono.E010",
            "AUDIT_SIGNING_KEYS is not set, or holds a short key.",
            f"Set it to {SIGNING_KEY_LENGTH} or more random characters, kept where the database's backups are not.",
        ),
        (
            0 < len(settings.METRICS_TOKEN) < SIGNING_KEY_LENGTH,
            "nono.E030",
            "METRICS_TOKEN is short.",
            f"Give it {SIGNING_KEY_LENGTH} or more random characters, or leave it unset.",
        ),
        (settings.DEBUG, "nono.E007", "DEBUG is on.", "Unset DEBUG."),
        (
            settings.DEFAULT_MODEL.partition("/")[0] not in settings.LLM_PROVIDERS,
            "nono.E008",
            "DEFAULT_MODEL names a provider that is not configured.",
            "Set DEFAULT_MODEL=provider/name and that provider's variable (OPENAI_API_KEY, OLLAMA_HOST, …).",
        ),
    ]
    return [Error(text, hint=hint, id=number) for wrong, number, text, hint in problems if wrong]
