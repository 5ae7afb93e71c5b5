"""The one shape of an error over HTTP: ``{"code", "detail", "status", "title"}``, with ``fields`` and ``retry_after``
where they help. It is a problem detail of RFC 9457, sent as ``application/problem+json``.

``code`` is stable and for programs, ``detail`` is a sentence for people. ``fields`` names what was wrong with which
part of the body or query, as lists of sentences; what belongs to no field stands under ``"body"``.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings

from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.metrics import names as metrics

logger = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
BODY = "body"


class InvalidInput(ApplicationError):
    """The request was understood and is not acceptable; ``fields`` maps names to lists of sentences."""

    def __init__(self, fields: Mapping[str, list[str]], detail: str = "") -> None:
        super().__init__("invalid", detail or _("Some of what was sent is not valid."), status=400)
        self.fields = dict(fields)


def problem(error: ApplicationError) -> dict[str, Any]:
    """The body that tells of ``error``."""
    body: dict[str, Any] = {
        "code": error.code,
        "detail": str(error.detail),
        "status": error.status,
        "title": HTTPStatus(error.status).phrase,
    }
    if fields := getattr(error, "fields", None):
        body["fields"] = fields
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    body.update({name: value for name in ("position", "wait") if (value := getattr(error, name, None)) is not None})
    return body


def count_error(error: ApplicationError) -> None:
    """Count an error that is told over HTTP."""
    metrics.ERRORS.labels("http", error.code).inc()


def problem_response(error: ApplicationError) -> JsonResponse:
    """``error`` as an answer, for views that are not the REST framework's."""
    count_error(error)
    response = JsonResponse(problem(error), status=error.status, content_type=PROBLEM)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The REST framework's exception handler. ``None`` for a fault of ours, which the framework raises again."""
    known = as_application_error(error)
    if known is None:
        return None
    count_error(known)
    headers = {} if known.retry_after is None else {"Retry-After": str(known.retry_after)}
    if challenge := getattr(error, "auth_header", ""):
        headers["WWW-Authenticate"] = challenge
    return Response(problem(known), status=known.status, headers=headers, content_type=PROBLEM)


def as_application_error(error: Exception) -> ApplicationError | None:
    """``error`` as what a client may be told of it; ``None`` where it is a fault of ours."""
    if isinstance(error, ApplicationError):
        return error
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    if isinstance(error, DjangoValidationError):
        return InvalidInput(_django_fields(error))
    if isinstance(error, Http404):
        return NotFound(_("There is no such thing here."))
    if isinstance(error, DjangoPermissionDenied):
        return ApplicationError("forbidden", _("You may not do this."), status=403)
    if isinstance(error, RequestDataTooBig):
        return too_large()
    if isinstance(error, SuspiciousOperation):
        return malformed()
    return _of_database(error)


def too_large() -> ApplicationError:
    """The body is larger than this address takes."""
    return ApplicationError("too_large", _("The request is too large."), status=413)


def malformed(detail: str = "") -> ApplicationError:
    """What was sent cannot be read at all."""
    return ApplicationError("malformed", detail or _("The request cannot be read."), status=400)


def unavailable(detail: str = "") -> ApplicationError:
    """A part that this needs is away, for the moment."""
    return ApplicationError(
        "unavailable", detail or _("A part of the service is away. Try again in a minute."), status=503, retry_after=5
    )


def _of_database(error: Exception) -> ApplicationError | None:
    if isinstance(error, DataError):
        # No value should come this far; one that did is the request's, and the statement changed nothing.
        logger.warning("api.data_error", exc_info=error)
        return InvalidInput({BODY: [_("Some value cannot be stored.")]})
    if isinstance(error, (OperationalError, InterfaceError)) or type(error) is DatabaseError:
        logger.warning("api.database_away", exc_info=error)
        return unavailable()
    return None


_CODES: Mapping[type[exceptions.APIException], str] = {
    exceptions.ParseError: "malformed",
    exceptions.AuthenticationFailed: "signed_out",
    exceptions.NotAuthenticated: "signed_out",
    exceptions.PermissionDenied: "forbidden",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "rate_limited",
}


def _of_framework(error: exceptions.APIException) -> ApplicationError:
    if isinstance(error, exceptions.ValidationError):
        return InvalidInput(_framework_fields(error.detail))
    code = next((name for kind, name in _CODES.items() if isinstance(error, kind)), error.default_code)
    wait = getattr(error, "wait", None)
    detail = error.detail if isinstance(error.detail, str) else error.default_detail
    return ApplicationError(
        code, str(detail), status=error.status_code, retry_after=None if wait is None else max(1, int(wait))
    )


def _framework_fields(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """The framework's nested details as a flat map: ``{"items.2.title": [...]}``."""
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for name, inner in detail.items():
            own = prefix if name == api_settings.NON_FIELD_ERRORS_KEY else _joined(prefix, str(name))
            for path, sentences in _framework_fields(inner, own).items():
                found.setdefault(path, []).extend(sentences)
        return found
    if isinstance(detail, list) and any(isinstance(item, (Mapping, list)) for item in detail):
        return _framework_fields({str(number): item for number, item in enumerate(detail) if item}, prefix)
    sentences = detail if isinstance(detail, list) else [detail]
    return {prefix or BODY: [str(sentence) for sentence in sentences]}


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _django_fields(error: DjangoValidationError) -> dict[str, list[str]]:
    if not hasattr(error, "error_dict"):
        return {BODY: [str(sentence) for sentence in error.messages]}
    return {BODY if name == NON_FIELD_ERRORS else name: list(said) for name, said in error.message_dict.items()}


@csrf_exempt  # else other methods than GET would be refused before they are not found
def not_found_view(request: HttpRequest, rest: str = "") -> JsonResponse:
    """What answers an address of the API that there is not."""
    return problem_response(NotFound(_("There is no such address.")))
