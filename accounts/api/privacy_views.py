"""One's own data: what one agrees to."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import examples
from accounts.api.authentication import person_of
from accounts.api.permissions import OwnSignIn
from accounts.api.privacy_serializers import DecisionSerializer, PolicySerializer, StandingSerializer
from accounts.models import Consent, Purpose
from accounts.privacy import consents
from accounts.privacy.consents import Standing
from accounts.privacy.policies import Policy, policies
from chatbot_project.lib.api.openapi import page_of
from chatbot_project.lib.errors import NotFound

PURPOSE = OpenApiParameter("purpose", str, OpenApiParameter.PATH, enum=Purpose.values)


class PoliciesView(APIView):
    """Anybody may read what people are asked to agree to, before they have an account, too."""

    authentication_classes = ()
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="privacy_policies",
        tags=["privacy"],
        summary="What one is asked to agree to",
        description="The versions in force. None of it is needed to use the service: that rests on the contract.",
        responses={200: OpenApiResponse(page_of(PolicySerializer), "Policies.", examples=[examples.POLICIES])},
    )
    def get(self, request: Request) -> Response:
        return Response({"items": [_policy(each) for each in policies()], "next": None})


class ConsentsView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="privacy_consents",
        tags=["privacy"],
        summary="What one agrees to",
        responses={200: OpenApiResponse(page_of(StandingSerializer), "By purpose.", examples=[examples.CONSENTS])},
    )
    def get(self, request: Request) -> Response:
        found = consents.standings(person_of(request))
        return Response({"items": [_standing(each) for each in found], "next": None})


class ConsentView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="privacy_decide",
        tags=["privacy"],
        summary="Agree, or withdraw",
        description="Added to the ledger, with the version and the hash of its text. A withdrawal has its effects "
        "before the answer: what was kept by the consent is gone.",
        parameters=[PURPOSE],
        request=DecisionSerializer,
        responses={
            200: OpenApiResponse(StandingSerializer, "As it is now.", examples=[examples.CONSENT]),
            **examples.problem(409, "Another version is in force by now: `policy_changed`."),
        },
        examples=[examples.AGREE, examples.WITHDRAW],
    )
    def put(self, request: Request, purpose: str) -> Response:
        if purpose not in Purpose.values:
            raise NotFound(_("There is no such thing here."))
        said = DecisionSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        user = person_of(request)
        consents.decide(
            user=user,
            purpose=purpose,
            granted=said.validated_data["granted"],
            version=said.validated_data.get("version", 0),
            source=Consent.Source.API,
        )
        return Response(next(_standing(each) for each in consents.standings(user) if each.policy.purpose == purpose))


def _policy(policy: Policy) -> dict[str, Any]:
    text = policy.text()
    return {
        "purpose": policy.purpose.value,
        "version": policy.version,
        "language": text.language,
        "title": text.title,
        "text": text.body,
        "text_hash": text.digest,
    }


def _standing(standing: Standing) -> dict[str, Any]:
    last = standing.decision
    return StandingSerializer(
        {
            **_policy(standing.policy),
            "granted": standing.is_granted,
            "is_open": standing.is_open,
            "decided_version": last.version if last else None,
            "decided_at": last.at if last else None,
            "decided_in": last.source if last else None,
        }
    ).data
