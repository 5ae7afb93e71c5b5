"""Tells of what was examined: to people, and to machines. No secret of the settings is in either."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

from chatbot_project.doctor.registry import Finding
from chatbot_project.doctor.running import Examined
from chatbot_project.lib.redaction import without_tokens

LEAST_SECRET = 6  # characters: hiding shorter ones would hide ordinary words
ORDER = ("failed", "warning", "ok", "skipped")


def without_secrets(examined: Iterable[Examined]) -> list[Examined]:
    """The same with each secret of the settings cut out, should the message of some server repeat one."""
    hidden = secrets()
    return [replace(each, findings=tuple(_hidden(finding, hidden) for finding in each.findings)) for each in examined]


def _hidden(finding: Finding, hidden: Sequence[str]) -> Finding:
    return replace(finding, found=_without(finding.found, hidden), fix=_without(finding.fix, hidden))


def _without(text: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, "…")
    return without_tokens(text)


def secrets() -> list[str]:
    """Everything in the settings that opens something, the longest first."""
    addresses = (settings.DATABASE_URL, settings.REDIS_URL)
    passwords = [urlsplit(url).password or "" for url in addresses if "://" in url]
    found = {
        settings.SECRET_KEY,
        *settings.SECRET_KEY_FALLBACKS,
        *settings.JWT_SIGNING_KEYS,
        *settings.AUDIT_SIGNING_KEYS,
        settings.METRICS_TOKEN,
        settings.EMAIL_HOST_PASSWORD,
        settings.DEEPL_API_KEY,
        settings.GOOGLE_TRANSLATE_API_KEY,
        *(provider.api_key for provider in settings.LLM_PROVIDERS.values()),
        *passwords,
        *map(unquote, passwords),
    }
    return sorted((text for text in found if len(text) >= LEAST_SECRET), key=len, reverse=True)


def worst(examined: Iterable[Examined]) -> str:
    """The gravest status: ``failed``, ``warning``, or else ``ok``."""
    statuses = {finding.status for each in examined for finding in each.findings}
    return next((status for status in ("failed", "warning") if status in statuses), "ok")


def as_json(examined: Sequence[Examined], seconds: float) -> str:
    """One object: ``status``, ``seconds``, and a list of ``checks`` with an entry for each finding."""
    checks: list[dict[str, Any]] = [
        {
            "name": each.check.name,
            "part": finding.part,
            "title": each.check.title,
            "status": finding.status,
            "found": finding.found,
            "fix": finding.fix,
            "seconds": round(each.seconds, 3),
        }
        for each in examined
        for finding in each.findings
    ]
    return json.dumps({"status": worst(examined), "seconds": round(seconds, 3), "checks": checks}, indent=2)


def summary(examined: Iterable[Examined]) -> str:
    """Such as ``1 failed, 2 warning, 12 ok``."""
    statuses = [finding.status for each in examined for finding in each.findings]
    return ", ".join(f"{statuses.count(status)} {status}" for status in ORDER if status in statuses)
