"""A person's API keys, and tickets for the chat socket."""

from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import api_keys, tickets
from accounts.api import examples
from accounts.api.authentication import credential_of, person_of
from accounts.api.permissions import MemberSignIn, PersonRequired
from accounts.api.serializers import ApiKeySerializer, MadeApiKeySerializer, NewApiKeySerializer, TicketSerializer
from accounts.scopes import Scope
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import PAGE_PARAMETERS, page_of
from chatbot_project.lib.api.paging import read_page


class ApiKeysView(APIView):
    permission_classes = [MemberSignIn]

    @extend_schema(
        operation_id="api_keys_list",
        tags=["auth"],
        summary="One's API keys",
        description="Newest first, without those that were revoked. A key's text is never shown again.",
        parameters=PAGE_PARAMETERS,
        responses={200: OpenApiResponse(page_of(ApiKeySerializer), "Keys.", examples=[examples.KEYS])},
    )
    def get(self, request: Request) -> Response:
        page = read_page(api_keys.live_keys(person_of(request)), request.query_params, orderings={"newest": ("-id",)})
        return Response(page.answer([ApiKeySerializer(key).data for key in page.rows]))

    @extend_schema(
        operation_id="api_keys_create",
        tags=["auth"],
        summary="Make an API key",
        description="The answer shows the key's text, this once. Send it as `Authorization: Bearer nono_sk_…`.",
        request=NewApiKeySerializer,
        responses={
            201: OpenApiResponse(MadeApiKeySerializer, "The key.", examples=[examples.MADE_KEY]),
            **examples.problem(409, "There are as many keys as one may have: `too_many_keys`."),
        },
        examples=[examples.NEW_KEY],
    )
    @idempotent(keeps_answer=False)
    def post(self, request: Request) -> Response:
        wanted = NewApiKeySerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        key, text = api_keys.create_key(user=person_of(request), **wanted.validated_data)
        return Response({**ApiKeySerializer(key).data, "key": text}, status=201)


class ApiKeyView(APIView):
    permission_classes = [MemberSignIn]

    @extend_schema(
        operation_id="api_keys_revoke",
        tags=["auth"],
        summary="Revoke an API key",
        description="At once and for good; sockets that it opened close within five seconds.",
        responses={204: OpenApiResponse(description="Revoked.")},
    )
    def delete(self, request: Request, key_id: UUID) -> Response:
        api_keys.revoke_key(user=person_of(request), key_id=key_id)
        return Response(status=204)


class SocketTicketView(APIView):
    permission_classes = [PersonRequired]
    scopes = {"POST": Scope.READ}

    @extend_schema(
        operation_id="chat_ws_ticket",
        tags=["chat"],
        summary="A ticket that opens the chat socket",
        description="Good once, within 30 seconds, as `?ticket=` of the socket's address: a program cannot send a "
        "cookie there, and a token does not belong into an address. The socket closes when what asked for the ticket "
        "ends. An API key needs the scope `read`, and `chat` for the socket to take messages.",
        request=None,
        responses={201: OpenApiResponse(TicketSerializer, "The ticket.", examples=[examples.TICKET])},
    )
    def post(self, request: Request) -> Response:
        ticket = tickets.issue_ticket(user=person_of(request), credential=credential_of(request))
        address = settings.BASE_URL.replace("http", "ws", 1)
        url = f"{address}/ws/chat/?ticket={ticket}"
        return Response({"ticket": ticket, "expires_in": tickets.SECONDS, "url": url}, status=201)
