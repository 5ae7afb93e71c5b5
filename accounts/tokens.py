"""The signed tokens in mailed links. Each says what it is for, runs out, and works once.

Once, because a token carries a fingerprint of the account as it was, and what the link does changes the account.
Nothing in a token is readable that its reader should not see.
"""

from typing import Any
from uuid import UUID

from django.core import signing
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import SignUp, User
from accounts.retention.policies import Class, kept_since, period_of

RESET_SECONDS = 3600


def live_sign_ups() -> QuerySet[SignUp]:
    """Those whose time is not over: the others are no sign-ups any more, removed already or not."""
    return SignUp.objects.filter(created_at__gt=kept_since(Class.SIGN_UP))


def sign_up_token(sign_up: SignUp) -> str:
    return signing.dumps([str(sign_up.pk)], salt="accounts.sign-up")


def read_sign_up_token(token: str) -> UUID | None:
    """The id of the SignUp; its row is gone once the link was used."""
    content = _read(token, "accounts.sign-up", _confirming_seconds(), 1)
    return UUID(content[0]) if content else None


def email_token(user: User, address: str) -> str:
    """Shows that its reader reads ``address``, which becomes the address of ``user`` or is it already."""
    return signing.dumps([str(user.pk), address, _fingerprint(user)], salt="accounts.email")


def read_email_token(token: str, *, lock: bool = False) -> tuple[User, str] | None:
    """The person and the address; ``lock`` holds the person's row until the transaction ends."""
    content = _read(token, "accounts.email", _confirming_seconds(), 3)
    user = _unchanged(content[0], content[2], lock) if content else None
    return (user, content[1]) if content and user else None


def reset_token(user: User) -> str:
    return signing.dumps([str(user.pk), _fingerprint(user)], salt="accounts.reset")


def read_reset_token(token: str, *, lock: bool = False) -> User | None:
    """The person; ``lock`` holds their row until the transaction ends."""
    content = _read(token, "accounts.reset", RESET_SECONDS, 2)
    return _unchanged(content[0], content[1], lock) if content else None


def _confirming_seconds() -> int:
    return int(period_of(Class.SIGN_UP).total_seconds())


def _read(token: str, salt: str, seconds: int, length: int) -> list[Any] | None:
    try:
        content = signing.loads(token, salt=salt, max_age=seconds)
    except signing.BadSignature:
        return None
    return content if isinstance(content, list) and len(content) == length else None


def _fingerprint(user: User) -> str:
    """Changes with the password, the address, its verification, and whenever all sessions are ended."""
    state = f"{user.pk}:{user.password}:{user.email}:{user.email_verified_at}:{user.auth_epoch}"
    return salted_hmac("accounts.tokens", state, algorithm="sha256").hexdigest()[:32]


def _unchanged(user_id: str, fingerprint: str, lock: bool) -> User | None:
    people = User.objects.select_for_update() if lock else User.objects.all()
    user = people.filter(pk=user_id, is_active=True).first()
    return user if user and constant_time_compare(_fingerprint(user), fingerprint) else None
