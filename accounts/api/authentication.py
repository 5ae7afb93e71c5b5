"""Who calls the JSON API: an access token, an API key, or the page itself with its session's cookie."""

from django.utils.translation import gettext as _
from rest_framework import authentication
from rest_framework.request import Request

from accounts import api_keys, families
from accounts.credentials import Credential, Kind
from accounts.jwts import ExpiredTokenError, TokenError
from accounts.models import User
from accounts.presence import mark_seen, speak_to
from accounts.scopes import Scope
from accounts.second_factor import hold_to, is_on, scopes_of
from chatbot_project.lib.errors import ApplicationError

CHALLENGE = 'Bearer realm="api"'


class NotSignedIn(ApplicationError):
    """The request's token or key does not show who calls. Suspended, revoked and unknown look alike."""

    auth_header = CHALLENGE

    def __init__(self, code: str = "invalid_token", detail: str = "") -> None:
        super().__init__(code, detail or _("This token or key is not valid, or not any more."), status=401)


class BearerAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer`` with an access token or an API key. ``request.auth`` is a Credential.

    One query. A header that is not good is refused, also where a session's cookie would do.
    """

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        """``None`` without such a header. Raises NotSignedIn: ``invalid_token`` or, to be refreshed,
        ``token_expired``."""
        scheme, _space, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user, credential = bearer(token.strip())
        mark_seen(user)
        speak_to(request._request, user)
        return user, credential

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class GuestAuthentication(BearerAuthentication):
    """A guest's access token, if one came along; everything else is as if it were not there."""

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        try:
            found = super().authenticate(request)
        except NotSignedIn:
            return None
        return found if found and found[0].is_guest else None


def bearer(token: str) -> tuple[User, Credential]:
    """The person and credential of an access token or API key. Raises NotSignedIn. One query."""
    if token.startswith(api_keys.PREFIX):
        key = api_keys.find_key(token)
        if key is None:
            raise NotSignedIn
        scopes = frozenset(Scope(scope) for scope in key.scopes if scope in Scope.values)
        key.user.with_role = Scope.STAFF in scopes
        if key.user.with_role:  # a key shows no code: its person must be one who does
            hold_to(key.user, shown=is_on(key.user))
            scopes &= scopes_of(key.user)
        return key.user, Credential(Kind.API_KEY, str(key.pk), scopes)
    try:
        found = families.person_of(token)
    except ExpiredTokenError as error:
        raise NotSignedIn("token_expired", _("This token has run out. Get the next one.")) from error
    except TokenError as error:
        raise NotSignedIn from error
    if found is None:
        raise NotSignedIn
    return found[0], Credential(Kind.FAMILY, str(found[1]), scopes_of(found[0]))


class SessionAuthentication(authentication.SessionAuthentication):
    """The page's own calls: the session's cookie, and for what changes anything the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Credential] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        user, _none = found  # PersonMiddleware has held them to what their session has shown
        return user, Credential(Kind.SESSION, request._request.session.session_key or "", scopes_of(user))

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def credential_of(request: Request) -> Credential:
    """How the caller showed who they are. Only for requests that somebody is signed in to."""
    assert isinstance(request.auth, Credential)
    return request.auth


def person_of(request: Request) -> User:
    """Who calls. Only where a permission has made sure that somebody does."""
    assert isinstance(request.user, User)
    return request.user
