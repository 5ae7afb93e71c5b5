"""``GET /api/v1/health``: what ``/readyz`` says, in the API's shape."""

from asgiref.sync import async_to_sync
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chatbot_project.health import PARTS, check_health
from chatbot_project.lib.api.errors import PROBLEM, problem, unavailable

_PARTS = {
    "type": "object",
    "required": list(PARTS),
    "properties": {name: {"type": "string", "enum": ["ok", "unavailable", "draining"]} for name in PARTS},
}
_READY = {
    "type": "object",
    "required": ["status", "parts"],
    "properties": {"status": {"type": "string", "const": "ok"}, "parts": _PARTS},
}
_NOT_READY = {
    "allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {"type": "object", "required": ["parts"], "properties": {"parts": _PARTS}},
    ]
}
_OK = OpenApiExample("ready", {"status": "ok", "parts": dict.fromkeys(PARTS, "ok")}, response_only=True)


class HealthView(APIView):
    """Anybody may ask, also while there is no database to look up who asks."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="health",
        tags=["health"],
        summary="Whether all that a reply needs is there",
        description="`database`, `redis`, `model`, `worker` (of replies) and `web` (the process that answers: "
        "`draining` before it ends).",
        responses={
            200: OpenApiResponse(_READY, "Everything is there.", examples=[_OK]),
            (503, PROBLEM): OpenApiResponse(_NOT_READY, "Something is not: `unavailable`, and `parts` says what."),
        },
    )
    def get(self, request: Request) -> Response:
        health = async_to_sync(check_health)()  # runs in the server's own loop, whose sockets it tells of
        parts = {name: state.partition(" ")[0] for name, state in health.parts.items()}  # not which error it was
        if health.is_ready:
            return Response({"status": "ok", "parts": parts})
        error = unavailable(_("Not everything that a reply needs is there."))
        headers = {"Retry-After": str(error.retry_after)}
        return Response({**problem(error), "parts": parts}, status=503, headers=headers, content_type=PROBLEM)
