"""What holds for every request and answer of the API, whichever view it goes to: the one error shape, no unstorable
text in addresses, how the caller's budget stands, no caching by others."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chatbot_project.lib.api.errors import as_application_error, malformed, problem_response
from chatbot_project.lib.errors import ApplicationError

Handler = Callable[[HttpRequest], HttpResponse]

PREFIXES = ("/api/", "/v1/")
_MAX_QUERY = 8000


def is_api(request: HttpRequest) -> bool:
    """Whether the address belongs to the API."""
    return request.path.startswith(PREFIXES)


class ApiMiddleware:
    """Stands before sessions: a request that cannot be read costs no query."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_api(request):
            return self.get_response(request)
        if not _is_readable(request):
            return problem_response(malformed(_("The address holds characters that no text needs.")))
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            # The framework would take such a body for an empty one.
            detail = _("Send the body with its Content-Length.")
            return problem_response(ApplicationError("length_required", detail, status=411))
        response = _in_one_shape(self.get_response(request))
        response.headers.setdefault("Cache-Control", "no-store")
        if (standing := getattr(request, "rate_standing", None)) is not None:
            for name, value in standing.headers().items():
                response.headers[name] = value
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What a view that is not the REST framework's raised. Faults of ours go on to the server's own handler."""
        if not is_api(request):
            return None
        known = as_application_error(exception)
        return None if known is None else problem_response(known)


def _in_one_shape(response: HttpResponse) -> HttpResponse:
    """The answer itself; an error in its place where the server's own handlers answered with a page."""
    if response.status_code < 400 or not response.headers.get("Content-Type", "").startswith("text/html"):
        return response
    status = response.status_code
    code, detail = _SERVER_ERRORS.get(status, _SERVER_ERRORS[500 if status >= 500 else 400])
    told = problem_response(ApplicationError(code, str(detail), status=status))
    for name in ("Allow", "Retry-After"):
        if name in response.headers:
            told.headers[name] = response.headers[name]
    return told


_SERVER_ERRORS: Mapping[int, tuple[str, Any]] = {
    400: ("malformed", gettext_lazy("The request cannot be read.")),
    403: ("forbidden", gettext_lazy("You may not do this.")),
    404: ("not_found", gettext_lazy("There is no such address.")),
    405: ("method_not_allowed", gettext_lazy("This address does not take that method.")),
    413: ("too_large", gettext_lazy("The request is too large.")),
    503: ("unavailable", gettext_lazy("A part of the service is away. Try again in a minute.")),
    500: ("internal_error", gettext_lazy("Something went wrong on our side. It has been noted.")),
}
_UNREADABLE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xed[\xa0-\xbf][\x80-\xbf]")


def _is_readable(request: HttpRequest) -> bool:
    """Whether path and query are UTF-8 without control characters (lone surrogates are no UTF-8), and not too long."""
    query = request.META.get("QUERY_STRING", "")
    if len(query) > _MAX_QUERY:
        return False
    raw = unquote_to_bytes(query.replace("+", " "))
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not _UNREADABLE.search(raw) and not _UNREADABLE.search(request.path.encode("utf-8", "surrogatepass"))
