"""What the API's schema says of every operation beside what its view says: errors in the one shape, headers that
repeated and conditional requests send, pages of lists."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from django.urls.converters import SlugConverter
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from chatbot_project.lib.api import openai_errors
from chatbot_project.lib.api.errors import PROBLEM
from chatbot_project.lib.api.idempotency import HEADER
from chatbot_project.lib.api.paging import MAX_LIMIT, USUAL_LIMIT

Handler = TypeVar("Handler", bound=Callable[..., Any])

METHODS = ("get", "post", "put", "patch", "delete")
OPENAI_ERROR: dict[str, Any] = {"$ref": "#/components/schemas/OpenAIError"}
_PROBLEM_CONTENT = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_OPENAI_CONTENT = {"application/json": {"schema": OPENAI_ERROR}}
_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "An error (RFC 9457). `code` is stable and for programs, `detail` is a sentence for people; "
    "`fields` says what was wrong with which part of the body or query.",
    "required": ["code", "detail", "status", "title"],
    "properties": {
        "code": {"type": "string", "example": "not_found"},
        "detail": {"type": "string", "example": "There is no such thing here."},
        "status": {"type": "integer", "example": 404},
        "title": {"type": "string", "example": "Not Found"},
        "fields": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        "retry_after": {"type": "integer", "minimum": 0, "description": "Seconds to wait before another try."},
        "position": {"type": "integer", "minimum": 1, "description": "Of `busy`: the place in line it would have."},
        "wait": {"type": "integer", "minimum": 0, "description": "Of `busy`: about how many seconds that takes."},
    },
}

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read; another state answers 412."
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that is known; the same state answers 304."
)
NOT_MODIFIED = {304: OpenApiResponse(description="As it was: the client has it already.")}
ETAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="Names this state, for `If-Match`."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="A new random text for each request. Sent again with the same key within a day, the request has its "
    "effect once and gives the same answer; with another body it is refused (422).",
)
CURSOR = OpenApiParameter("cursor", str, description="`next` of the page before.")
LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": USUAL_LIMIT},
    description="How many at most.",
)
PAGE_PARAMETERS = [CURSOR, LIMIT]


def ordering_parameter(orderings: Mapping[str, Any]) -> OpenApiParameter:
    """``ordering`` with the names that ``paging.read_page`` takes."""
    names = list(orderings)
    return OpenApiParameter(
        "ordering", OpenApiTypes.STR, enum=names, default=names[0], description="Order of the list; `-` descends."
    )


def page_of(item: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """The answer of a list whose rows ``item`` shows: ``{"items": [...], "next": cursor | null}``."""
    name = f"{item.__name__.removesuffix('Serializer')}Page"
    next_cursor = serializers.CharField(allow_null=True, help_text="Leads to the next page; null on the last one.")
    return inline_serializer(name, {"items": item(many=True), "next": next_cursor})


def takes_body(
    serializer: type[serializers.Serializer[Any]], *, example: Mapping[str, Any]
) -> Callable[[Handler], Handler]:
    """Decorates a ``delete`` that takes a body, which the schema would leave out."""

    def decorate(handler: Handler) -> Handler:
        handler.body = (serializer, example)  # type: ignore[attr-defined]
        return handler

    return decorate


class ApiSchema(AutoSchema):
    """Knows which operations take an Idempotency-Key, which deletions a body, which need nobody to be signed in,
    and what a slug in an address looks like."""

    def get_auth(self) -> list[Any]:
        found: list[Any] = super().get_auth()
        is_open = any(getattr(each, "lets_nobody_in", False) for each in self.view.get_permissions())
        return [*found, {}] if is_open and {} not in found else found

    def _resolve_path_parameters(self, variables: Any) -> list[Any]:
        found: list[Any] = super()._resolve_path_parameters(variables)  # type: ignore[no-untyped-call]
        for parameter in found:
            if f"<slug:{parameter['name']}>" in self.path_regex:
                parameter["schema"]["pattern"] = f"^{SlugConverter.regex}$"
        return found

    def _get_request_body(self, direction: Literal["request", "response"] = "request") -> Any:
        body = getattr(getattr(self.view, "delete", None), "body", None)
        if self.method != "DELETE" or body is None:
            told = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
            if told and isinstance(self.get_request_serializer(), dict):
                told["required"] = True  # what no serializer describes, the framework takes for optional
            return told
        serializer, example = body
        schema = self.resolve_serializer(serializer(), direction).ref
        return {"content": {"application/json": {"schema": schema, "example": example}}, "required": False}

    def get_override_parameters(self) -> list[Any]:
        handler = getattr(self.view, self.method.lower(), None) or getattr(
            self.view, getattr(self.view, "action", None) or "", None
        )
        extra = [IDEMPOTENCY_KEY] if getattr(handler, "is_idempotent", False) else []
        return [*super().get_override_parameters(), *extra]


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A drf-spectacular postprocessing hook: every operation may answer with a Problem, or below ``/v1/`` with an error
    in OpenAI's shape, and says for which reasons."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {"Problem": _PROBLEM_SCHEMA, "OpenAIError": openai_errors.SCHEMA}
    for path, operations in result.get("paths", {}).items():
        content = _OPENAI_CONTENT if path.startswith(openai_errors.PREFIX) else _PROBLEM_CONTENT
        for method, operation in operations.items():
            if method in METHODS:
                for status, text in _reasons(path, operation):
                    operation["responses"].setdefault(status, {"description": text, "content": content})
    return result


def _reasons(path: str, operation: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "400", "The request cannot be read, or is not valid."
    if {} not in operation.get("security", [{}]):
        yield "401", "Nobody is signed in."
    if operation.get("security"):
        yield "403", "Not allowed."
    if "{" in path:
        yield "404", "There is no such thing, or it is another person's."
    yield "406", "Only other formats than this address gives were asked for."
    if "requestBody" in operation:
        yield "413", "The body is too large."
        yield "415", "The body is of another format than this address takes."
    headers = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}
    if "If-Match" in headers:
        yield "412", "It was changed since it was read."
    if HEADER in headers:
        yield "409", "The first request under this key is still at work."
        yield "422", "The key was used with another request."
    yield "429", "Too much at once: `Retry-After` and `RateLimit-*` say when to come back."
    yield "default", "Any other error."
