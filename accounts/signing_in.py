"""From a password that was right to a session: at once, or after the second factor.

Every page that signs somebody in goes this way. While a code is asked for nobody is signed in: the session holds who
would be, for ten minutes, and as long as nothing ends that person's sessions.
"""

from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.second_factor import SHOWN, is_on, is_required

SECONDS = 600
_WAITING = "signing_in"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who gave the right password in this browser, and where they go on to."""

    user: User
    next: str


def go_in(request: HttpRequest, user: User, to: str) -> HttpResponse:
    """Sign the request in and go on to ``to``; or first ask for a code, or have the second factor set up that the role
    of ``user`` asks for."""
    if not is_on(user) and not is_required(user):
        login(request, user)
        return redirect(to)
    since = int(timezone.now().timestamp())
    request.session[_WAITING] = [str(user.pk), user.get_session_auth_hash(), since, to]
    return redirect("accounts:sign_in_code" if is_on(user) else "accounts:second_factor")


def waiting(request: HttpRequest) -> Waiting | None:
    """Who is about to be signed in here, if the password was given not long ago and nothing has changed since."""
    content = request.session.get(_WAITING)
    if content is None:
        return None
    user_id, stored, since, to = content
    if timezone.now().timestamp() - since > SECONDS:
        return None
    user = User.objects.filter(pk=UUID(user_id), is_active=True).first()
    if user is None or not constant_time_compare(stored, user.get_session_auth_hash()):
        return None
    return Waiting(user, to)


def finish(request: HttpRequest, user: User) -> None:
    """Sign in who has shown the second factor; or note in their session that they have."""
    request.session.pop(_WAITING, None)
    login(
        request, user
    )  # also where they are signed in already: under a new key, and with what their sessions carry now
    request.session[SHOWN] = True
