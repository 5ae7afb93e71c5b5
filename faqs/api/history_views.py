"""What an FAQ said before: versions listed, compared and brought back. For editors."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import MayDo
from accounts.api.serializers import AnySerializer
from chatbot_project.lib.api.errors import InvalidInput
from chatbot_project.lib.api.etag import tagged
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, PAGE_PARAMETERS, page_of
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import NotFound
from faqs.api import examples
from faqs.api.diffs import DiffSerializer, diff_body
from faqs.api.editing_serializers import VersionNumberSerializer
from faqs.api.faq_views import AS_IT_IS
from faqs.api.selection import CHANGE, VIEW, detail_for, find_faq, held_faq
from faqs.history import diff_versions, restore_version
from faqs.models import FAQ, Category, FAQVersion

NUMBER = {"type": "integer", "minimum": 1, "maximum": 99_999_999}


class FAQVersionLineSerializer(AnySerializer):
    """A version in the history."""

    number = serializers.IntegerField()
    note = serializers.CharField()
    author = serializers.CharField(source="author.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()


class FAQVersionSerializer(FAQVersionLineSerializer):
    """A version with what the FAQ said."""

    question = serializers.CharField(source="content.question")
    answer = serializers.CharField(source="content.answer")
    language = serializers.CharField(source="content.language")
    category = serializers.CharField(allow_null=True, help_text="Its slug; null also where that category is gone.")
    tags = serializers.ListField(source="content.tags", child=serializers.CharField())
    visibility = serializers.CharField(source="content.visibility")
    valid_from = serializers.DateTimeField(source="content.valid_from", allow_null=True)
    valid_until = serializers.DateTimeField(source="content.valid_until", allow_null=True)
    phrasings = serializers.ListField(source="content.phrasings", child=serializers.CharField())


class VersionsView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="faqs_versions",
        tags=["faqs"],
        summary="The versions of an FAQ",
        description="Newest first: each is what it said from one change to the next. For moderators.",
        parameters=PAGE_PARAMETERS,
        responses={200: OpenApiResponse(page_of(FAQVersionLineSerializer), "Versions.", examples=[examples.VERSIONS])},
    )
    def get(self, request: Request, faq_id: UUID) -> Response:
        versions = find_faq(FAQ.objects.all(), faq_id).versions.select_related("author").defer("content")
        page = read_page(versions, request.query_params, orderings={"newest": ("-number",)})
        return Response(page.answer(list(FAQVersionLineSerializer(page.rows, many=True).data)))


class VersionView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="faqs_version",
        tags=["faqs"],
        summary="One version of an FAQ",
        description="For moderators.",
        parameters=[IF_NONE_MATCH],
        responses={
            200: OpenApiResponse(FAQVersionSerializer, "The version.", examples=[examples.VERSION]),
            **NOT_MODIFIED,
        },
    )
    def get(self, request: Request, faq_id: UUID, number: int) -> Response:
        version = _find_version(find_faq(FAQ.objects.all(), faq_id), str(number))
        if version is None:
            raise NotFound
        return tagged(request, _body(version))


class DiffView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="faqs_diff",
        tags=["faqs"],
        summary="What changed between two versions of an FAQ",
        description="Line by line; without both numbers, the newest two are compared. For moderators.",
        parameters=[OpenApiParameter("old", NUMBER), OpenApiParameter("new", NUMBER)],
        responses={200: OpenApiResponse(DiffSerializer, "The changes.", examples=[examples.DIFF])},
    )
    def get(self, request: Request, faq_id: UUID) -> Response:
        old, new = _compared(find_faq(FAQ.objects.all(), faq_id), request.query_params)
        return Response(diff_body(str(old.number), str(new.number), diff_versions(old, new)))


class RestoreView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": CHANGE}

    @extend_schema(
        operation_id="faqs_restore",
        tags=["faqs"],
        summary="Make an earlier version the FAQ's content again",
        description="Under a new number. What is published changes for readers at once. For moderators.",
        parameters=[IF_MATCH],
        request=VersionNumberSerializer,
        responses={
            200: AS_IT_IS,
            **problem(409, "Another translation of it has that language: `translation_exists`."),
        },
        examples=[examples.RESTORE],
    )
    @idempotent()
    def post(self, request: Request, faq_id: UUID) -> Response:
        wanted = VersionNumberSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with held_faq(request, faq_id) as faq:
            version = _find_version(faq, str(wanted.validated_data["number"]))
            if version is None:
                raise InvalidInput({"number": [_("There is no such version.")]})
            restore_version(faq=faq, version=version, actor=person_of(request))
        return tagged(request, detail_for(request, faq_id))


def _find_version(faq: FAQ, number: str) -> FAQVersion | None:
    is_number = number.isascii() and number.isdigit() and len(number) < 9
    return faq.versions.select_related("author").filter(number=number).first() if is_number else None


def _compared(faq: FAQ, query: Any) -> tuple[FAQVersion, FAQVersion]:
    """The versions that the query names, else the newest two. Raises InvalidInput, NotFound where there is but one."""
    if "old" not in query and "new" not in query:
        newest = list(faq.versions.all()[:2])
        if len(newest) < 2:
            raise NotFound(_("There are no two versions yet."))
        return newest[1], newest[0]
    old, new = (_find_version(faq, query.get(name, "")) for name in ("old", "new"))
    if old is None or new is None:
        missing = [name for name, version in (("old", old), ("new", new)) if version is None]
        raise InvalidInput({name: [_("There is no such version.")] for name in missing})
    return old, new


def _body(version: FAQVersion) -> dict[str, Any]:
    shown: Any = version
    category = version.content.get("category")
    shown.category = Category.objects.filter(pk=category).values_list("slug", flat=True).first() if category else None
    return FAQVersionSerializer(shown).data
