"""What holds for every request of a person: the session's end, their language and time zone, when they were seen."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.devices import remember_device
from accounts.models import User
from accounts.presence import mark_seen, speak_to, time_zone_of
from accounts.second_factor import SHOWN, hold_to
from accounts.sessions import SessionStore
from accounts.sockets import announce_sign_out
from chatbot_project.lib.api.errors import problem_response
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.redaction import holds_token

Handler = Callable[[HttpRequest], HttpResponse]


class TokenInAddressMiddleware:
    """Refuses an address that holds a token or API key: addresses are kept in histories, logs and referrers.

    Stands before whatever notes a request, so that the refusal leaves no trace of the token either.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if holds_token(request.path) or holds_token(request.META.get("QUERY_STRING", "")):
            detail = _("A token does not belong into an address. Send it in the Authorization header, and revoke it.")
            return problem_response(ApplicationError("token_in_address", detail, status=400))
        return self.get_response(request)


class PersonMiddleware:
    """Stands after AuthenticationMiddleware, which refuses a session made before the person's ``auth_epoch`` rose.

    Ends the session of a suspended person, holds staff to their second factor, notes when they were last seen, speaks
    their language, and after the view tells open sockets of a sign-out and remembers the device of a sign-in.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        person = request.user if request.user.is_authenticated else None
        if person is None and SESSION_KEY in request.session:
            request.session.flush()
        request.person = person  # type: ignore[attr-defined]  # who it was before the view signs anybody in or out
        if person is not None:
            hold_to(person, shown=SHOWN in request.session)
            mark_seen(person)
            if isinstance(request.session, SessionStore):
                request.session.note_seen()
            speak_to(request, person)
        with _time_zone(person):
            response = self.get_response(request)
        signed_in: User | None = getattr(request, "person_signed_in", None)
        if signed_in is not None and not signed_in.is_guest:
            remember_device(request, response, signed_in)
        for gone in getattr(request, "people_signed_out", ()):
            announce_sign_out(gone)
        return response


def _time_zone(person: User | None) -> AbstractContextManager[None]:
    return nullcontext() if person is None else timezone.override(time_zone_of(person))
