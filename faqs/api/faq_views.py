"""FAQs: read by those whom they are meant for, written by editors."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.answers import PublishedView
from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import may
from chatbot_project.lib.api.etag import tagged
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import (
    IF_MATCH,
    IF_NONE_MATCH,
    NOT_MODIFIED,
    PAGE_PARAMETERS,
    ordering_parameter,
    page_of,
)
from chatbot_project.lib.api.paging import read_page
from faqs import services
from faqs.api import examples
from faqs.api.editing_serializers import FAQFilterSerializer, NewFAQSerializer, own_fields
from faqs.api.selection import ADD, CHANGE, DELETE, VIEW, chosen_faqs, detail_for, held_faq
from faqs.api.serializers import FAQDetailSerializer, FAQSerializer, PublicFAQSerializer

ORDERINGS = {
    "question": ("question", "id"),
    "-question": ("-question", "-id"),
    "-updated_at": ("-updated_at", "-id"),
    "updated_at": ("updated_at", "id"),
}
AS_IT_IS = OpenApiResponse(FAQDetailSerializer, "As it is now.", examples=[examples.EDITED_FAQ])
_TAKEN = problem(409, "Another translation of it has that language: `translation_exists`.")


class FAQsView(PublishedView):
    permissions = {"POST": ADD}

    @extend_schema(
        operation_id="faqs_list",
        tags=["faqs"],
        summary="FAQs one may read",
        description="Published, valid now and meant for the caller; also without signing in. Translations of one "
        "another are FAQs of their own.",
        parameters=[*PAGE_PARAMETERS, ordering_parameter(ORDERINGS), FAQFilterSerializer],
        responses={200: OpenApiResponse(page_of(FAQSerializer), "FAQs.", examples=[examples.FAQS])},
    )
    def get(self, request: Request) -> Response:
        faqs = chosen_faqs(self, request).select_related("category", "owner").defer("search")
        page = read_page(faqs, request.query_params, orderings=ORDERINGS)
        shape = FAQSerializer if may(request, VIEW) else PublicFAQSerializer
        return Response(page.answer(list(shape(page.rows, many=True).data)))

    @extend_schema(
        operation_id="faqs_create",
        tags=["faqs"],
        summary="Write an FAQ",
        description="As a draft: nobody but editors sees it before it is published. For moderators.",
        request=NewFAQSerializer,
        responses={201: OpenApiResponse(FAQDetailSerializer, "The draft.", examples=[examples.EDITED_FAQ])},
        examples=[examples.NEW_FAQ],
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        wanted = NewFAQSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        faq = services.create_faq(actor=person_of(request), **own_fields(wanted.validated_data))
        return tagged(request, detail_for(request, faq.pk), status=201, location=f"/api/v1/faqs/{faq.pk}")


class FAQView(PublishedView):
    permissions = {"PUT": CHANGE, "PATCH": CHANGE, "DELETE": DELETE}

    @extend_schema(
        operation_id="faqs_get",
        tags=["faqs"],
        summary="One FAQ",
        description="With its answer as safe HTML and its translations that the caller may read. For editors also one "
        "that is a draft, archived or not valid now.",
        parameters=[IF_NONE_MATCH],
        responses={
            200: OpenApiResponse(FAQDetailSerializer, "The FAQ.", examples=[examples.FAQ]),
            **NOT_MODIFIED,
        },
    )
    def get(self, request: Request, faq_id: UUID) -> Response:
        return tagged(request, detail_for(request, faq_id))

    @extend_schema(
        operation_id="faqs_replace",
        tags=["faqs"],
        summary="Write an FAQ anew",
        description="What is left out goes back to its default. What is published changes for readers at once. For "
        "moderators.",
        parameters=[IF_MATCH],
        request=NewFAQSerializer,
        responses={200: AS_IT_IS, **_TAKEN},
        examples=[examples.NEW_FAQ],
    )
    def put(self, request: Request, faq_id: UUID) -> Response:
        return self._edit(request, faq_id, NewFAQSerializer(data=request.data))

    @extend_schema(
        operation_id="faqs_edit",
        tags=["faqs"],
        summary="Change an FAQ",
        description="What is left out stays. What is published changes for readers at once. For moderators.",
        parameters=[IF_MATCH],
        request=NewFAQSerializer,
        responses={200: AS_IT_IS, **_TAKEN},
        examples=[examples.EDIT],
    )
    def patch(self, request: Request, faq_id: UUID) -> Response:
        return self._edit(request, faq_id, NewFAQSerializer(data=request.data, partial=True))

    def _edit(self, request: Request, faq_id: UUID, wanted: Any) -> Response:
        wanted.is_valid(raise_exception=True)
        with held_faq(request, faq_id) as faq:
            services.edit_faq(faq=faq, actor=person_of(request), **own_fields(wanted.validated_data))
        return tagged(request, detail_for(request, faq_id))

    @extend_schema(
        operation_id="faqs_delete",
        tags=["faqs"],
        summary="Delete an FAQ for good",
        description="With its history; archiving is the normal way. For admins.",
        parameters=[IF_MATCH],
        responses={204: OpenApiResponse(description="It is gone.")},
    )
    def delete(self, request: Request, faq_id: UUID) -> Response:
        with held_faq(request, faq_id) as faq:
            services.delete_faq(faq=faq, actor=person_of(request))
        return Response(status=204)
