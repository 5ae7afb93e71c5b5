"""Keys for programs that act for a person for long. Each is shown once; only its hash is kept."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit.recording import record_audit
from accounts.models import ApiKey, User
from accounts.scopes import Scope
from accounts.second_factor import SecondFactorNeeded, is_on, is_required
from accounts.sockets import announce_sign_out
from chatbot_project.lib.errors import ApplicationError, NotFound

PREFIX = "nono_sk_"
SHOWN = len(PREFIX) + 4  # characters by which its owner knows a key
MOST = 25  # live keys of one person
NAME_LENGTH = 60
USED_EVERY = timedelta(minutes=1)
_LENGTH = len(PREFIX) + 43


def live_keys(user: User) -> "models.QuerySet[ApiKey]":
    """The keys of ``user`` that have not been revoked, those that have run out included, newest first."""
    return ApiKey.objects.filter(user=user, revoked_at=None).order_by("-id")


def own_key(*, user: User, key_id: UUID) -> ApiKey:
    """A live key of ``user``. Raises NotFound."""
    key = live_keys(user).filter(pk=key_id).first()
    if key is None:
        raise NotFound(_("There is no such thing here."))
    return key


def create_key(
    *, user: User, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody can read again.

    Raises ApplicationError ``account_needed`` (403) for a guest, ``too_many_keys`` (409) beyond 25, and
    SecondFactorNeeded (403) for the scope ``staff`` where the role asks for a second factor that is not set up.
    """
    if Scope.STAFF in (scopes := set(scopes)) and is_required(user) and not is_on(user):
        raise SecondFactorNeeded
    if user.is_guest:
        raise ApplicationError("account_needed", _("You need an account for this."), status=403)
    text = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # of two at once, the second counts the first
        if live_keys(user).count() >= MOST:
            raise ApplicationError("too_many_keys", _("Revoke a key before you make another one."), status=409)
        key = ApiKey.objects.create(
            user=user,
            name=name,
            prefix=text[:SHOWN],
            digest=_digest(text),
            scopes=sorted(scopes),
            expires_at=expires_at,
        )
        record_audit(actor=user, action="key.created", obj=key, subject=user, details={"scopes": key.scopes})
    return key, text


def revoke_key(*, user: User, key_id: UUID) -> None:
    """End a key of ``user`` for good, with the sockets that it opened. Raises NotFound."""
    if not _revoke(user, live_keys(user).filter(pk=key_id)):
        raise NotFound(_("There is no such thing here."))


def revoke_keys(*, user: User) -> int:
    """End all keys of ``user``. Returns how many there were."""
    return _revoke(user, live_keys(user))


def _revoke(user: User, keys: "models.QuerySet[ApiKey]") -> int:
    with transaction.atomic():
        revoked = list(keys.select_for_update())
        keys.model.objects.filter(pk__in=[key.pk for key in revoked]).update(revoked_at=timezone.now())
        for key in revoked:
            record_audit(actor=user, action="key.revoked", obj=key, subject=user)
        if revoked:
            transaction.on_commit(partial(announce_sign_out, user))
    return len(revoked)


def find_key(text: str) -> ApiKey | None:
    """The key with that text and its person, if both may still be used. One query; notes the use once a minute, and
    records the first of a day (UTC)."""
    if not text.startswith(PREFIX) or len(text) != _LENGTH:
        return None
    now = timezone.now()
    key = (
        ApiKey.objects.select_related("user")
        .filter(Q(expires_at=None) | Q(expires_at__gt=now), digest=_digest(text), revoked_at=None)
        .filter(user__is_active=True)
        .first()
    )
    if key is not None and (key.last_used_at is None or now - key.last_used_at >= USED_EVERY):
        _note_use(key, now)
    return key


def _note_use(key: ApiKey, now: datetime) -> None:
    """Of several uses at once, one notes it."""
    before = key.last_used_at
    with transaction.atomic():
        noted = ApiKey.objects.filter(pk=key.pk, last_used_at=before).update(last_used_at=now)
        if noted and (before is None or before.astimezone(UTC).date() != now.astimezone(UTC).date()):
            record_audit(actor=key.user, action="key.used", obj=key, subject=key.user)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
