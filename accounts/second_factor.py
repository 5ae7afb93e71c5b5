"""Who has to show a second factor, and what those are who have not.

The second factor is a code of an authenticator app (accounts/authenticators.py). Who has set it up is always asked for
it when signing in; where ``settings.REQUIRE_STAFF_2FA`` is on, staff must have it. Whatever way somebody comes in, by a
session, a token or a key, ``hold_to`` is called: staff who must and have not are as any other person, so no page,
endpoint or socket has to ask by itself.
"""

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import STAFF_ROLES
from accounts.scopes import ALL_SCOPES, Scope
from chatbot_project.lib.errors import ApplicationError

#: Under this name a session remembers that the second factor was shown in it.
SHOWN = "second_factor"


class SecondFactorNeeded(ApplicationError):
    """The role asks for a second factor, and who is here has shown none."""

    def __init__(self) -> None:
        detail = _("Your role needs a second factor: set it up in your profile, then sign in with a code.")
        super().__init__("second_factor_needed", detail, status=403)


def is_on(user: User) -> bool:
    """Whether ``user`` has set it up."""
    return user.second_factor_at is not None


def is_required(user: User) -> bool:
    """Whether the role of ``user`` asks for it."""
    return bool(settings.REQUIRE_STAFF_2FA) and user.role in STAFF_ROLES


def hold_to(user: User, *, shown: bool) -> None:
    """Take from this ``user``, as they are here, what their role adds, if it asks for what they have not ``shown``."""
    if is_required(user) and not shown:
        user.with_role = False
        user.lacks_second_factor = True


def scopes_of(user: User) -> frozenset[Scope]:
    """What somebody who signed in themselves may do, once ``hold_to`` was called."""
    return ALL_SCOPES - {Scope.STAFF} if user.lacks_second_factor else ALL_SCOPES
