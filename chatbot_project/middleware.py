"""What every HTTP answer carries, and the one shape of an error."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from whitenoise.middleware import WhiteNoiseMiddleware

from accounts.models import User
from accounts.restriction import refuse_if_restricted
from chatbot_project.error_pages import error_page, maintenance_page
from chatbot_project.lib import maintenance
from chatbot_project.lib.api.edge import is_api
from chatbot_project.lib.api.errors import count_error
from chatbot_project.lib.errors import ApplicationError

Handler = Callable[[HttpRequest], HttpResponse]

NOBODYS = frozenset({"/status/", "/status.json", "/healthz", "/readyz"})
_OPEN = re.compile(  # while maintenance is on
    r"/(healthz|readyz|metrics|status/|status\.json)\Z|/(static|admin|jsi18n)/|/api/v1/health\Z"
    r"|/api/v1/messages/[^/]+/events\Z|/accounts/(sign-in/(code/)?|sign-out/|second-factor/|language/)\Z"
)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "manifest-src 'self'",
    )
)


PROBES = ("/healthz", "/readyz", "/metrics")


class ProbesMiddleware:
    """Lets load balancers and orchestrators ask a process by its address, which is none of ALLOWED_HOSTS: nothing that
    is answered there depends on the host."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in PROBES:
            request.META["HTTP_HOST"] = urlsplit(settings.BASE_URL).netloc
        return self.get_response(request)


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # WhiteNoise ships no types
    """WhiteNoise, answering with the file's bytes: under ASGI its file iterator would be read in a thread, with a
    warning, and our files are small."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """The file, or 304, or a range of it."""
        found = static_file.get_response(request.method, request.META)
        with found.file or nullcontext() as file:
            response = HttpResponse(file.read() if file else b"", status=int(found.status))
        del response["Content-Type"]
        for name, value in found.headers:
            response[name] = value
        return response


class ContentSecurityPolicyMiddleware:
    """A strict policy on every page: no inline script or style, nothing from another origin.

    The admin's theme needs inline code and ``eval`` for its components, so pages below ``/admin/`` get a policy of
    their own; they show no text of a model without escaping it.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = CONTENT_SECURITY_POLICY
        if request.path.startswith("/admin/"):
            policy = policy.replace("script-src 'self'", "script-src 'self' 'unsafe-inline' 'unsafe-eval'").replace(
                "style-src 'self'", "style-src 'self' 'unsafe-inline'"
            )
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response


class ErrorShapeMiddleware:
    """Turns an ApplicationError raised by a view into JSON ``{"code", "detail"}`` or, for a page, into a page."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, ApplicationError) or is_api(request):
            return None  # the API's own middleware tells of it
        return error_response(request, exception)


class NobodyMiddleware:
    """Stands before sessions: at addresses where it does not matter who asks, nobody does. They answer while there is
    no database to look somebody up in."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in NOBODYS:
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        return self.get_response(request)


class MaintenanceMiddleware:
    """Answers 503 while maintenance is on. Stands behind AuthenticationMiddleware: staff go on, and everybody may sign
    in, which is how staff are told from others. A reply that runs can be followed to its end."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        on = maintenance.current()
        if on is None or _OPEN.match(request.path) or getattr(request.user, "is_staff", False):
            return self.get_response(request)
        if "text/html" in request.headers.get("Accept", "") or is_api(request):
            return maintenance_page(request, on)
        return error_response(request, maintenance.refusal(on))


class RestrictionMiddleware:
    """Refuses what a page sends that would process the data of a person who has that paused. The API's permissions do
    it for the API, where the session's person need not be who calls."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if isinstance(request.user, User) and not is_api(request):
            try:
                refuse_if_restricted(request, request.user)
            except ApplicationError as error:
                return error_response(request, error)
        return None


def error_response(request: HttpRequest, error: ApplicationError) -> HttpResponse:
    """What a page's request that was refused is answered: a page, or JSON for a script."""
    if "text/html" in request.headers.get("Accept", "") and not request.headers.get("HX-Request"):
        return error_page(request, error)
    count_error(error)
    response = JsonResponse(error.as_dict(), status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response
