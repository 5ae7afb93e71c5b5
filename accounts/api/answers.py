"""Answers that several endpoints share, and the bases of those that more may call than who is signed in."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import CHALLENGE, GuestAuthentication
from accounts.api.permissions import MayDo, Permissions, Reader
from accounts.api.serializers import MeSerializer
from accounts.families import Pair
from accounts.jwts import ACCESS_LIFETIME, REFRESH_LIFETIME
from accounts.models import User
from chatbot_project.lib.errors import ApplicationError


class OpenView(APIView):
    """Anybody may call it. Who calls is of no interest, except that a guest's token says what to take over."""

    authentication_classes = [GuestAuthentication]
    permission_classes = [AllowAny]


class PublishedView(APIView):
    """Everybody reads what is meant for them; who changes it is said by ``permissions``, as ``MayDo`` takes them."""

    permissions: Permissions = {}

    def get_permissions(self) -> list[Any]:
        return [Reader() if self.request.method in SAFE_METHODS else MayDo()]


class SignInFailed(ApplicationError):
    """Unknown, wrong, suspended, not verified: all alike."""

    auth_header = CHALLENGE

    def __init__(self) -> None:
        super().__init__("sign_in_failed", _("This address and this password do not sign in."), status=401)


class CodeNeeded(ApplicationError):
    """The password is right, and the second factor's code is missing."""

    auth_header = CHALLENGE

    def __init__(self) -> None:
        super().__init__("code_needed", _("Send a code of your authenticator app, too."), status=401)


class WrongCode(ApplicationError):
    """The password is right, and the second factor's code is not good, or not any more."""

    auth_header = CHALLENGE

    def __init__(self) -> None:
        super().__init__("wrong_code", _("This code is not good, or not any more."), status=401)


def pair_answer(pair: Pair, *, status: int = 200) -> Response:
    """The tokens of a sign-in."""
    body = {
        "access": pair.access,
        "refresh": pair.refresh,
        "token_type": "Bearer",
        "expires_in": int(ACCESS_LIFETIME.total_seconds()),
        "refresh_expires_in": int(REFRESH_LIFETIME.total_seconds()),
        "user": MeSerializer(pair.family.user).data,
    }
    return Response(body, status=status)


def accepted(detail: str) -> Response:
    """The same whoever asked for whatever address: the mail tells the rest."""
    return Response({"detail": detail}, status=202)


def dead_token() -> ApplicationError:
    """A mailed token that is forged, too old or used."""
    return ApplicationError("dead_link", _("This link is not good any more."), status=404)


def wrong_password() -> ApplicationError:
    """What was given as the person's own password is not."""
    return ApplicationError("wrong_password", _("That is not your password."), status=403)


def plain(request: Request) -> HttpRequest:
    """The request as Django has it, which limits and sign-ins go by."""
    return request._request


def guest_of(request: Request) -> User | None:
    """The guest whose token came with the request."""
    return request.user if isinstance(request.user, User) and request.user.is_guest else None
