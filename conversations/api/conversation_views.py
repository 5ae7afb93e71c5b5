"""The list of one's conversations, and what is done with one of them."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import PersonRequired
from chatbot_project.lib.api.etag import etag_of, is_known, require_match
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import (
    ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    NOT_MODIFIED,
    PAGE_PARAMETERS,
    ordering_parameter,
    page_of,
)
from chatbot_project.lib.api.paging import read_page
from conversations import keeping
from conversations.api import examples
from conversations.api.conversation_serializers import (
    BranchSerializer,
    ChangeConversationSerializer,
    ClearedSerializer,
    ClearSerializer,
    ListQuerySerializer,
    NewConversationSerializer,
)
from conversations.api.serializers import ConversationSerializer
from conversations.models import LIST_ORDERINGS, Conversation
from conversations.selectors import find_conversation

SHOWN = OpenApiResponse(ConversationSerializer, "The conversation as it is now.", examples=[examples.A_CONVERSATION])


class ConversationsView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="conversations_list",
        tags=["conversations"],
        summary="One's conversations",
        description="Pinned ones first, then the newest activity, unless `ordering` says otherwise. `search` looks at "
        "titles, not at what was said. What was asked in passing (`expires_at`) is in no list.",
        parameters=[*PAGE_PARAMETERS, ordering_parameter(LIST_ORDERINGS), ListQuerySerializer],
        responses={200: OpenApiResponse(page_of(ConversationSerializer), "A page.", examples=[examples.CONVERSATIONS])},
    )
    def get(self, request: Request) -> Response:
        wanted = ListQuerySerializer(data=request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        query = wanted.validated_data
        found = Conversation.objects.visible_to(person_of(request)).listed(archived=query["archived"])
        found = found.titled(query.get("search", ""))
        if "persona" in query:
            found = found.with_persona(query["persona"])
        page = read_page(found, request.query_params, orderings=LIST_ORDERINGS)
        return Response(page.answer([ConversationSerializer(each).data for each in page.rows]))

    @extend_schema(
        operation_id="conversations_create",
        tags=["conversations"],
        summary="Begin a conversation",
        description="Without a message: `chat/send` with its id asks the first question.",
        parameters=[ETAG],
        request=NewConversationSerializer,
        responses={
            201: OpenApiResponse(ConversationSerializer, "The conversation.", examples=[examples.EMPTY_CONVERSATION]),
            **problem(404, "There is no such persona: `not_found`."),
        },
        examples=[examples.NEW_CONVERSATION],
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        wanted = NewConversationSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        conversation = keeping.create_conversation(
            user=person_of(request),
            persona_slug=data.get("persona"),
            title=data.get("title", ""),
            metadata=data.get("metadata"),
        )
        return _shown(conversation, status=201, Location=f"/api/v1/conversations/{conversation.pk}")


class ConversationView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="conversations_get",
        tags=["conversations"],
        summary="A conversation",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: SHOWN, **NOT_MODIFIED},
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        conversation = find_conversation(user=person_of(request), conversation_id=conversation_id)
        if is_known(request, conversation_etag(conversation)):
            return Response(status=304, headers={"ETag": conversation_etag(conversation)})
        return _shown(conversation)

    @extend_schema(
        operation_id="conversations_replace",
        tags=["conversations"],
        summary="Set all that can be set of a conversation",
        parameters=[IF_MATCH, ETAG],
        request=ChangeConversationSerializer,
        responses={200: SHOWN},
        examples=[examples.REPLACE_CONVERSATION],
    )
    def put(self, request: Request, conversation_id: UUID) -> Response:
        return self._change(request, conversation_id, partial=False)

    @extend_schema(
        operation_id="conversations_change",
        tags=["conversations"],
        summary="Rename, pin or archive a conversation, or set its metadata",
        description="What is left out stays.",
        parameters=[IF_MATCH, ETAG],
        request=ChangeConversationSerializer,
        responses={200: SHOWN},
        examples=[examples.CHANGE_CONVERSATION],
    )
    def patch(self, request: Request, conversation_id: UUID) -> Response:
        return self._change(request, conversation_id, partial=True)

    @extend_schema(
        operation_id="conversations_delete",
        tags=["conversations"],
        summary="Delete a conversation",
        description="It is absent at once, and what is being answered in it is stopped. For a day, or as the operator "
        "says, `restore` undoes it; then it is removed for good.",
        parameters=[IF_MATCH],
        responses={204: OpenApiResponse(description="Deleted.")},
    )
    def delete(self, request: Request, conversation_id: UUID) -> Response:
        keeping.delete_conversation(
            user=person_of(request), conversation_id=conversation_id, check=_state_matches(request)
        )
        return Response(status=204)

    def _change(self, request: Request, conversation_id: UUID, *, partial: bool) -> Response:
        wanted = ChangeConversationSerializer(data=request.data, partial=partial)
        wanted.is_valid(raise_exception=True)
        return _shown(
            keeping.change_conversation(
                user=person_of(request),
                conversation_id=conversation_id,
                check=_state_matches(request),
                **wanted.validated_data,
            )
        )


class RestoreView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="conversations_restore",
        tags=["conversations"],
        summary="Undo a deletion",
        description="Within a day, or as the operator says. One that is not deleted stays as it is.",
        parameters=[ETAG],
        request=None,
        responses={200: SHOWN},
    )
    @idempotent()
    def post(self, request: Request, conversation_id: UUID) -> Response:
        return _shown(keeping.restore_conversation(user=person_of(request), conversation_id=conversation_id))


class ClearView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="conversations_clear",
        tags=["conversations"],
        summary="Delete all of one's conversations",
        description="As deleting each of them: for a day, or as the operator says, `restore` of each undoes it.",
        request=ClearSerializer,
        responses={200: OpenApiResponse(ClearedSerializer, "Deleted.", examples=[examples.CLEARED])},
        examples=examples.CLEAR,
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        wanted = ClearSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        deleted = keeping.clear_conversations(user=person_of(request), archived_only=wanted.validated_data["archived"])
        return Response({"deleted": deleted})


class SelectBranchView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="conversations_select_branch",
        tags=["conversations"],
        summary="Show another branch",
        description="The branch that goes through `message` is shown from now on, and goes on with the next question.",
        parameters=[ETAG],
        request=BranchSerializer,
        responses={200: SHOWN},
        examples=[examples.SELECT_BRANCH],
    )
    @idempotent()
    def post(self, request: Request, conversation_id: UUID) -> Response:
        wanted = BranchSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        return _shown(
            keeping.select_branch(
                user=person_of(request),
                conversation_id=conversation_id,
                message_id=wanted.validated_data["message"],
            )
        )


def conversation_etag(conversation: Conversation) -> str:
    """Names the conversation's state: the revision rises with all that its answer shows."""
    return etag_of("conversation", conversation.pk, conversation.revision)


def _state_matches(request: Request) -> keeping.Check:
    """Refuses a change of a conversation that is not as ``If-Match`` says."""
    return lambda conversation: require_match(request, conversation_etag(conversation))


def _shown(conversation: Conversation, *, status: int = 200, **headers: Any) -> Response:
    headers["ETag"] = conversation_etag(conversation)
    return Response(ConversationSerializer(conversation).data, status=status, headers=headers)
