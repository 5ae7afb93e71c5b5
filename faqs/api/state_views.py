"""Whether an FAQ is in force, its other phrasings and its translations. For editors."""

from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import MayDo
from chatbot_project.lib.api.etag import tagged
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import IF_MATCH
from chatbot_project.lib.errors import NotFound
from faqs import services
from faqs.api import examples
from faqs.api.editing_serializers import PhrasingTextSerializer
from faqs.api.faq_views import AS_IT_IS
from faqs.api.selection import CHANGE, PUBLISH, detail_for, find_faq, held_faq
from faqs.models import FAQ
from faqs.phrasings import phrasings_of
from faqs.translations import link_translation, unlink_translation


class PublishView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": PUBLISH}

    @extend_schema(
        operation_id="faqs_publish",
        tags=["faqs"],
        summary="Publish an FAQ",
        description="From then on it is found by readers and personas. For moderators.",
        parameters=[IF_MATCH],
        request=None,
        responses={200: AS_IT_IS, **problem(409, "Archived, incomplete or past already: `not_publishable`.")},
    )
    @idempotent()
    def post(self, request: Request, faq_id: UUID) -> Response:
        with held_faq(request, faq_id) as faq:
            services.publish_faqs(faqs=[faq], actor=person_of(request))
        return tagged(request, detail_for(request, faq_id))


class ArchiveView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": PUBLISH}

    @extend_schema(
        operation_id="faqs_archive",
        tags=["faqs"],
        summary="Archive an FAQ",
        description="It is kept, and never shown. For moderators.",
        parameters=[IF_MATCH],
        request=None,
        responses={200: AS_IT_IS},
    )
    @idempotent()
    def post(self, request: Request, faq_id: UUID) -> Response:
        with held_faq(request, faq_id) as faq:
            services.archive_faqs(faqs=[faq], actor=person_of(request))
        return tagged(request, detail_for(request, faq_id))


class UnarchiveView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": PUBLISH}

    @extend_schema(
        operation_id="faqs_unarchive",
        tags=["faqs"],
        summary="Make an archived FAQ a draft again",
        description="Any other stays as it is. For moderators.",
        parameters=[IF_MATCH],
        request=None,
        responses={200: AS_IT_IS, **problem(409, "Another FAQ has become its translation: `translation_exists`.")},
    )
    @idempotent()
    def post(self, request: Request, faq_id: UUID) -> Response:
        with held_faq(request, faq_id) as faq:
            services.unarchive_faq(faq=faq, actor=person_of(request))
        return tagged(request, detail_for(request, faq_id))


class PhrasingsView(APIView):
    """All of them at once are set with the FAQ itself."""

    permission_classes = [MayDo]
    permissions = {"POST": CHANGE}

    @extend_schema(
        operation_id="faqs_phrasing_add",
        tags=["faqs"],
        summary="Add another way to ask an FAQ",
        description="Nothing changes where it is there already. For moderators.",
        parameters=[IF_MATCH],
        request=PhrasingTextSerializer,
        responses={200: AS_IT_IS},
        examples=[examples.PHRASING],
    )
    @idempotent()
    def post(self, request: Request, faq_id: UUID) -> Response:
        wanted = PhrasingTextSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with held_faq(request, faq_id) as faq:
            texts = [*phrasings_of(faq), wanted.validated_data["text"]]
            services.edit_faq(faq=faq, actor=person_of(request), phrasings=texts)
        return tagged(request, detail_for(request, faq_id))


class TranslationView(APIView):
    permission_classes = [MayDo]
    permissions = {"*": CHANGE}

    @extend_schema(
        operation_id="faqs_translation_link",
        tags=["faqs"],
        summary="Make two FAQs translations of one another",
        description="Each with those that it has already. For moderators.",
        request=None,
        responses={
            200: AS_IT_IS,
            **problem(409, "Both sides have a translation in one language: `translation_exists`."),
        },
    )
    def put(self, request: Request, faq_id: UUID, other_id: UUID) -> Response:
        faq, other = find_faq(FAQ.objects.all(), faq_id), find_faq(FAQ.objects.all(), other_id)
        link_translation(faq=faq, other=other, actor=person_of(request))
        return tagged(request, detail_for(request, faq_id))

    @extend_schema(
        operation_id="faqs_translation_unlink",
        tags=["faqs"],
        summary="Take an FAQ out of the translations of another",
        description="The others stay together. For moderators.",
        responses={204: OpenApiResponse(description="They are no translations of one another now.")},
    )
    def delete(self, request: Request, faq_id: UUID, other_id: UUID) -> Response:
        faq, other = find_faq(FAQ.objects.all(), faq_id), find_faq(FAQ.objects.all(), other_id)
        if faq == other or faq.translation_group != other.translation_group:
            raise NotFound(_("These are no translations of one another."))
        unlink_translation(faq=other, actor=person_of(request))
        return Response(status=204)
