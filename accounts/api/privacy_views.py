"""One's own data: what one agrees to, and copies of it."""

from typing import Any
from uuid import UUID

from django.contrib.auth import authenticate
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import restriction
from accounts.api import examples
from accounts.api.answers import OpenView, SignInFailed, plain
from accounts.api.authentication import person_of
from accounts.api.permissions import OwnSignIn
from accounts.api.privacy_serializers import (
    CancelSerializer,
    DataCopySerializer,
    DecisionSerializer,
    PlannedSerializer,
    PolicySerializer,
    RestrictionSerializer,
    StandingSerializer,
)
from accounts.models import Consent, DataRequest, Purpose, User
from accounts.privacy import consents, erasures, exports
from accounts.privacy.consents import Standing
from accounts.privacy.erasing import plan
from accounts.privacy.policies import Policy, policies, policy_of
from accounts.privacy.views import zip_response
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import page_of
from chatbot_project.lib.api.pieces import PiecewiseResponse
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
        decided = consents.decide(
            user=user,
            purpose=purpose,
            granted=said.validated_data["granted"],
            version=said.validated_data.get("version", 0),
            source=Consent.Source.API,
        )
        return Response(_standing(Standing(policy_of(purpose), decided)))


class ExportsView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="privacy_exports",
        tags=["privacy"],
        summary="Copies of one's data that one asked for",
        description="The newest first, ten at most.",
        responses={200: OpenApiResponse(page_of(DataCopySerializer), "Copies.", examples=[examples.EXPORTS])},
    )
    def get(self, request: Request) -> Response:
        found = _exports(person_of(request)).order_by("-id")[:10]
        return Response({"items": DataCopySerializer(found, many=True).data, "next": None})

    @extend_schema(
        operation_id="privacy_export_request",
        tags=["privacy"],
        summary="Ask for a copy of one's data",
        description="Made in the background: look at it again until it is `ready`; a mail tells of it, too. Where one "
        "is waiting, or ready and not fetched, that one is answered.",
        request=None,
        responses={202: OpenApiResponse(DataCopySerializer, "Asked for.", examples=[examples.EXPORT_WAITING])},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        made = exports.request_export(user=person_of(request))
        return Response(DataCopySerializer(made).data, status=202)


class ExportView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="privacy_export",
        tags=["privacy"],
        summary="How far a copy is",
        responses={200: OpenApiResponse(DataCopySerializer, "The copy.", examples=[examples.EXPORT_READY])},
    )
    def get(self, request: Request, export_id: UUID) -> Response:
        found = _exports(person_of(request)).filter(pk=export_id).first()
        if found is None:
            raise NotFound(_("There is no such thing here."))
        return Response(DataCopySerializer(found).data)


class ZipRenderer(BaseRenderer):
    """Stands for the file in the choice of content; the answer itself is streamed."""

    media_type, format, charset = "application/zip", "zip", None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return JSONRenderer().render(data)


class FetchExportView(APIView):
    permission_classes = [OwnSignIn]
    renderer_classes = [JSONRenderer, ZipRenderer]

    @extend_schema(
        operation_id="privacy_export_fetch",
        tags=["privacy"],
        summary="Fetch a copy, once",
        description="A ZIP with JSON for programs (docs/export.schema.json) and HTML to read. It is given once, within "
        "seven days; after that, and before it is ready, it is `not_found`.",
        request=None,
        responses={(200, "application/zip"): OpenApiResponse(OpenApiTypes.BINARY, "The copy.")},
    )
    def post(self, request: Request, export_id: UUID) -> PiecewiseResponse:
        data = exports.take_export(user=person_of(request), request_id=export_id)
        if data is None:
            raise NotFound(_("There is no such thing here."))
        return zip_response(data)


class ErasureView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="privacy_erasure_plan",
        tags=["privacy"],
        summary="What erasing one's account would do",
        description="`DELETE /me` asks for it.",
        responses={200: OpenApiResponse(page_of(PlannedSerializer), "The plan.", examples=[examples.PLAN])},
    )
    def get(self, request: Request) -> Response:
        found = plan(person_of(request))
        return Response({"items": PlannedSerializer(found, many=True).data, "next": None})


class RestrictionView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="privacy_restriction",
        tags=["privacy"],
        summary="Whether processing is paused",
        responses={200: OpenApiResponse(RestrictionSerializer, "As it is.", examples=[examples.RESTRICTED])},
    )
    def get(self, request: Request) -> Response:
        return Response(_restriction(person_of(request)))

    @extend_schema(
        operation_id="privacy_restrict",
        tags=["privacy"],
        summary="Pause the processing of one's data",
        description="What one holds stays, and can be read, fetched and erased. Whatever would go on with it is "
        "`processing_restricted` (403) until it is lifted; replies that wait or stream are stopped. Pausing again "
        "changes nothing, unless staff announced that they lift it (`ends_at`): then it stays paused.",
        request=None,
        responses={200: OpenApiResponse(RestrictionSerializer, "Paused.", examples=[examples.RESTRICTED])},
    )
    def post(self, request: Request) -> Response:
        user = person_of(request)
        return Response(_restriction(restriction.restrict(actor=user, user=user)))

    @extend_schema(
        operation_id="privacy_resume",
        tags=["privacy"],
        summary="Lift the pause",
        description="One's own at once; staff's, once they have announced that they lift it (`ends_at`).",
        responses={
            204: OpenApiResponse(description="Nothing is paused."),
            **examples.problem(403, "Staff paused it, and only they lift it: `restricted_by_staff`."),
        },
    )
    def delete(self, request: Request) -> Response:
        user = person_of(request)
        restriction.resume(actor=user, user=user)
        return Response(status=204)


class CancelErasureView(OpenView):
    @extend_schema(
        operation_id="privacy_erasure_cancel",
        tags=["privacy"],
        summary="Open one's account again",
        description="While it waits to be erased. Nothing else signs in to it.",
        request=CancelSerializer,
        responses={
            204: OpenApiResponse(description="Open again: sign in."),
            **examples.problem(401, "No account that waits to be erased has these: `sign_in_failed`."),
        },
        examples=[examples.CANCEL],
    )
    def post(self, request: Request) -> Response:
        wanted = CancelSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        data, asked = wanted.validated_data, plain(request)
        authenticate(asked, username=data["email"], password=data["password"])
        closed = getattr(asked, "closed_account", None)
        erasure = erasures.open_erasure(closed) if closed else None
        if erasure is None or erasures.cancel_erasure(erasure.pk) is None:
            raise SignInFailed
        return Response(status=204)


def _exports(user: User) -> "QuerySet[DataRequest]":
    return DataRequest.objects.filter(user=user, kind=DataRequest.Kind.EXPORT)


def _restriction(user: User) -> dict[str, Any]:
    return RestrictionSerializer(
        {
            "restricted": user.restricted_at is not None,
            "since": user.restricted_at,
            "by_staff": user.restricted_by_staff,
            "ends_at": user.restriction_ends_at,
        }
    ).data


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
