"""One's own account, and where one is signed in."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services, sign_ins
from accounts.api import examples
from accounts.api.answers import plain, wrong_password
from accounts.api.authentication import credential_of, person_of
from accounts.api.permissions import OwnSignIn, PersonRequired
from accounts.api.privacy_serializers import ErasureSerializer
from accounts.api.serializers import ChangeMeSerializer, MeSerializer, OwnPasswordSerializer, SignInSerializer
from accounts.backends import is_own_password
from accounts.privacy import erasures
from chatbot_project.lib.api.openapi import page_of, takes_body


class MeView(APIView):
    """Any key with the scope ``read`` may ask whose it is; only the person themselves changes anything."""

    def get_permissions(self) -> list[Any]:
        return [PersonRequired() if self.request.method in SAFE_METHODS else OwnSignIn()]

    @extend_schema(
        operation_id="me_get",
        tags=["me"],
        summary="One's own account",
        responses={200: OpenApiResponse(MeSerializer, "The account.", examples=[examples.ME_ANSWER])},
    )
    def get(self, request: Request) -> Response:
        return Response(MeSerializer(person_of(request)).data)

    @extend_schema(
        operation_id="me_change",
        tags=["me"],
        summary="Change one's username, language or time zone",
        description="What is left out stays. Nothing else can be set here.",
        request=ChangeMeSerializer,
        responses={
            200: OpenApiResponse(MeSerializer, "As it is now.", examples=[examples.ME_ANSWER]),
            **examples.problem(409, "Somebody took the username in this very moment: `username_taken`."),
        },
        examples=[examples.CHANGE_ME],
    )
    def patch(self, request: Request) -> Response:
        user = person_of(request)
        wanted = ChangeMeSerializer(data=request.data, context={"user": user})
        wanted.is_valid(raise_exception=True)
        if wanted.validated_data:
            user = services.save_profile(user=user, changes=wanted.validated_data)
        return Response(MeSerializer(user).data)

    @extend_schema(
        operation_id="me_erase",
        tags=["me"],
        summary="Close one's account, and have it erased",
        description='Takes the password again, as a JSON body `{"password": …}`; guests have none. Ends every '
        "session and key. All that is held of one is erased at `due_at`: a guest's at once. Until then "
        "`privacy/erasure/cancel` opens the account again.",
        responses={
            202: OpenApiResponse(ErasureSerializer, "Closed.", examples=[examples.ERASURE]),
            **examples.problem(403, "The password is wrong: `wrong_password`."),
            **examples.problem(409, "The last admin stays: `last_admin`."),
        },
    )
    @takes_body(OwnPasswordSerializer, example=examples.OWN_PASSWORD)
    def delete(self, request: Request) -> Response:
        user = person_of(request)
        given = OwnPasswordSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        password = given.validated_data.get("password", "")
        if not user.is_guest and not is_own_password(plain(request), user, password):
            raise wrong_password()
        return Response(ErasureSerializer(erasures.request_erasure(user=user)).data, status=202)


class SessionsView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="sessions_list",
        tags=["me"],
        summary="Where one is signed in",
        description="Browsers and programs, last used first; all on one page. No address is kept of any.",
        responses={200: OpenApiResponse(page_of(SignInSerializer), "Sessions.", examples=[examples.SIGN_INS])},
    )
    def get(self, request: Request) -> Response:
        found = sign_ins.sign_ins_of(person_of(request), credential_of(request))
        return Response({"items": [SignInSerializer(each).data for each in found], "next": None})


class SessionView(APIView):
    permission_classes = [OwnSignIn]

    @extend_schema(
        operation_id="sessions_end",
        tags=["me"],
        summary="End one session",
        description="The sockets that it opened close within five seconds.",
        responses={204: OpenApiResponse(description="Ended.")},
    )
    def delete(self, request: Request, session_id: UUID) -> Response:
        sign_ins.end_sign_in(user=person_of(request), sign_in_id=session_id)
        return Response(status=204)
