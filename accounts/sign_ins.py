"""Where a person is signed in: browsers and programs, and ending one of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _

from accounts.audit.recording import record_audit
from accounts.credentials import Credential, Kind
from accounts.families import end_family, live_families
from accounts.models import BrowserSession, User
from accounts.retention.policies import Class, kept_since
from accounts.sessions import DEVICE, SINCE
from accounts.sockets import announce_sign_out
from chatbot_project.lib.errors import NotFound

MOST = 100  # of either kind


@dataclass(frozen=True, slots=True)
class SignIn:
    """``current`` is the one that asks. An id says nothing about a session's key."""

    id: UUID
    kind: Literal["browser", "program"]
    device: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


def sign_ins_of(user: User, asking: Credential) -> list[SignIn]:
    """Those of ``user`` that have not ended, last used first. Two queries."""
    programs = (
        SignIn(
            id=family.pk,
            kind="program",
            device=family.device,
            created_at=family.created_at,
            last_used_at=family.last_used_at,
            expires_at=family.expires_at,
            current=asking.kind == Kind.FAMILY and asking.id == str(family.pk),
        )
        for family in live_families(user).order_by("-last_used_at")[:MOST]
    )
    return sorted([*_browsers(user, asking), *programs], key=lambda each: each.last_used_at, reverse=True)


def end_sign_in(*, user: User, sign_in_id: UUID) -> None:
    """End one of ``user``'s, with the sockets that it opened. Raises NotFound, also for another's."""
    if end_family(user=user, family_id=sign_in_id):
        return
    for session in _sessions(user):
        if _public_id(session) == sign_in_id:
            with transaction.atomic():
                session.delete()
                details = {"way": "page", "how": "ended"}
                record_audit(actor=user, action="sign_in.ended", obj=user, details=details)
            announce_sign_out(user)
            return
    raise NotFound(_("There is no such thing here."))


def _browsers(user: User, asking: Credential) -> Iterator[SignIn]:
    valid = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    for session in _sessions(user):
        content = session.get_decoded()
        stored = str(content.get(HASH_SESSION_KEY, ""))
        if not any(constant_time_compare(stored, each) for each in valid):
            continue  # of before the password changed: it signs nobody in any more
        since = content.get(SINCE)
        yield SignIn(
            id=_public_id(session),
            kind="browser",
            device=str(content.get(DEVICE, "")),
            created_at=datetime.fromtimestamp(since, UTC) if isinstance(since, int) else session.last_seen_at,
            last_used_at=session.last_seen_at,
            expires_at=session.expire_date,
            current=asking.kind == Kind.SESSION and asking.id == session.session_key,
        )


def _sessions(user: User) -> list[BrowserSession]:
    live = BrowserSession.objects.filter(
        user=user, expire_date__gt=timezone.now(), last_seen_at__gt=kept_since(Class.SESSION)
    )
    return list(live.order_by("-last_seen_at")[:MOST])


def _public_id(session: BrowserSession) -> UUID:
    return UUID(salted_hmac("accounts.sign-ins", session.session_key, algorithm="sha256").hexdigest()[:32])
