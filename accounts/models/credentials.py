"""What people are signed in with: browsers' sessions, families of tokens, API keys, authenticator apps, and codes for
when a phone is lost."""

import binascii
from base64 import b64decode, b64encode
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models.people import User
from accounts.sealing import Unreadable, seal, unseal
from chatbot_project.lib.ids import uuid7

_SECRET = b"accounts.second_factor"


class BrowserSession(AbstractBaseSession):
    """A browser's session, which knows whose it is, so that a person can see theirs and end one (accounts/sessions.py).

    ``user`` is ``None`` while nobody is signed in there. It has no constraint in the database: a person who goes in the
    moment their session is stored must not make that fail.
    """

    user = models.ForeignKey(
        User, null=True, on_delete=models.CASCADE, db_constraint=False, related_name="browser_sessions"
    )
    last_seen_at = models.DateTimeField(default=now)

    @classmethod
    def get_session_store_class(cls) -> Any:
        from accounts.sessions import SessionStore  # which stores this model

        return SessionStore


class RefreshFamily(models.Model):
    """One sign-in of a program: the refresh tokens that follow from it, each of which replaces the one before.

    Only the newest is good; its random id is ``token_id``. An older one that comes back was stolen, or its successor
    was: the family is revoked. It also ends when the person's ``auth_epoch`` rises.
    """

    class Revoked(models.TextChoices):
        SIGNED_OUT = "signed_out", _("signed out")
        ENDED = "ended", _("ended by its person")
        REPLAYED = "replayed", _("a used token came back")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, db_index=False, related_name="refresh_families", verbose_name=_("person")
    )
    device = models.CharField(_("device"), max_length=60, blank=True)  # "Firefox on Linux": no more of the user agent
    auth_epoch = models.PositiveIntegerField(editable=False)
    second_factor = models.BooleanField(_("with second factor"), default=False, editable=False)
    token_id = models.UUIDField(editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    last_used_at = models.DateTimeField(_("last used"), default=now, editable=False)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=20, blank=True, choices=Revoked.choices)

    class Meta:
        verbose_name = _("token family")
        verbose_name_plural = _("token families")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "-last_used_at"], name="family_of_user"),  # somebody's sessions
            models.Index(fields=["expires_at"], name="family_age"),  # expiry
        ]

    def __str__(self) -> str:
        return str(self.pk)


class ApiKey(models.Model):
    """A key for programs of one person. Only a hash of it is kept; ``prefix`` is what its owner knows it by."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, db_index=False, related_name="api_keys", verbose_name=_("person")
    )
    name = models.CharField(_("name"), max_length=60)
    prefix = models.CharField(_("begins with"), max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256: the key is random, no password
    scopes = ArrayField(models.CharField(max_length=10), verbose_name=_("scopes"))  # of accounts.scopes.Scope
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "-id"], name="key_of_user"),  # somebody's keys, newest first
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @property
    def is_over(self) -> bool:
        """Whether it has run out."""
        return self.expires_at is not None and self.expires_at <= now()


class Authenticator(TOTPDevice):  # type: ignore[misc]  # django-otp ships no types
    """Somebody's authenticator app. django-otp checks its codes; the secret stands in ``key`` encrypted.

    Bound to its person: copied to another's row, it is unreadable.
    """

    class Meta:
        proxy = True

    def set_secret(self, secret: bytes) -> None:
        """Keep ``secret`` of at most 32 bytes, sealed under the present SECRET_KEY. Does not save."""
        self.key = seal_secret(secret, self.user_id)

    def verify_token(self, token: str) -> bool:
        """Whether the code is good now, once. Codes that came late, or a clock that does, move nothing: a code is good
        in its own half minute and in those beside it."""
        self.drift = 0
        return bool(super().verify_token(token))

    @property
    def bin_key(self) -> bytes:
        """The secret, as django-otp asks for it. Raises Unreadable."""
        return unseal_secret(self.key, self.user_id)


def seal_secret(secret: bytes, user_id: UUID) -> str:
    """An authenticator's secret as it is kept in the database: what the person's id opens again."""
    return b64encode(seal(secret, of=user_id, purpose=_SECRET)).decode()


def unseal_secret(sealed: str, user_id: UUID) -> bytes:
    """Raises Unreadable."""
    try:
        return unseal(b64decode(sealed, validate=True), of=user_id, purpose=_SECRET)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"no sealed secret of {user_id}") from error


class RecoveryCode(models.Model):
    """Stands in once for a code of somebody's authenticator. The row goes with its use; only a hash of it is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)  # SHA-256: the code is random, no password

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once"),  # also finds a code
        ]

    def __str__(self) -> str:
        return str(self.pk)
