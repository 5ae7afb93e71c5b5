"""Forgotten and changed passwords."""

from django.contrib.auth import update_session_auth_hash
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import families, limits, services, tokens
from accounts.api import examples
from accounts.api.answers import OpenView, accepted, dead_token, pair_answer, plain, wrong_password
from accounts.api.auth_views import PAIR
from accounts.api.authentication import credential_of, person_of
from accounts.api.permissions import MemberSignIn
from accounts.api.serializers import (
    AcceptedSerializer,
    AddressSerializer,
    ChangePasswordSerializer,
    ConfirmResetSerializer,
    check_password,
)
from accounts.backends import is_own_password
from accounts.credentials import Kind
from accounts.devices import device_label
from accounts.models import OutgoingMail


class ResetPasswordView(OpenView):
    authentication_classes = []

    @extend_schema(
        operation_id="auth_password_reset",
        tags=["auth"],
        summary="Ask for a link that sets a new password",
        description="The answer is the same whether the address has an account or not.",
        request=AddressSerializer,
        responses={
            202: OpenApiResponse(
                AcceptedSerializer, "A mail is on its way, if there is an account.", examples=[examples.RESET_MAILED]
            )
        },
        examples=[examples.ADDRESS],
    )
    def post(self, request: Request) -> Response:
        wanted = AddressSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        email = wanted.validated_data["email"]
        limits.take_mail(plain(request), email)
        services.queue_mail(kind=OutgoingMail.Kind.PASSWORD_RESET, to=email)
        return accepted(_("If this address has an account, we have mailed it a link."))


class ConfirmResetView(OpenView):
    authentication_classes = []

    @extend_schema(
        operation_id="auth_password_reset_confirm",
        tags=["auth"],
        summary="Set a new password by a mailed link",
        description="Takes the token of the link, once. Ends every session and revokes every API key; sign in anew.",
        request=ConfirmResetSerializer,
        responses={204: OpenApiResponse(description="The password is set.")},
        examples=[examples.CONFIRM_RESET],
    )
    def post(self, request: Request) -> Response:
        wanted = ConfirmResetSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        token, password = wanted.validated_data["token"], wanted.validated_data["new_password"]
        user = tokens.read_reset_token(token)
        if user is None:
            raise dead_token()
        check_password(password, user)
        if services.reset_password(token=token, password=password) is None:
            raise dead_token()
        return Response(status=204)


class ChangePasswordView(APIView):
    permission_classes = [MemberSignIn]

    @extend_schema(
        operation_id="auth_password_change",
        tags=["auth"],
        summary="Change one's password",
        description="Ends every other session. A program gets new tokens, as its own have ended too; a page's session "
        "goes on (204). API keys go on unless `revoke_api_keys` is true.",
        request=ChangePasswordSerializer,
        responses={
            200: PAIR,
            204: OpenApiResponse(description="Changed, and this browser stays signed in."),
            **examples.problem(403, "The present password is wrong: `wrong_password`."),
        },
        examples=[examples.CHANGE_PASSWORD],
    )
    def post(self, request: Request) -> Response:
        user, credential = person_of(request), credential_of(request)
        wanted = ChangePasswordSerializer(data=request.data, context={"user": user})
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        if not is_own_password(plain(request), user, data["password"]):
            raise wrong_password()
        user = services.change_password(
            user=user, password=data["new_password"], end_keys=data.get("revoke_api_keys", False)
        )
        if credential.kind == Kind.SESSION:
            update_session_auth_hash(plain(request), user)
            return Response(status=204)
        shown = families.shows_second_factor(user=user, family_id=credential.uuid)
        return pair_answer(families.open_family(user=user, device=device_label(plain(request)), second_factor=shown))
