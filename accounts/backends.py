"""Signing in with an e-mail address and a password, for every page that asks for them, the admin's included."""

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import check_password, make_password
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import limits, services, tokens
from accounts.models import OutgoingMail, SignUp, User, normalise_address

# What a password is checked against where there is no account: the same work as where there is one.
_nobody = SimpleLazyObject(lambda: make_password("nobody has this password"))


class EmailBackend(BaseBackend):
    """Knows people by their address, without regard to case."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **fields: Any
    ) -> User | None:
        """The person, or ``None`` for any reason whatever: unknown, wrong, suspended, not verified.

        Whoever the address belongs to, the same queries are made and one password is hashed. Raises TooManyTries (429),
        or ``unavailable`` (503) while tries cannot be counted.
        """
        address = normalise_address(username or fields.get("email") or "")
        if not address or not password:
            return None
        user = User.objects.filter(email=address).first()
        waiting = tokens.live_sign_ups().filter(email=address, user=None).order_by("-created_at").first()
        if settings.REQUIRE_VERIFIED_EMAIL or user:
            waiting = None
        # A try is taken before the password is looked at, so that no number of tries at once gets past.
        buckets = limits.sign_in_buckets(request or HttpRequest(), address)
        limits.take(buckets)
        if not self._is_right(password, user, waiting):
            _record_failure(user, "password" if user or waiting else "unknown")
            return None
        limits.give_back(buckets)
        if waiting:
            user = services.complete_sign_up(waiting.pk, verified=False)
        if user and settings.REQUIRE_VERIFIED_EMAIL and not user.email_verified_at:
            services.queue_mail(kind=OutgoingMail.Kind.VERIFY_EMAIL, to=address, user=user)
            _record_failure(user, "unverified")
            return None
        if user and not user.is_active:
            if request is not None:
                request.closed_account = user  # type: ignore[attr-defined]  # who may cancel its erasure
            _record_failure(user, "suspended")
            return None
        return user

    def _is_right(self, password: str, user: User | None, waiting: SignUp | None) -> bool:
        account = user or waiting
        encoded = account.password if account else str(_nobody)
        return check_password(password, encoded, self._rehash(user) if user else None) and account is not None

    def _rehash(self, user: User) -> Any:
        """Store the password anew where the hasher's cost has risen since. Sessions made before end with it."""

        def store(password: str) -> None:
            user.password = make_password(password)
            user.save(update_fields=["password"])

        return store

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()


def _record_failure(user: User | None, why: str) -> None:
    """That somebody, who need not be ``user``, did not get in. Which address was tried is not kept."""
    services.record_audit(actor=None, action="sign_in.failed", obj=user or User, details={"why": why})


def is_own_password(request: HttpRequest, user: User, password: str) -> bool:
    """Whether ``password`` is the person's own. Counts as a try to sign in, and raises as that does."""
    return authenticate(request, username=user.email, password=password) == user


def is_chosen_password(request: HttpRequest, sign_up: SignUp, password: str) -> bool:
    """Whether ``password`` is the one chosen when signing up, or that of the account since. Counts as a try to sign in.

    Raises TooManyTries (429) or ``unavailable`` (503).
    """
    buckets = limits.sign_in_buckets(request, sign_up.email)
    limits.take(buckets)
    encoded = sign_up.user.password if sign_up.user else sign_up.password
    if not check_password(password, encoded):
        _record_failure(sign_up.user, "password")
        return False
    limits.give_back(buckets)
    return True
