"""Messages: the pages of a branch, one by its id, and what is done with one."""

from typing import Any, ClassVar
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import PersonRequired
from accounts.models import User
from accounts.scopes import Scope
from chatbot_project.lib.api.idempotency import idempotent, reused
from chatbot_project.lib.api.openapi import PAGE_PARAMETERS, page_of
from chatbot_project.lib.api.paging import decode_cursor, encode_cursor, read_limit
from chatbot_project.lib.text import clean_text
from conversations import services
from conversations.api import examples
from conversations.api.event_stream import MEDIA_TYPE
from conversations.api.message_serializers import AnewSerializer, EditSerializer, FeedbackSerializer
from conversations.api.replying import ReplyView, answer_reply, ask_once, client_id_of, exactly_once
from conversations.api.send_serializers import ExchangeSerializer
from conversations.api.send_views import STREAM
from conversations.api.serializers import MessageSerializer
from conversations.hand_over import request_person
from conversations.keeping import newest_leaf
from conversations.models import Message
from conversations.selectors import find_conversation, find_message, read_message
from conversations.transcript import read_branch

BRANCH = OpenApiParameter(
    "branch",
    {"type": "string", "format": "uuid"},
    description="Any message: the branch that goes through it, up to its newest end. Usually the one that is shown.",
)
SHOWN = OpenApiResponse(MessageSerializer, "The message as it is now.", examples=[examples.A_MESSAGE])
ANSWERS: dict[Any, Any] = {
    (200, "application/json"): OpenApiResponse(ExchangeSerializer, "The reply has ended.", [examples.EXCHANGE]),
    (200, MEDIA_TYPE): STREAM,
    (202, "application/json"): OpenApiResponse(
        ExchangeSerializer, "The reply is under way still; `Location` is where it can be read."
    ),
    **examples.ASK_REFUSALS,
}


class MessagesQuerySerializer(serializers.Serializer):  # type: ignore[type-arg]
    branch = serializers.UUIDField(required=False)


class MessagesView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="conversations_messages",
        tags=["messages"],
        summary="The messages of a conversation",
        description="Of one branch, newest first: page by page up to the first question. New messages shift nothing.",
        parameters=[*PAGE_PARAMETERS, BRANCH],
        responses={200: OpenApiResponse(page_of(MessageSerializer), "A page.", examples=[examples.MESSAGES])},
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        wanted = MessagesQuerySerializer(data=request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        user, limit, salt = person_of(request), read_limit(request.query_params), f"api.cursor:{conversation_id}"
        conversation = find_conversation(user=user, conversation_id=conversation_id)
        before: UUID | None = None
        leaf = conversation.active_leaf_id
        if cursor := request.query_params.get("cursor"):
            (before,) = decode_cursor(cursor, salt, 1)
        elif branch := wanted.validated_data.get("branch"):
            through = find_message(user=user, message_id=branch, conversation_id=conversation_id)
            leaf = newest_leaf(through.pk)
        rows, more = read_branch(conversation.pk, leaf, limit=limit, before=before)
        following = encode_cursor([rows[0].pk], salt) if more else None
        return Response({"items": [MessageSerializer(row).data for row in reversed(rows)], "next": following})


class MessageView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="messages_get",
        tags=["messages"],
        summary="A message",
        description="A reply that is under way shows what was stored of it; its `events` are the stream.",
        responses={200: OpenApiResponse(MessageSerializer, "The message.", examples=[examples.A_MESSAGE])},
    )
    def get(self, request: Request, message_id: UUID) -> Response:
        return _shown(request, message_id)


class AskAgainView(ReplyView):
    """Base of the views that ask a model about a message there is."""

    permission_classes = [PersonRequired]
    takes: ClassVar[type["serializers.Serializer[Any]"]] = AnewSerializer

    def ask(self, user: User, client_id: str, message_id: UUID, data: dict[str, Any]) -> services.Accepted:
        """Call the one service."""
        raise NotImplementedError

    def before(self, user: User, client_id: str, message_id: UUID) -> services.Accepted | None:
        """What ``client_id`` stored by an earlier request, if it did."""
        return services.stored_before(user, client_id)

    def require_same(self, accepted: services.Accepted, client_id: str, message_id: UUID, data: dict[str, Any]) -> None:
        """Raise ``reused`` (422) where ``accepted``, of an earlier request, is not what this one asks for."""

    def answer(self, request: Request, message_id: UUID) -> HttpResponseBase:
        """What the request's body asks for, taken from the person's budget, and its reply."""
        wanted = self.takes(data=request.data)
        wanted.is_valid(raise_exception=True)
        data, user = wanted.validated_data, person_of(request)
        client_id = client_id_of(request, data.get("client_id"))
        accepted = ask_once(
            request,
            lambda: self.ask(user, client_id, message_id, data),
            lambda: self.before(user, client_id, message_id),
        )
        if accepted.again:
            self.require_same(accepted, client_id, message_id, data)
        return answer_reply(request, accepted, wait=data["wait"], client_id=client_id)


class EditView(AskAgainView):
    takes = EditSerializer

    @extend_schema(
        operation_id="messages_edit",
        tags=["messages"],
        summary="Ask a question in other words",
        description="A branch beside the question, which is shown from now on; the earlier one stays. The answer is "
        "as of `chat/send`.",
        request=EditSerializer,
        responses=ANSWERS,
        examples=[examples.EDIT],
    )
    @exactly_once
    def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        return self.answer(request, message_id)

    def ask(self, user: User, client_id: str, message_id: UUID, data: dict[str, Any]) -> services.Accepted:
        return services.edit_message(user=user, client_id=client_id, message_id=message_id, text=data["text"])

    def require_same(self, accepted: services.Accepted, client_id: str, message_id: UUID, data: dict[str, Any]) -> None:
        _require_beside(accepted.question, message_id, client_id)
        if accepted.question.text != clean_text(data["text"]).strip():
            raise reused()


class RegenerateView(AskAgainView):
    @extend_schema(
        operation_id="messages_regenerate",
        tags=["messages"],
        summary="Get another reply",
        description="To the question that this reply answered: a branch beside it, which is shown from now on. The "
        "answer is as of `chat/send`.",
        request=AnewSerializer,
        responses=ANSWERS,
        examples=[examples.ANEW],
    )
    @exactly_once
    def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        return self.answer(request, message_id)

    def ask(self, user: User, client_id: str, message_id: UUID, data: dict[str, Any]) -> services.Accepted:
        return services.regenerate_reply(user=user, client_id=client_id, reply_id=message_id)

    def require_same(self, accepted: services.Accepted, client_id: str, message_id: UUID, data: dict[str, Any]) -> None:
        _require_beside(accepted.reply, message_id, client_id)


class ContinueView(AskAgainView):
    @extend_schema(
        operation_id="messages_continue",
        tags=["messages"],
        summary="Let a reply go on",
        description="One that was stopped or interrupted, or ran into its limit, and is the last of its branch. Its "
        "text is kept. One that is under way already is answered as it is. The answer is as of `chat/send`.",
        request=AnewSerializer,
        responses={
            **ANSWERS,
            **problem(409, "There is nothing to continue: `not_continuable`; or `reply_in_progress`."),
        },
        examples=[examples.ANEW],
    )
    @exactly_once
    def post(self, request: Request, message_id: UUID) -> HttpResponseBase:
        return self.answer(request, message_id)

    def ask(self, user: User, client_id: str, message_id: UUID, data: dict[str, Any]) -> services.Accepted:
        return services.continue_reply(user=user, client_id=client_id, reply_id=message_id)

    def before(self, user: User, client_id: str, message_id: UUID) -> services.Accepted | None:
        return services.continued_before(user, client_id, message_id)


class StopView(APIView):
    permission_classes = [PersonRequired]
    scopes = {"POST": Scope.CHAT}

    @extend_schema(
        operation_id="messages_stop",
        tags=["messages"],
        summary="Stop a reply",
        description="What is there of it is kept. One that streams ends within moments: its `events` tell. Stopping "
        "one that has ended changes nothing. An API key needs the scope `chat`, as for asking.",
        request=None,
        responses={200: SHOWN},
    )
    def post(self, request: Request, message_id: UUID) -> Response:
        services.request_stop(user=person_of(request), reply_id=message_id)
        return _shown(request, message_id)


class FeedbackView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="messages_feedback_give",
        tags=["messages"],
        summary="Say what one thinks of a reply",
        description="One opinion per reply: a later one replaces it.",
        request=FeedbackSerializer,
        responses={200: OpenApiResponse(FeedbackSerializer, "As stored.", examples=[examples.FEEDBACK_GIVEN])},
        examples=[examples.FEEDBACK],
    )
    def put(self, request: Request, message_id: UUID) -> Response:
        return self._give(request, message_id)

    @extend_schema(
        operation_id="messages_feedback_post",
        tags=["messages"],
        summary="Say what one thinks of a reply",
        description="As PUT.",
        request=FeedbackSerializer,
        responses={200: OpenApiResponse(FeedbackSerializer, "As stored.", examples=[examples.FEEDBACK_GIVEN])},
        examples=[examples.FEEDBACK],
    )
    @idempotent()
    def post(self, request: Request, message_id: UUID) -> Response:
        return self._give(request, message_id)

    @extend_schema(
        operation_id="messages_feedback_delete",
        tags=["messages"],
        summary="Take back what one thought of a reply",
        responses={204: OpenApiResponse(description="There is none now.")},
    )
    def delete(self, request: Request, message_id: UUID) -> Response:
        services.give_feedback(user=person_of(request), message_id=message_id, value=0)
        return Response(status=204)

    def _give(self, request: Request, message_id: UUID) -> Response:
        wanted = FeedbackSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        given = services.give_feedback(user=person_of(request), message_id=message_id, **wanted.validated_data)
        return Response(FeedbackSerializer(given).data)


class HandOverView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="messages_hand_over",
        tags=["messages"],
        summary="Ask for a person",
        description="Below a reply whose `offers` have a `handover`. Asking again changes nothing.",
        request=None,
        responses={200: SHOWN, **problem(409, "This reply does not offer that: `not_offered`.")},
    )
    @idempotent()
    def post(self, request: Request, message_id: UUID) -> Response:
        request_person(user=person_of(request), reply_id=message_id)
        return _shown(request, message_id)


def _shown(request: Request, message_id: UUID) -> Response:
    return Response(MessageSerializer(read_message(user=person_of(request), message_id=message_id)).data)


def _require_beside(message: Message, message_id: UUID, client_id: str) -> None:
    """Raise ``reused`` (422) where ``message`` is not what ``client_id`` stored as a branch beside that of the id."""
    beside = Message.objects.filter(conversation=message.conversation_id, parent=message.parent_id)
    is_beside = message.pk != message_id and beside.filter(pk=message_id).exists()
    if message.client_id != client_id or not is_beside:
        raise reused()
