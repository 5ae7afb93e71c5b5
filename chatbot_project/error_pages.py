"""The pages that say what went wrong: one template, in the language of whoever asks, with the request's id for support.

Where the database may be away (500, 503) the page stands by itself: it looks nobody up.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from chatbot_project.lib import maintenance
from chatbot_project.lib.api.edge import is_api
from chatbot_project.lib.api.errors import count_error, malformed, problem_response, too_large, unavailable
from chatbot_project.lib.correlation import bound_ids
from chatbot_project.lib.errors import ApplicationError

ALONE = frozenset({408, 413, 500, 503})  # statuses whose page must need nothing but the template


def titles() -> Mapping[str, str]:
    """What stands above the sentence, by the error's code, in the active language."""
    return {
        "not_found": _("Nothing here"),
        "malformed": _("The request cannot be read"),
        "forbidden": _("You may not do this"),
        "csrf_failed": _("This page was open for too long"),
        "too_large": _("That is too large"),
        "request_timeout": _("That took too long"),
        "rate_limited": _("Too many requests"),
        "overloaded": _("Too many at once"),
        "too_many_tries": _("Too many tries"),
        "internal_error": _("Something broke on our side"),
        "unavailable": _("A part of the service is away"),
        "maintenance": _("The service is being worked on"),
    }


def error_page(request: HttpRequest, error: ApplicationError, **more: Any) -> HttpResponse:
    """``error`` as a page."""
    count_error(error)
    context = {
        **error.as_dict(),
        "title": titles().get(error.code) or _("That did not work"),
        # What is another's is answered to the letter as what there is not.
        "request_id": bound_ids().get("request_id", "") if error.status != 404 else "",
        **more,
    }
    if error.status in ALONE:
        body = render_to_string("error_alone.html", context)
    else:
        body = render_to_string("error.html", context, request)
    response = HttpResponse(body, status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    response.headers["Cache-Control"] = "no-store"
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler of 400, which it also asks for bodies that are too large."""
    error = too_large() if isinstance(exception, RequestDataTooBig) else malformed()
    return _answer(request, error)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler of 403."""
    return _answer(request, ApplicationError("forbidden", _("You may not do this."), status=403))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """What a form without a good token is answered."""
    detail = _("Go back, reload the page and try again. Cookies have to be allowed for this site.")
    return _answer(request, ApplicationError("csrf_failed", detail, status=403))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler of 404."""
    detail = _("The page does not exist, or it is not yours to see.")
    return _answer(request, ApplicationError("not_found", detail, status=404))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler of 500. A database that is away is no fault of the code: that is 503."""
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        if (on := maintenance.current()) is not None:
            return maintenance_page(request, on)
        return _answer(request, unavailable())
    detail = _("It has been noted. What you wrote is kept: reload the page, or come back in a moment.")
    return _answer(request, ApplicationError("internal_error", detail, status=500))


def maintenance_page(request: HttpRequest, on: maintenance.Maintenance) -> HttpResponse:
    """What everything but the ways in for staff is answered meanwhile."""
    return _answer(request, maintenance.refusal(on), until=on.until)


def page_at_the_door(refusal: Callable[[], ApplicationError], accept_language: str) -> bytes:
    """The page for ``refusal`` of what is not even received, before there is a request."""
    request = HttpRequest()
    request.META["HTTP_ACCEPT_LANGUAGE"] = accept_language
    with translation.override(translation.get_language_from_request(request)):
        return error_page(request, refusal()).content


def _answer(request: HttpRequest, error: ApplicationError, **more: Any) -> HttpResponse:
    return problem_response(error) if is_api(request) else error_page(request, error, **more)
