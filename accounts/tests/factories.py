"""People for tests. Without ``password`` they have none, which spares the hashing."""

from itertools import count
from typing import Any

from django.utils import timezone

from accounts.models import Consent, Purpose, User
from accounts.privacy import consents
from accounts.privacy.policies import policy_of
from accounts.roles import Role

PASSWORD = "correct horse battery"
_number = count(1)


def make_user(email: str = "", password: str | None = None, **fields: Any) -> User:
    """A person with a verified address; ``email_verified_at=None`` for one without."""
    number = next(_number)
    fields.setdefault("email_verified_at", timezone.now())
    fields.setdefault("username", f"person-{number}")
    return User.objects.create_user(email or f"person-{number}@example.org", password, **fields)


def make_moderator(**fields: Any) -> User:
    return make_user(role=Role.MODERATOR, **fields)


def make_admin(**fields: Any) -> User:
    return make_user(role=Role.ADMIN, **fields)


def make_guest(**fields: Any) -> User:
    return User.objects.create_guest(**fields)


def agree(person: User, purpose: str = Purpose.IMPROVEMENT) -> User:
    """``person`` agrees to the policy in force."""
    version = policy_of(purpose).version
    consents.decide(user=person, purpose=purpose, granted=True, version=version, source=Consent.Source.PAGE)
    return person
