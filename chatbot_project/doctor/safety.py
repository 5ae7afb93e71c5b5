"""Secrets that can be guessed, and settings that production must not have."""

import stat
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.http.request import validate_host

from chatbot_project.checks import INSECURE_KEYS, SIGNING_KEY_LENGTH
from chatbot_project.doctor.registry import Finding, Findings, Request, check, failed, ok, skipped, warning
from chatbot_project.doctor.running import in_thread

LEAST_KEY, LEAST_KINDS, LEAST_PASSWORD = 50, 5, 12  # characters; different ones; characters
_MAKE = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"


@check("secrets", "Secrets cannot be guessed")
async def examine_secrets(request: Request) -> Findings:
    problems = list(_weak())
    return problems or ok("All are long, various, and each used once.")


def _weak() -> Iterator[Finding]:
    """What is weak, by the name of its variable; never the value."""
    tell = warning if settings.IS_LOCAL else failed
    if settings.SECRET_KEY in INSECURE_KEYS or settings.SECRET_KEY.startswith("django-insecure-"):
        yield tell(
            "SECRET_KEY is the one of the source.", f"Set SECRET_KEY to what this prints: {_MAKE}", part="SECRET_KEY"
        )
    elif _is_weak(settings.SECRET_KEY, LEAST_KEY if not settings.IS_LOCAL else SIGNING_KEY_LENGTH):
        yield tell(
            "SECRET_KEY is short or monotonous.", f"Set SECRET_KEY to what this prints: {_MAKE}", part="SECRET_KEY"
        )
    lists = {
        "JWT_SIGNING_KEYS": settings.JWT_SIGNING_KEYS,
        "AUDIT_SIGNING_KEYS": settings.AUDIT_SIGNING_KEYS,
        "METRICS_TOKEN": [settings.METRICS_TOKEN],
    }
    for name, keys in lists.items():
        if any(key and _is_weak(key, SIGNING_KEY_LENGTH) for key in keys):
            yield tell(
                f"{name} holds a short or monotonous secret.", f"Replace it by what this prints: {_MAKE}", part=name
            )
    used = [settings.SECRET_KEY, *(key for keys in lists.values() for key in keys if key)]
    if len(set(used)) < len(used):
        yield warning(
            "One secret has two purposes.",
            "Give SECRET_KEY, JWT_SIGNING_KEYS, AUDIT_SIGNING_KEYS and METRICS_TOKEN one each.",
            part="shared",
        )
    yield from _weak_passwords()
    file = settings.BASE_DIR / ".env"
    if file.is_file() and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH) and not settings.IS_LOCAL:
        yield warning("Other users of this machine can read .env.", "chmod 600 .env", part=".env")
    if (
        settings.METRICS_PORT
        and not settings.METRICS_TOKEN
        and settings.METRICS_BIND not in {"127.0.0.1", "::1", "localhost"}
    ):
        yield warning(
            "/metrics is open to the network without a token.",
            "Set METRICS_TOKEN, or METRICS_BIND=127.0.0.1",
            part="METRICS_BIND",
        )


def _is_weak(secret: str, least: int) -> bool:
    return len(secret) < least or len(set(secret)) < LEAST_KINDS


def _weak_passwords() -> Iterator[Finding]:
    for name, url in {"DATABASE_URL": settings.DATABASE_URL, "REDIS_URL": settings.REDIS_URL}.items():
        parts = urlsplit(url) if "://" in url else None
        if parts is None or not parts.hostname or parts.hostname in {"127.0.0.1", "::1", "localhost"}:
            continue  # a socket of this machine, or its loopback
        if len(parts.password or "") < LEAST_PASSWORD:
            yield warning(
                f"The password in {name} is short, or there is none.",
                f"Give it {LEAST_PASSWORD} or more random characters, there and at the server.",
                part=name,
            )


@check("production", "Settings are fit for production")
async def examine_production(request: Request) -> Findings:
    host = urlsplit(settings.BASE_URL).hostname or ""
    unreachable: list[Finding] = []
    if not validate_host(host, settings.ALLOWED_HOSTS):
        found = f"ALLOWED_HOSTS lacks {host}, the host of BASE_URL."
        unreachable = [failed(found, f"Add {host} to ALLOWED_HOSTS.", part="ALLOWED_HOSTS")]
    if settings.IS_LOCAL:
        return unreachable or skipped("NONO_ENV is local: set NONO_ENV=production for others to use it.")
    said = await in_thread(lambda: run_checks(include_deployment_checks=True))
    findings = [
        (failed if message.level >= ERROR else warning)(
            str(message.msg).splitlines()[0],
            str(message.hint or "See manage.py check --deploy."),
            part=str(message.id or ""),
        )
        for message in said
        if not message.is_silenced()
    ]
    return [*unreachable, *findings] or ok("HTTPS, hosts, DEBUG and all that manage.py check --deploy asks for.")
