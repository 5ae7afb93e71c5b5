"""What was held back: of one's own messages, with one's objection; for moderators, the queue and their decisions."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import MayDo, PersonRequired
from accounts.audit.recording import record_reading
from accounts.scopes import Scope
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import PAGE_PARAMETERS, page_of
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import NotFound
from conversations.api.serializers import ROLES
from conversations.safety.findings import MAX_TEXT, appeal_item, decide_item
from conversations.safety.models import Action, Category, ModerationItem, Source
from conversations.safety.scores import points_of

if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
    ItemBase = serializers.Serializer[ModerationItem]
else:
    AnySerializer = ItemBase = serializers.Serializer

State = ModerationItem.State
DECISIONS = [State.UPHELD.value, State.DISMISSED.value]


class HeldBackSerializer(ItemBase):
    """A message of one's own that was held back, or found to break a rule. Its text is the message's."""

    id = serializers.UUIDField()
    message = serializers.UUIDField(source="message_id")
    conversation = serializers.UUIDField(source="message.conversation_id")
    role = serializers.ChoiceField(choices=ROLES, source="message.role", help_text="A question, or a reply to one.")
    action = serializers.ChoiceField(choices=Action.choices)
    category = serializers.ChoiceField(choices=Category.choices)
    created_at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=State.choices)
    answer = serializers.CharField(help_text="A moderator's answer; empty for none.")
    decided_at = serializers.DateTimeField(allow_null=True)
    objection = serializers.CharField(source="appeal")
    objected_at = serializers.DateTimeField(source="appealed_at", allow_null=True)
    can_object = serializers.BooleanField(source="can_appeal")


class QueueItemSerializer(HeldBackSerializer):
    """A message that broke a rule, for moderators: whose, why, and what was made of it. What was written is read in
    the admin, for a reason."""

    person = serializers.UUIDField(source="owner_id")
    username = serializers.CharField(source="owner.username")
    source = serializers.ChoiceField(  # type: ignore[assignment]  # a field's name, which the metaclass takes out
        choices=Source.choices, help_text="What found it."
    )
    score = serializers.FloatField(allow_null=True, help_text="The endpoint's.")
    rule = serializers.CharField(source="rule.phrase", allow_null=True, default=None, help_text="The rule's phrase.")
    note = serializers.CharField(help_text="Among moderators.")


class DecidedSerializer(QueueItemSerializer):
    """The same with what the person's violations come to now."""

    points = serializers.SerializerMethodField(help_text="Of the person, after this decision.")

    def get_points(self, item: ModerationItem) -> int:
        return points_of(item.owner_id)


class ObjectionSerializer(AnySerializer):
    text = serializers.CharField(max_length=MAX_TEXT, help_text="Why you object.")


class RulingSerializer(AnySerializer):
    state = serializers.ChoiceField(choices=DECISIONS, help_text="`upheld`: it breaks the rule; `dismissed`: not.")
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=MAX_TEXT)
    answer = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=MAX_TEXT, help_text="To the person."
    )


class QueueQuerySerializer(AnySerializer):
    state = serializers.ChoiceField(choices=State.choices, required=False)
    objected = serializers.BooleanField(required=False, allow_null=True, default=None)


_ITEM = {
    "id": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d20",
    "message": "01935f6e-7c1a-7f02-a7d4-5d2c1e8b9a31",
    "conversation": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10",
    "role": "user",
    "action": "block",
    "category": "violence",
    "created_at": "2026-03-02T10:00:00Z",
    "state": "open",
    "answer": "",
    "decided_at": None,
    "objection": "",
    "objected_at": None,
    "can_object": True,
}
_QUEUED = _ITEM | {
    "person": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d11",
    "username": "ada",
    "source": "rule",
    "score": None,
    "rule": "quokka trap",
    "note": "",
}
ITEM = OpenApiExample("held back", _ITEM, response_only=True)
ITEMS = OpenApiExample("held back", {"items": [_ITEM], "next": None}, response_only=True)
QUEUE = OpenApiExample("the queue", {"items": [_QUEUED], "next": None}, response_only=True)
DECIDED = OpenApiExample(
    "decided", _QUEUED | {"state": "upheld", "decided_at": "2026-03-02T11:00:00Z", "points": 3}, response_only=True
)


class HeldBackView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="held_back_list",
        tags=["moderation"],
        summary="What was held back of one's own",
        description="Questions that were not answered and replies that were broken off or withdrawn, the newest first; "
        "what was only flagged is told once a moderator found that it breaks a rule.",
        parameters=PAGE_PARAMETERS,
        responses={200: OpenApiResponse(page_of(HeldBackSerializer), "A page.", examples=[ITEMS])},
    )
    def get(self, request: Request) -> Response:
        found = ModerationItem.objects.visible_to(person_of(request)).select_related("message")
        page = read_page(found, request.query_params, orderings={"-created_at": ("-created_at", "-id")})
        return Response(page.answer([HeldBackSerializer(row).data for row in page.rows]))


class ObjectionView(APIView):
    permission_classes = [PersonRequired]
    scopes = {"POST": Scope.WRITE}

    @extend_schema(
        operation_id="held_back_object",
        tags=["moderation"],
        summary="Object to what was held back",
        description="Once for each; a moderator looks at it again.",
        request=ObjectionSerializer,
        responses={
            200: OpenApiResponse(HeldBackSerializer, "As it is now.", examples=[ITEM]),
            **problem(409, "It was objected to already, or taken back: `not_offered`."),
        },
        examples=[OpenApiExample("why", {"text": "It is the name of a band."}, request_only=True)],
    )
    @idempotent()
    def post(self, request: Request, item_id: UUID) -> Response:
        wanted = ObjectionSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        item = appeal_item(user=person_of(request), item_id=item_id, **wanted.validated_data)
        return Response(HeldBackSerializer(item).data)


class QueueView(APIView):
    """For staff who may see the queue."""

    permission_classes = [MayDo]
    permissions = {"GET": "conversations.view_moderationitem"}

    @extend_schema(
        operation_id="moderation_queue",
        tags=["moderation"],
        summary="The moderators' queue",
        description="Messages that broke a rule, the oldest first. That it was read is recorded. For moderators; an "
        "API key needs the scope `staff`.",
        parameters=[
            *PAGE_PARAMETERS,
            OpenApiParameter("state", {"type": "string", "enum": State.values}, description="Only these."),
            OpenApiParameter("objected", bool, description="Only what was, or was not, objected to."),
        ],
        responses={200: OpenApiResponse(page_of(QueueItemSerializer), "A page.", examples=[QUEUE])},
    )
    def get(self, request: Request) -> Response:
        wanted = QueueQuerySerializer(data=request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        found = ModerationItem.objects.select_related("message", "owner", "rule").defer("message__text")
        if state := wanted.validated_data.get("state"):
            found = found.filter(state=state)
        if (objected := wanted.validated_data["objected"]) is not None:
            found = found.filter(appealed_at__isnull=not objected)
        page = read_page(found, request.query_params, orderings={"created_at": ("created_at", "id")})
        record_reading(actor=person_of(request), action="moderation.read", obj=ModerationItem)
        return Response(page.answer([QueueItemSerializer(row).data for row in page.rows]))


class DecisionView(APIView):
    """For staff who may decide."""

    permission_classes = [MayDo]
    permissions = {"POST": "conversations.change_moderationitem"}

    @extend_schema(
        operation_id="moderation_decide",
        tags=["moderation"],
        summary="Decide on a message that broke a rule",
        description="Uphold or dismiss it, with a note among moderators and an answer to the person. Deciding again, "
        "as after an objection, replaces the decision. Recorded; whoever objected is told by mail.",
        request=RulingSerializer,
        responses={200: OpenApiResponse(DecidedSerializer, "As it is now.", examples=[DECIDED])},
        examples=[OpenApiExample("uphold", {"state": "upheld", "note": "Clear."}, request_only=True)],
    )
    @idempotent()
    def post(self, request: Request, item_id: UUID) -> Response:
        wanted = RulingSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        item = ModerationItem.objects.filter(pk=item_id).first()
        if item is None:
            raise NotFound
        decided = decide_item(item=item, actor=person_of(request), **wanted.validated_data)
        return Response(DecidedSerializer(decided).data)
