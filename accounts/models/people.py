"""People, and sign-ups that wait for their address."""

import re
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.roles import STAFF_ROLES, Role, role_has_module, role_has_permission
from chatbot_project.lib.ids import uuid7

USERNAME_LENGTH = 40
username_characters = RegexValidator(r"\A[\w.-]+\Z", _("Letters, digits, dots, hyphens and underscores only."))


def normalise_address(address: str) -> str:
    """The one form in which an e-mail address is stored and looked up: stripped and in lower case."""
    return address.strip().lower()


class UserManager(BaseUserManager["User"]):
    def idle_guests(self, since: datetime) -> "models.QuerySet[User]":
        """Guests last seen before ``since``."""
        return self.filter(is_guest=True, last_seen_at__lt=since)

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email=normalise_address(email or ""))

    def free_username(self, wish: str) -> str:
        """``wish`` without what a username may not hold; with a random ending where it is taken."""
        wish = re.sub(r"[^\w.-]", "", wish)[: USERNAME_LENGTH - 10] or "user"
        name = wish
        while self.filter(username__iexact=name).exists():
            name = f"{wish}-{secrets.token_hex(3)}"
        return name

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A person with an address. Without ``password`` they can come in only after a reset."""
        email = normalise_address(email)
        if not email:
            raise ValueError("A user needs an e-mail address.")
        username = fields.pop("username", "") or self.free_username(email.partition("@")[0])
        user = self.model(email=email, username=username, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """An admin, with the address taken as verified. Recorded: it is power that nobody in the product gave."""
        from accounts.audit.recording import record_audit  # which records in models that stand on this one

        fields.setdefault("email_verified_at", now())
        with transaction.atomic(using=self._db):
            user = self.create_user(email, password, role=Role.ADMIN, **fields)
            record_audit(actor=None, action="user.created", obj=user, details={"role": str(user.role)})
        return user

    def create_guest(self, **fields: Any) -> "User":
        """A person without address or password, who lives as long as the browser's session."""
        guest = self.model(username=f"guest-{secrets.token_hex(6)}", is_guest=True, **fields)
        guest.set_unusable_password()
        guest.save(using=self._db)
        return guest


class User(AbstractBaseUser):
    """A person. ``is_active=False`` means suspended.

    ``auth_epoch`` is part of what every session stores: raising it ends them all at once, on the next request and in
    every open socket. Addresses are stored in lower case, which a constraint holds to, so that ``unique`` ignores case.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(_("e-mail"), unique=True, null=True, blank=True)
    username = models.CharField(_("username"), max_length=USERNAME_LENGTH, validators=[username_characters])
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.USER)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")  # "" follows the browser
    timezone = models.CharField(_("time zone"), max_length=64, blank=True, default="")  # "" is the installation's
    is_guest = models.BooleanField(_("guest"), default=False)
    is_active = models.BooleanField(_("active"), default=True, help_text=_("Off: suspended."))
    email_verified_at = models.DateTimeField(_("e-mail verified"), null=True, blank=True)
    second_factor_at = models.DateTimeField(_("second factor since"), null=True, blank=True, editable=False)
    # Since when nothing is done with what they hold (accounts/restriction.py), whether only staff may lift that, and
    # from when on it is lifted, once that was announced to the person.
    restricted_at = models.DateTimeField(_("processing paused since"), null=True, blank=True, editable=False)
    restricted_by_staff = models.BooleanField(default=False, editable=False)
    restriction_ends_at = models.DateTimeField(_("processing goes on from"), null=True, blank=True, editable=False)
    auth_epoch = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), default=now, editable=False)
    last_login = None  # last_seen_at says more

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                Lower("username"), name="username_unique", violation_error_message=_("That username is taken.")
            ),
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="email_lower_case"),
            models.CheckConstraint(
                condition=models.Q(is_guest=True, email=None) | models.Q(is_guest=False, email__isnull=False),
                name="guest_has_no_email",
            ),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="role_known"),
            models.CheckConstraint(condition=models.Q(is_guest=False) | models.Q(role=Role.USER), name="guest_is_user"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # expire_guests: guests by the time they were last seen
            models.Index(fields=["last_seen_at"], condition=models.Q(is_guest=True), name="guest_last_seen"),
            # restriction.lift_due: whose pause ends
            models.Index(
                fields=["restriction_ends_at"],
                condition=models.Q(restriction_ends_at__isnull=False),
                name="restriction_ending",
            ),
            # A worker's claim: whose questions wait until the pause is lifted. Next to nobody's row is in it.
            models.Index(fields=["id"], condition=models.Q(restricted_at__isnull=False), name="restricted_people"),
        ]

    def __str__(self) -> str:
        return self.username

    #: Whether who is here has shown what their role takes: not with an API key without the scope ``staff``, and not
    #: without the second factor where their role asks for one. Without, they are as anybody else. No columns.
    with_role = True
    lacks_second_factor = False

    @property
    def is_staff(self) -> bool:
        return self.is_active and self.with_role and self.role in STAFF_ROLES

    @property
    def is_superuser(self) -> bool:
        return self.is_active and self.with_role and self.role == Role.ADMIN

    @property
    def socket_group(self) -> str:
        """The channel-layer group that all sockets of this person listen to."""
        return f"user.{self.pk.hex}"

    def has_perm(self, perm: str, obj: object | None = None) -> bool:
        return self.is_active and self.with_role and role_has_permission(self.role, perm)

    def has_perms(self, perm_list: Iterable[str], obj: object | None = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.with_role and role_has_module(self.role, app_label)

    def get_session_auth_hash(self) -> str:
        """What a session must carry to be this person's: it changes with the password and with ``auth_epoch``."""
        return self._session_hash(None)

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        for secret in settings.SECRET_KEY_FALLBACKS:
            yield self._session_hash(secret)

    def _session_hash(self, secret: str | bytes | None) -> str:
        state = f"{self.pk}:{self.auth_epoch}:{self.password}"
        return salted_hmac("accounts.User.session", state, secret=secret, algorithm="sha256").hexdigest()


class SignUp(models.Model):
    """A sign-up that is no account yet: it becomes one when its address is verified or, where that is not required,
    when it is first signed in to.

    Signing up always writes one of these and never looks at who exists, so its answer cannot tell. The row goes when
    its address is verified, and with it the mailed link.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField()
    username = models.CharField(max_length=USERNAME_LENGTH, blank=True)
    password = models.CharField(max_length=128)
    language = models.CharField(max_length=10, blank=True)
    # What was said to each policy that was shown: {purpose: {granted, version, language}}.
    consents = models.JSONField(default=dict)
    guest = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")  # who signed up, if a guest
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="sign_ups")  # what it has become
    created_at = models.DateTimeField(default=now)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["email", "-created_at"], name="sign_up_newest"),  # signing in: newest of an address
            models.Index(fields=["created_at"], name="sign_up_age"),  # expiry
        ]

    def __str__(self) -> str:
        return str(self.pk)
