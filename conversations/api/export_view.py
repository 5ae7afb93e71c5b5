"""A conversation as a file to keep."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.permissions import PersonRequired
from chatbot_project.lib.api.pieces import PiecewiseResponse
from conversations.api import examples
from conversations.api.serializers import ConversationSerializer, MessageSerializer
from conversations.export import FORMAT, MESSAGE_FIELDS, Export, as_json, as_markdown
from conversations.selectors import find_conversation

if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
else:
    AnySerializer = serializers.Serializer

MARKDOWN = "text/markdown"
DISPOSITION = OpenApiParameter(
    "Content-Disposition", str, OpenApiParameter.HEADER, response=[200], description="An attachment with a file name."
)


class ExportQuerySerializer(AnySerializer):
    format = serializers.ChoiceField(
        choices=["json", "markdown"], required=False, help_text="Without it as `Accept` says, which is usually JSON."
    )
    branches = serializers.ChoiceField(
        choices=["active", "all"],
        required=False,
        default="active",
        help_text="The branch that is shown, or all. Markdown has one branch.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raises ValidationError for all branches as Markdown."""
        if attrs["branches"] == "all" and self.context["is_markdown"]:
            raise serializers.ValidationError({"branches": [_("All branches are exported as JSON only.")]})
        return attrs


class ExportedMessageSerializer(MessageSerializer):
    """A message as an exported file has it."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {name: fields[name] for name in (*MESSAGE_FIELDS, "usage")}


class ExportSerializer(AnySerializer):
    format = serializers.ChoiceField(choices=[FORMAT])
    exported_at = serializers.DateTimeField()
    branches = serializers.ChoiceField(choices=["active", "all"])
    conversation = ConversationSerializer()
    messages = ExportedMessageSerializer(many=True, help_text="Oldest first; `parent` makes a tree of all branches.")


class MarkdownRenderer(JSONRenderer):
    """Lets a view take requests that accept only Markdown. What it renders is errors, and they are JSON."""

    media_type = MARKDOWN
    format = "markdown"


class FormatNegotiation(DefaultContentNegotiation):
    """``?format=`` before ``Accept``."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        wanted = request.query_params.get("format")
        for renderer in renderers:
            if renderer.format == wanted:
                return renderer, renderer.media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


class ExportView(APIView):
    permission_classes = [PersonRequired]
    renderer_classes = [JSONRenderer, MarkdownRenderer]
    content_negotiation_class = FormatNegotiation

    @extend_schema(
        operation_id="conversations_export",
        tags=["conversations"],
        summary="A conversation as a file",
        description="All of it, however long. In the Markdown each message has a heading of its own and stands in a "
        "quote, so that none can pass for another speaker's; HTML in it is text, images are links.",
        parameters=[ExportQuerySerializer, DISPOSITION],
        responses={
            (200, "application/json"): OpenApiResponse(ExportSerializer, "The file.", examples=[examples.EXPORT]),
            (200, MARKDOWN): OpenApiResponse({"type": "string"}, "The file.", examples=[examples.EXPORTED_MARKDOWN]),
        },
    )
    def get(self, request: Request, conversation_id: UUID) -> PiecewiseResponse:
        is_markdown = request.accepted_renderer.format == "markdown"
        wanted = ExportQuerySerializer(data=request.query_params.dict(), context={"is_markdown": is_markdown})
        wanted.is_valid(raise_exception=True)
        conversation = find_conversation(user=person_of(request), conversation_id=conversation_id)
        export = Export.of(conversation, whole_tree=wanted.validated_data["branches"] == "all")
        if is_markdown:
            return _file(as_markdown(export), f"{MARKDOWN}; charset=utf-8", export.filename("md"))
        return _file(as_json(export), "application/json", export.filename("json"))


def _file(pieces: Iterator[str], content_type: str, name: str) -> PiecewiseResponse:
    response = PiecewiseResponse(pieces, content_type=content_type)
    response.headers["Content-Disposition"] = content_disposition_header(True, name)
    return response
