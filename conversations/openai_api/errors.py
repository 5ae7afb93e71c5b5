"""Errors of completions, in OpenAI's shape. What refuses any other request is told by lib/api/openai_errors.py."""

import json
from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.translation import gettext as _

from chatbot_project.lib.api.errors import InvalidInput, count_error, problem
from chatbot_project.lib.api.openai_errors import openai_error
from chatbot_project.lib.errors import ApplicationError
from conversations.openai_api.answers import Origin

# What asking again does not mend, though its status makes OpenAI's clients do so by themselves.
_FINAL = frozenset({"stopped", "llm_refused", "llm_too_large", "content_blocked", "content_withdrawn"})


class ModelNotFound(InvalidInput):
    """There is no such model, or it is not for this person: the two answers are equal on purpose."""

    def __init__(self, model: str) -> None:
        sentence = _("The model “%(model)s” does not exist, or you may not use it.") % {"model": model[:200]}
        super().__init__({"model": [sentence]})
        self.code, self.status = "model_not_found", 404


class NotCompleted(ApplicationError):
    """``error``, for which a stored reply is no completion; ``origin`` says where that is."""

    def __init__(self, error: ApplicationError, origin: Origin) -> None:
        super().__init__(error.code, error.detail, error.status, retry_after=error.retry_after)
        self.origin = origin


def error_body(error: ApplicationError) -> bytes:
    """``{"error": …}``, with ``nono`` in it where a reply is stored."""
    told: dict[str, Any] = openai_error(problem(error))
    if isinstance(error, NotCompleted):
        told["error"]["nono"] = msgspec.to_builtins(error.origin)
    return json.dumps(told).encode()


def error_response(error: ApplicationError) -> HttpResponse:
    """``error`` as an answer."""
    count_error(error)
    response = HttpResponse(error_body(error), status=error.status, content_type="application/json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.code in _FINAL:
        response.headers["X-Should-Retry"] = "false"
    return response
