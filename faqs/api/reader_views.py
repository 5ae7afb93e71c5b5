"""What readers do with FAQs: ask, and say whether one helped."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.permissions import PersonRequired, Reader, audience_of
from accounts.throttles import ModelThrottle
from chatbot_project.lib.api.idempotency import idempotent
from faqs import services
from faqs.api import examples
from faqs.api.editing_serializers import GivenOpinionSerializer, OpinionSerializer, SearchSerializer, own_fields
from faqs.api.selection import find_faq
from faqs.api.serializers import FoundSerializer
from faqs.models import FAQ, Category
from faqs.retrieval import find_answer


class SearchView(APIView):
    permission_classes = [Reader]
    throttle_classes = [ModelThrottle]

    @extend_schema(
        operation_id="faqs_search",
        tags=["faqs"],
        summary="Which FAQs answer a question",
        description="By meaning and words, as personas find them: only what is published, valid now and meant for the "
        "caller; of translations of one another only one. Also without signing in.",
        parameters=[SearchSerializer],
        responses={200: OpenApiResponse(FoundSerializer, "What was found.", examples=[examples.FOUND])},
    )
    def get(self, request: Request) -> Response:
        query = SearchSerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted = own_fields(query.validated_data)
        category = wanted.get("category")
        found = find_answer(
            wanted["q"],
            visibilities=audience_of(request),
            categories=[category] if category else None,
            language=wanted.get("language"),
            limit=wanted["limit"],
        )
        slugs = _slugs({match.category for match in found.matches if match.category})
        items = [_match(match, slugs) for match in found.matches]
        body = {"items": items, "language": found.language, "outside": found.outside}
        return Response(FoundSerializer(body | {"below_floor": found.is_below_floor}).data)


class FeedbackView(APIView):
    permission_classes = [PersonRequired]

    @extend_schema(
        operation_id="faqs_feedback",
        tags=["faqs"],
        summary="Say whether an FAQ helped",
        description="One word per person, guests included; the last one counts. An FAQ that did not help becomes a "
        "question for the editors.",
        request=OpinionSerializer,
        responses={200: OpenApiResponse(GivenOpinionSerializer, "As it is kept.", examples=[examples.GIVEN_OPINION])},
        examples=[examples.OPINION],
    )
    @idempotent()
    def post(self, request: Request, faq_id: UUID) -> Response:
        wanted = OpinionSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        faq = find_faq(FAQ.objects.meant_for(audience_of(request)), faq_id)
        given = services.give_faq_feedback(faq=faq, user=person_of(request), **wanted.validated_data)
        return Response(GivenOpinionSerializer(given).data)


def _slugs(categories: set[UUID]) -> dict[UUID, str]:
    return dict(Category.objects.filter(pk__in=categories).values_list("pk", "slug")) if categories else {}


def _match(match: Any, slugs: dict[UUID, str]) -> dict[str, Any]:
    names = ("faq", "question", "answer", "language", "version", "score", "confidence", "phrasing")
    return {name: getattr(match, name) for name in names} | {"category": slugs.get(match.category)}
