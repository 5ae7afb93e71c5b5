"""Signing up, in and out."""

from django.contrib.auth import authenticate, logout
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import authenticators, families, limits, services, tokens
from accounts.api import examples
from accounts.api.answers import (
    CodeNeeded,
    OpenView,
    SignInFailed,
    WrongCode,
    accepted,
    dead_token,
    guest_of,
    pair_answer,
    plain,
)
from accounts.api.authentication import BearerAuthentication, NotSignedIn, SessionAuthentication, credential_of
from accounts.api.permissions import OwnSignIn
from accounts.api.serializers import (
    AcceptedSerializer,
    GuestSerializer,
    LoginSerializer,
    LogoutSerializer,
    PairSerializer,
    RefreshSerializer,
    RegisterSerializer,
    VerifySerializer,
)
from accounts.backends import is_chosen_password
from accounts.credentials import Kind
from accounts.devices import device_label
from accounts.models import RefreshFamily, SignUp, User
from accounts.presence import mark_seen
from accounts.second_factor import SecondFactorNeeded, is_on, is_required

PAIR = OpenApiResponse(PairSerializer, "Signed in.", examples=[examples.PAIR])


class RegisterView(OpenView):
    @extend_schema(
        operation_id="auth_register",
        tags=["auth"],
        summary="Sign up",
        description="Mails a link that confirms the address. The answer is the same whether it has an account or not. "
        "With a guest's token, the new account takes over what the guest has.",
        request=RegisterSerializer,
        responses={202: OpenApiResponse(AcceptedSerializer, "A mail is on its way.", examples=[examples.MAILED])},
        examples=[examples.REGISTER],
    )
    def post(self, request: Request) -> Response:
        wanted = RegisterSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        limits.take_mail(plain(request), wanted.validated_data["email"])
        services.sign_up(**wanted.validated_data, guest=guest_of(request))
        return accepted(_("We have mailed you a link that confirms your address."))


class VerifyEmailView(OpenView):
    """For a new address of an account, the person has to be signed in, as on the page."""

    authentication_classes = [BearerAuthentication, SessionAuthentication]

    @extend_schema(
        operation_id="auth_verify_email",
        tags=["auth"],
        summary="Confirm an address",
        description="Takes the token of a mailed link. A sign-up's needs the password that was chosen with it, so that "
        "nobody can have a stranger confirm an account whose password they know; a new address of an account needs its "
        "owner to be signed in.",
        request=VerifySerializer,
        responses={204: OpenApiResponse(description="Confirmed.")},
        examples=[examples.VERIFY],
    )
    def post(self, request: Request) -> Response:
        wanted = VerifySerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        token = wanted.validated_data["token"]
        sign_up_id = tokens.read_sign_up_token(token)
        if sign_up_id is not None:
            sign_up = SignUp.objects.select_related("user").filter(pk=sign_up_id).first()
            if sign_up is None:
                raise dead_token()
            self._complete(request, sign_up, wanted.validated_data.get("password", ""))
        else:
            self._confirm(request, token)
        return Response(status=204)

    def _complete(self, request: Request, sign_up: SignUp, password: str) -> None:
        if not is_chosen_password(plain(request), sign_up, password):
            raise SignInFailed
        if services.complete_sign_up(sign_up.pk, verified=True) is None:
            raise dead_token()

    def _confirm(self, request: Request, token: str) -> None:
        found = tokens.read_email_token(token)
        if found is None:
            raise dead_token()
        user, address = found
        if address != user.email:
            if not isinstance(request.user, User):
                raise NotSignedIn("signed_out", _("Sign in to go on."))
            if request.user.pk != user.pk or credential_of(request).kind == Kind.API_KEY:
                raise dead_token()
        if services.confirm_email(token=token) is None:
            raise dead_token()


class LoginView(OpenView):
    @extend_schema(
        operation_id="auth_login",
        tags=["auth"],
        summary="Sign in",
        description="With a guest's token, the account takes over what the guest has. Every reason for which an "
        "address and a password do not sign in is answered alike.",
        request=LoginSerializer,
        responses={
            200: PAIR,
            **examples.problem(
                401,
                "They do not sign in: `sign_in_failed`. They do, and a code of the authenticator app is needed as "
                "well: `code_needed`, `wrong_code`.",
            ),
            **examples.problem(403, "The role needs a second factor, which is not set up: `second_factor_needed`."),
        },
        examples=examples.LOGIN,
    )
    def post(self, request: Request) -> Response:
        wanted = LoginSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        user = authenticate(plain(request), username=data["email"], password=data["password"])
        if not isinstance(user, User):
            raise SignInFailed
        second_factor = _second_factor(request, user, data.get("code", ""))
        guest = guest_of(request)
        if guest is not None:
            services.merge_guest(guest=guest, user=user)
        plain(request).person_signed_in = user  # type: ignore[attr-defined]  # PersonMiddleware remembers the device
        mark_seen(user)
        device = device_label(plain(request), data.get("device", ""))
        return pair_answer(families.open_family(user=user, device=device, second_factor=second_factor))


def _second_factor(request: Request, user: User, code: str) -> bool:
    """Whether the second factor was shown, with the right password. Raises where it is asked for and was not."""
    if is_on(user):
        if not code:
            raise CodeNeeded
        if not authenticators.check(plain(request), user, code, "sign_in"):
            raise WrongCode
        return True
    if is_required(user):
        raise SecondFactorNeeded
    return False


class GuestView(OpenView):
    @extend_schema(
        operation_id="auth_guest",
        tags=["auth"],
        summary="Go on as a guest",
        description="A new person without an account, where the installation allows guests.",
        request=GuestSerializer,
        responses={201: PAIR, **examples.problem(403, "Guests are not allowed: `guests_not_allowed`.")},
        examples=[examples.GUEST],
    )
    def post(self, request: Request) -> Response:
        wanted = GuestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        guest = services.make_guest(plain(request))
        device = device_label(plain(request), wanted.validated_data.get("device", ""))
        return pair_answer(families.open_family(user=guest, device=device), status=201)


class RefreshView(OpenView):
    authentication_classes = []

    @extend_schema(
        operation_id="auth_refresh",
        tags=["auth"],
        summary="Get the next pair of tokens",
        description="A refresh token works exactly once. One that comes back was stolen, or its successor was: the "
        "whole sign-in ends. So does it when the password or role changes, and on suspension.",
        request=RefreshSerializer,
        responses={200: PAIR, **examples.problem(401, "The token is not good any more: `invalid_token`.")},
        examples=[examples.REFRESH],
    )
    def post(self, request: Request) -> Response:
        wanted = RefreshSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        pair = families.refresh(token=wanted.validated_data["refresh"])
        mark_seen(pair.family.user)
        return pair_answer(pair)


class LogoutView(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="auth_logout",
        tags=["auth"],
        summary="Sign out",
        description="Ends this session, or with `all` every session of the person; their sockets close within five "
        "seconds. Without an access token that is good still, the refresh token ends its session. API keys go on.",
        request=LogoutSerializer,
        responses={204: OpenApiResponse(description="Signed out.")},
        examples=examples.LOGOUT,
    )
    def post(self, request: Request) -> Response:
        wanted = LogoutSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        if isinstance(request.user, User):
            OwnSignIn().has_permission(request, self)
            self._sign_out(request, request.user, everywhere=wanted.validated_data["all"])
        elif refresh := wanted.validated_data.get("refresh"):
            user = families.sign_out(token=refresh)
            if user is not None and wanted.validated_data["all"]:
                services.end_sessions(user=user)
        else:
            raise NotSignedIn("signed_out", _("Sign in to go on."))
        return Response(status=204)

    def _sign_out(self, request: Request, user: User, *, everywhere: bool) -> None:
        if everywhere:
            services.end_sessions(user=user)
        credential = credential_of(request)
        if credential.kind == Kind.SESSION:
            logout(plain(request))
        elif not everywhere:
            families.end_family(user=user, family_id=credential.uuid, reason=RefreshFamily.Revoked.SIGNED_OUT)
