"""Who is connected."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import MayDo
from accounts.audit.recording import record_reading
from accounts.credentials import Kind
from accounts.models import User
from accounts.roles import Role
from chatbot_project.lib.api.errors import unavailable
from chatbot_project.lib.api.openapi import PAGE_PARAMETERS, page_of
from chatbot_project.lib.api.paging import page_of_rows
from chatbot_project.lib.redis import RedisError
from conversations.api.serializers import AnySerializer
from conversations.models import Conversation
from conversations.presence import EXPIRY_SECONDS, TRANSPORTS, Connection, who_is_connected


class ConnectedPersonSerializer(AnySerializer):
    id = serializers.UUIDField()
    username = serializers.CharField()
    email = serializers.EmailField(allow_null=True, help_text="Null: a guest.")
    role = serializers.ChoiceField(choices=Role.choices)


class ActiveSessionSerializer(AnySerializer):
    """An open connection."""

    id = serializers.UUIDField(help_text="Of this connection; a new one has another.")
    user = ConnectedPersonSerializer()
    since = serializers.DateTimeField()
    credential = serializers.ChoiceField(
        choices=[kind.value for kind in Kind],
        help_text="What it was opened with: a browser's session, a family of tokens or an API key.",
    )
    transport = serializers.ChoiceField(
        choices=TRANSPORTS, help_text="`websocket`, or `http` where somebody waits for one reply."
    )
    persona = serializers.CharField(
        allow_null=True, help_text="The slug of the persona whose conversation it looked at last."
    )
    web = serializers.CharField(help_text="The web process that it is connected to.")


ACTIVE_SESSIONS = OpenApiExample(
    "connected",
    {
        "items": [
            {
                "id": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10",
                "user": {
                    "id": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d11",
                    "username": "ada",
                    "email": "ada@example.org",
                    "role": "user",
                },
                "since": "2026-03-02T10:00:00.250000Z",
                "credential": "session",
                "transport": "websocket",
                "persona": "support",
                "web": "01935f6e7c1a7e639f1e3b1f4f3e2d12",
            }
        ],
        "next": None,
    },
    response_only=True,
)


class ActiveSessionsView(APIView):
    """For admins: nobody else's role has the permission."""

    permission_classes = [MayDo]
    permissions = {"GET": "conversations.view_presence"}

    @extend_schema(
        operation_id="sessions_active",
        tags=["analytics"],
        summary="Who is connected",
        description="Sockets and requests that wait for a reply, at all web processes, the newest first. What came or "
        f"went in the last second may be missing; a web process that broke down is gone within {EXPIRY_SECONDS} "
        "seconds. For admins; an API key needs the scope `staff`.",
        parameters=PAGE_PARAMETERS,
        responses={
            200: OpenApiResponse(page_of(ActiveSessionSerializer), "Connections.", examples=[ACTIVE_SESSIONS]),
            **problem(503, "Redis is away: `unavailable`."),
        },
    )
    def get(self, request: Request) -> Response:
        try:
            found = who_is_connected()
        except RedisError as error:
            raise unavailable() from error
        record_reading(actor=person_of(request), action="presence.read", obj=User)
        page = page_of_rows(found, request.query_params, key=lambda each: each.entry.id, name="sessions.active")
        return Response(page.answer([ActiveSessionSerializer(item).data for item in _items(page.rows)]))


def _items(connections: Sequence[Connection]) -> list[dict[str, Any]]:
    """What is shown of ``connections``, without those of people who are gone. Two queries."""
    entries = [connection.entry for connection in connections]
    people = User.objects.in_bulk({entry.user for entry in entries})
    followed = {entry.conversation for entry in entries if entry.conversation}
    personas: dict[UUID, str] = dict(
        Conversation.objects.filter(pk__in=followed).values_list("pk", "persona_version__persona__slug")
    )
    return [
        {
            "id": entry.id,
            "user": people[entry.user],
            "since": entry.since,
            "credential": entry.credential,
            "transport": entry.transport,
            "persona": personas.get(entry.conversation) if entry.conversation else None,
            "web": connection.web,
        }
        for connection, entry in zip(connections, entries, strict=True)
        if entry.user in people
    ]
