"""Asking over HTTP, and hearing a reply."""

from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.permissions import PersonRequired
from chatbot_project.lib.api.idempotency import reused
from chatbot_project.lib.errors import NotFound
from chatbot_project.lib.text import clean_text
from conversations import services
from conversations.api import examples
from conversations.api.event_stream import (
    LAST_EVENT_ID,
    MEDIA_TYPE,
    EventStreamRenderer,
    heard_all,
    stream_reply,
)
from conversations.api.replying import ReplyView, answer_reply, ask_once, client_id_of, exactly_once
from conversations.api.send_serializers import ExchangeSerializer, SendSerializer
from conversations.models import Conversation, Message
from conversations.refusals import recorded

RESUMED = OpenApiParameter(
    LAST_EVENT_ID,
    str,
    OpenApiParameter.HEADER,
    description="The `id` of the last event that was received: the stream goes on behind it.",
)
#: One of the stream's events: what OpenAPI before 3.2 says of such an answer is meant of each.
EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}
STREAM = OpenApiResponse(
    EVENT,
    "Server-Sent Events: `event` is the type of an event of the chat protocol, `data` its JSON, `id` where it leads "
    "to, for `Last-Event-ID`. Comment lines keep the connection open; the stream ends with the reply's ending.",
    examples=[examples.STREAM],
)


class SendView(ReplyView):
    @extend_schema(
        operation_id="chat_send",
        tags=["chat"],
        summary="Send a message and get the reply",
        description="Without `conversation` a new one begins, with `persona`. The answer is the whole reply once it "
        "has ended, completed or not: see its `status`. With `Accept: text/event-stream` it is streamed. It does not "
        "depend on this request: when the connection is lost, send the same `client_id` (or Idempotency-Key) again, or "
        "read `messages/{id}` or its `events`.",
        parameters=[RESUMED],
        request=SendSerializer,
        responses={
            (200, "application/json"): OpenApiResponse(
                ExchangeSerializer, "The reply has ended.", examples=[examples.EXCHANGE]
            ),
            (200, MEDIA_TYPE): STREAM,
            (202, "application/json"): OpenApiResponse(
                ExchangeSerializer, "The reply is under way still; `Location` is where it can be read."
            ),
            **examples.ASK_REFUSALS,
        },
        examples=[examples.SEND, examples.GO_ON],
    )
    @exactly_once
    def post(self, request: Request) -> HttpResponseBase:
        wanted = SendSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        client_id = client_id_of(request, data.get("client_id"))
        user = person_of(request)
        accepted = ask_once(
            request,
            lambda: services.send_message(
                user=user,
                client_id=client_id,
                text=data["text"],
                conversation_id=data.get("conversation"),
                persona_slug=data.get("persona"),
                parent_id=data.get("parent"),
                channel=Conversation.Channel.API,
                bypass_cache=data["bypass_cache"],
            ),
            lambda: services.stored_before(user, client_id),
        )
        if accepted.again and accepted.question.text != clean_text(data["text"]).strip():
            raise reused()
        return answer_reply(request, accepted, wait=data["wait"])


class ReplyEventsView(APIView):
    permission_classes = [PersonRequired]
    renderer_classes = [EventStreamRenderer]

    @extend_schema(
        operation_id="message_events",
        tags=["messages"],
        summary="Hear a reply",
        description="The reply's events as Server-Sent Events, from the beginning or behind `Last-Event-ID`. Takes a "
        "browser's `EventSource` as it is. What cannot be joined to that id begins with a `reply.snapshot`.",
        parameters=[RESUMED],
        responses={
            (200, MEDIA_TYPE): STREAM,
            204: OpenApiResponse(description="`Last-Event-ID` is that of the reply's ending: all was heard."),
        },
    )
    def get(self, request: Request, message_id: UUID) -> HttpResponseBase:
        reply = _find_reply(user=person_of(request), reply_id=message_id)
        if heard_all(request) and not reply.is_live:
            return HttpResponse(status=204)
        return stream_reply(request, reply)


@recorded
def _find_reply(*, user: object, reply_id: UUID) -> Message:
    reply = Message.objects.visible_to(user).replies().filter(pk=reply_id).first()
    if reply is None:
        raise NotFound
    return reply
