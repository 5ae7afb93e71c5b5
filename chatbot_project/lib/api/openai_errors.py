"""Errors below ``/v1/`` as OpenAI's clients expect them: ``{"error": {"message", "type", "param", "code"}}``.

Whatever refuses a request (a view, the REST framework, a middleware, the server's own handlers) does so in the one
shape of the API; here its answer is told again in this one. Codes that programs know by OpenAI's name have that name.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from chatbot_project.lib.api.errors import BODY, PROBLEM, problem, problem_response
from chatbot_project.lib.errors import ApplicationError

PREFIX = "/v1/"
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "An error in OpenAI's shape. `code` is stable and for programs, `message` is a sentence for people, "
    "`param` the part of the request that was wrong.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "example": "invalid_request_error"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"], "example": "model_not_found"},
            },
        }
    },
}
_NAMES: Mapping[str, str] = {
    "signed_out": "invalid_api_key",
    "invalid_token": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "token_budget_spent": "insufficient_quota",
    "invalid": "invalid_value",
}
_TYPES: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_error(told: Mapping[str, Any]) -> dict[str, Any]:
    """The body in OpenAI's shape of an error that ``problem`` told."""
    message, param = told["detail"], None
    if fields := told.get("fields"):
        param, sentences = next(iter(fields.items()))
        message = " ".join(sentences)
    status, code = told["status"], _NAMES.get(told["code"], told["code"])
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    if code == "insufficient_quota":
        kind = code
    return {"error": {"message": message, "type": kind, "param": None if param == BODY else param, "code": code}}


def openai_response(error: ApplicationError) -> HttpResponse:
    """``error`` as an answer."""
    return as_openai(problem_response(error))


def as_openai(response: HttpResponse) -> HttpResponse:
    """An answer in the API's one shape of errors, told in OpenAI's."""
    response.content = json.dumps(openai_error(json.loads(response.content))).encode()
    response.headers["Content-Type"] = "application/json"
    if "Content-Length" in response.headers:
        response.headers["Content-Length"] = str(len(response.content))
    return response


def openai_body(error: ApplicationError) -> bytes:
    """The body alone, for what answers outside of Django."""
    return json.dumps(openai_error(problem(error))).encode()


class OpenAIErrorsMiddleware:
    """Stands outside of all that may refuse a request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith(PREFIX) and response.headers.get("Content-Type") == PROBLEM:
            return as_openai(response)
        return response
