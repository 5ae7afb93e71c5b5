"""What people asked in vain, for the editors. Who asked is never told."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import MayDo
from accounts.api.serializers import AnySerializer
from chatbot_project.lib.api.etag import tagged
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import (
    IF_NONE_MATCH,
    NOT_MODIFIED,
    PAGE_PARAMETERS,
    ordering_parameter,
    page_of,
)
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import NotFound
from faqs import gaps
from faqs.api import examples
from faqs.api.editing_serializers import LANGUAGE, own_fields
from faqs.api.selection import ADD, detail_for
from faqs.api.serializers import FAQDetailSerializer
from faqs.gap_drafts import draft_from_gap
from faqs.gap_tasks import queue_answer
from faqs.models import Gap, GapQuestion

VIEW, CHANGE = "faqs.view_gap", "faqs.change_gap"
SHOWN = 20  # newest questions of a gap
ORDERINGS = {
    "-count": ("-count", "-last_seen_at", "id"),
    "-last_seen_at": ("-last_seen_at", "id"),
    "first_seen_at": ("first_seen_at", "id"),
}


class GapSerializer(AnySerializer):
    """Questions that ask much the same and found no good answer; ``question`` stands for them."""

    id = serializers.UUIDField()
    question = serializers.CharField(help_text="Without personal data.")
    language = serializers.CharField()
    status = serializers.ChoiceField(choices=Gap.Status.choices)
    count = serializers.IntegerField(help_text="How often it was asked.")
    faq = serializers.UUIDField(source="faq_id", allow_null=True, help_text="The FAQ that was begun for it.")
    reason = serializers.CharField(help_text="Why it was dismissed.")
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()


class GapQuestionSerializer(AnySerializer):
    text = serializers.CharField()
    source = serializers.ChoiceField(  # type: ignore[assignment]  # the metaclass takes fields off the class
        choices=GapQuestion.Source.choices
    )
    created_at = serializers.DateTimeField()


class GapDetailSerializer(GapSerializer):
    """One gap."""

    questions = GapQuestionSerializer(many=True, help_text=f"The newest, at most {SHOWN}.")


class GapFilterSerializer(AnySerializer):
    status = serializers.ChoiceField(
        choices=[*Gap.Status.values, "any"], required=False, help_text="Without it: open or drafted."
    )
    language = serializers.RegexField(LANGUAGE, required=False)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=GapQuestion.Source.choices, required=False, help_text="With a question from there."
    )


class ReasonSerializer(AnySerializer):
    reason = serializers.CharField(min_length=gaps.MIN_REASON, max_length=gaps.MAX_REASON)


class GapsView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="faq_gaps_list",
        tags=["faqs"],
        summary="What people asked in vain",
        description="Most asked first. For moderators.",
        parameters=[*PAGE_PARAMETERS, ordering_parameter(ORDERINGS), GapFilterSerializer],
        responses={200: OpenApiResponse(page_of(GapSerializer), "Gaps.", examples=[examples.GAPS])},
    )
    def get(self, request: Request) -> Response:
        page = read_page(_chosen(request), request.query_params, orderings=ORDERINGS)
        return Response(page.answer(list(GapSerializer(page.rows, many=True).data)))


class GapView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="faq_gaps_get",
        tags=["faqs"],
        summary="One gap",
        description="With its newest questions. For moderators.",
        parameters=[IF_NONE_MATCH],
        responses={200: OpenApiResponse(GapDetailSerializer, "The gap.", examples=[examples.GAP]), **NOT_MODIFIED},
    )
    def get(self, request: Request, gap_id: UUID) -> Response:
        return tagged(request, _detail(gap_id))


class DismissView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": (VIEW, CHANGE)}

    @extend_schema(
        operation_id="faq_gaps_dismiss",
        tags=["faqs"],
        summary="Say why nothing is to be written",
        description="For moderators.",
        request=ReasonSerializer,
        responses={
            200: OpenApiResponse(GapDetailSerializer, "As it is now.", examples=[examples.GAP]),
            **problem(409, "It is dismissed already: `already_dismissed`."),
        },
        examples=[examples.DISMISS],
    )
    @idempotent()
    def post(self, request: Request, gap_id: UUID) -> Response:
        wanted = ReasonSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        gaps.dismiss_gap(gap=_find(gap_id), actor=person_of(request), **wanted.validated_data)
        return tagged(request, _detail(gap_id))


class ReopenView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": (VIEW, CHANGE)}

    @extend_schema(
        operation_id="faq_gaps_reopen",
        tags=["faqs"],
        summary="Put a gap back among the open ones",
        description="Apart from the FAQ that was begun for it. For moderators.",
        request=None,
        responses={200: OpenApiResponse(GapDetailSerializer, "As it is now.", examples=[examples.GAP])},
    )
    @idempotent()
    def post(self, request: Request, gap_id: UUID) -> Response:
        gaps.reopen_gap(gap=_find(gap_id), actor=person_of(request))
        return tagged(request, _detail(gap_id))


class DraftView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": (VIEW, CHANGE, ADD)}

    @extend_schema(
        operation_id="faq_gaps_draft",
        tags=["faqs"],
        summary="Begin an FAQ for a gap",
        description="With its questions as phrasings. Its answer is yet to be written; where there is a model for "
        "that, it drafts one in the background. It shows to nobody before it is published. For moderators.",
        request=None,
        responses={
            201: OpenApiResponse(FAQDetailSerializer, "The draft.", examples=[examples.EDITED_FAQ]),
            **problem(409, "There is an FAQ for it already: `already_drafted`."),
        },
    )
    @idempotent()
    def post(self, request: Request, gap_id: UUID) -> Response:
        actor = person_of(request)
        faq = draft_from_gap(gap=_find(gap_id), actor=actor)
        queue_answer(faq, actor)
        return tagged(request, detail_for(request, faq.pk), status=201, location=f"/api/v1/faqs/{faq.pk}")


def _chosen(request: Request) -> QuerySet[Gap]:
    query = GapFilterSerializer(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    wanted = own_fields(query.validated_data)
    found = Gap.objects.defer("vector")
    status = wanted.get("status")
    if status != "any":
        found = found.filter(status=status) if status else found.filter(status__in=gaps.LIVE)
    if language := wanted.get("language"):
        found = found.filter(language=language)
    if source := wanted.get("source"):
        found = found.filter(pk__in=GapQuestion.objects.filter(source=source).values("gap"))
    return found


def _find(gap_id: UUID) -> Gap:
    """Raises NotFound."""
    found = Gap.objects.defer("vector").filter(pk=gap_id).first()
    if found is None:
        raise NotFound
    return found


def _detail(gap_id: UUID) -> dict[str, Any]:
    """The gap and its newest questions. Raises NotFound. Two queries."""
    gap = _find(gap_id)
    newest = gap.questions.only("text", "source", "created_at", "gap")[:SHOWN]
    return GapSerializer(gap).data | {"questions": GapQuestionSerializer(newest, many=True).data}
