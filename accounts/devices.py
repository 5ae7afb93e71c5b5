"""Devices from which an account was signed in to before. They are let past the limits that strangers share.

One long-lived signed cookie holds a random name of the device and fingerprints of the accounts. It grants nothing by
itself: the password is still asked for.
"""

import re
import secrets
from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

from accounts.models import User, normalise_address
from chatbot_project.lib.text import clean_text, shorten

COOKIE = "nono_device"
MAX_AGE = 400 * 24 * 3600  # seconds: as long as browsers keep a cookie
ACCOUNTS_KEPT = 5
LABEL_LENGTH = 60
_SALT = "accounts.device"

# What a user agent names, the first that it holds: browsers name the ones that they descend from, too.
_PROGRAMS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Macintosh", "CrOS", "Linux")


@dataclass(frozen=True, slots=True)
class Device:
    """``name`` is random and the browser's own; ``accounts`` are fingerprints, newest first."""

    name: str
    accounts: tuple[str, ...]

    def knows(self, address: str) -> bool:
        return account_fingerprint(address) in self.accounts


def account_fingerprint(address: str) -> str:
    """A stand-in for an address in cookies and in Redis: equal for equal addresses, and telling nothing else."""
    return salted_hmac(_SALT, normalise_address(address), algorithm="sha256").hexdigest()[:32]


def device_of(request: HttpRequest) -> Device | None:
    """The device that the request's cookie names, or ``None`` where it has none or a forged one."""
    raw = request.COOKIES.get(COOKIE, "")
    try:
        content = signing.loads(raw, salt=_SALT, max_age=MAX_AGE) if raw else None
    except signing.BadSignature:
        return None
    if not isinstance(content, list) or len(content) < 2:
        return None
    return Device(content[0], tuple(content[1:]))


def remember_device(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Set the cookie that lets this browser past the shared limits of ``user``'s account from now on."""
    if not user.email:
        return
    known = device_of(request)
    mine = account_fingerprint(user.email)
    others = [account for account in known.accounts if account != mine] if known else []
    content = [known.name if known else secrets.token_urlsafe(12), mine, *others][: ACCOUNTS_KEPT + 1]
    response.set_cookie(
        COOKIE,
        signing.dumps(content, salt=_SALT),
        max_age=MAX_AGE,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )


def device_label(request: HttpRequest, given: str = "") -> str:
    """A few words by which a person knows a sign-in again: what the program calls itself, or program and system.

    No version and nothing else of the user agent is kept, which would tell people apart.
    """
    if given := shorten(clean_text(given), LABEL_LENGTH):
        return given
    agent = request.META.get("HTTP_USER_AGENT", "")[:500]
    product = re.match(r"[A-Za-z][A-Za-z0-9 ._-]{0,30}(?=/)", agent)
    program = next((name for mark, name in _PROGRAMS if mark in agent), product.group() if product else "")
    system = next((name for name in _SYSTEMS if name in agent), "")
    return f"{program} ({system})" if program and system else program or system
