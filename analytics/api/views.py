"""Figures for those who run the service, and for everyone their own."""

from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.permissions import MayDo, PersonRequired
from accounts.audit.recording import record_reading
from accounts.models import User
from accounts.presence import time_zone_of
from accounts.scopes import Scope
from analytics import selectors
from analytics.api import examples
from analytics.api.asking import DAYS_DESCRIPTION as OF_ORGANISATION
from analytics.api.asking import counted
from analytics.api.days import DAYS_DESCRIPTION, FROM, TO, read_day, read_period
from analytics.api.serializers import (
    ConversationFiguresSerializer,
    DashboardSerializer,
    PersonReportSerializer,
    conversation_body,
    report_body,
)
from analytics.dashboard import dashboard
from analytics.period import start_of
from analytics.rollups import reporting_zone
from chatbot_project.lib.api.openapi import PAGE_PARAMETERS, ordering_parameter, page_of
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import NotFound
from conversations.models import Conversation
from conversations.refusals import record_refusal

REFUSED = "figures.refused"
ORDERINGS = {
    "-created_at": ("-created_at", "-id"),
    "created_at": ("created_at", "id"),
    "-updated_at": ("-updated_at", "-id"),
    "updated_at": ("updated_at", "id"),
}
PERSONA = OpenApiParameter("persona", str, description="Only conversations with the persona of this slug.")


class DashboardView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": "analytics.view_figures"}

    @extend_schema(
        operation_id="analytics_dashboard",
        tags=["analytics"],
        summary="Figures of all conversations",
        description=f"{OF_ORGANISATION} Everything counts on the day on which it began: a reply, its tokens and its "
        "feedback on the day on which it was asked for, as far as `counted_until`. What is deleted or removed counts "
        "on. Percentiles are at most 2 % off. Of a persona with fewer than five people nothing is told "
        "(`suppressed`), nor of the smallest of the others then. For moderators and admins; an API key needs the scope "
        "`staff`.",
        parameters=[FROM, TO],
        responses={200: OpenApiResponse(DashboardSerializer, "Figures.", examples=[examples.DASHBOARD])},
    )
    def get(self, request: Request) -> Response:
        period = read_period(request.query_params, reporting_zone())
        body = {**report_body(dashboard(period)), **counted(period.zone)}
        return Response(DashboardSerializer(body).data)


class OwnOrStaff(PersonRequired):
    """People; a key needs the scope ``read`` for its own person's figures, and ``staff`` for anybody else's."""

    def scope(self, request: Request, view: APIView) -> Scope:
        return Scope.READ if view.kwargs["user_id"] == person_of(request).pk else Scope.STAFF


class PersonView(APIView):
    permission_classes = [OwnOrStaff]

    @extend_schema(
        operation_id="analytics_user",
        tags=["analytics"],
        summary="Figures of one person",
        description="One's own; another's for moderators and admins (an API key needs the scope `staff`), for others "
        f"as if there were no such person. {DAYS_DESCRIPTION} They are counted as in the dashboard; `active_people` is "
        "1 where the person asked anything.",
        parameters=[FROM, TO],
        responses={200: OpenApiResponse(PersonReportSerializer, "Figures.", examples=[examples.PERSON])},
    )
    def get(self, request: Request, user_id: UUID) -> Response:
        caller = person_of(request)
        person = _readable_person(caller, user_id)
        period = read_period(request.query_params, time_zone_of(caller))
        body = {"user": person, **report_body(selectors.report(period, person=person))}
        return Response(PersonReportSerializer(body).data)


def _readable_person(caller: User, user_id: UUID) -> User:
    """The person of that id where ``caller`` may see their figures. Raises NotFound; what was refused is recorded."""
    if user_id == caller.pk:
        return caller
    person = User.objects.filter(pk=user_id).first()
    if person is not None and caller.has_perm("analytics.view_person"):
        record_reading(actor=caller, action="figures.read", obj=person)
        return person
    if person is not None:
        record_refusal(caller, person, action=REFUSED)
    raise NotFound


class ConversationsView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": "analytics.view_figures"}

    @extend_schema(
        operation_id="analytics_conversations",
        tags=["analytics"],
        summary="Conversations in figures",
        description="Nothing of what was said. `from` and `to` are days on which they began, in the time zone that "
        "the caller has chosen. What was deleted, or asked in passing, is not listed. For moderators and admins; an "
        "API key needs the scope `staff`.",
        parameters=[*PAGE_PARAMETERS, ordering_parameter(ORDERINGS), PERSONA, FROM, TO],
        responses={
            200: OpenApiResponse(
                page_of(ConversationFiguresSerializer), "Conversations.", examples=[examples.CONVERSATIONS]
            )
        },
    )
    def get(self, request: Request) -> Response:
        page = read_page(self._chosen(request), request.query_params, orderings=ORDERINGS)
        record_reading(actor=person_of(request), action="figures.listed", obj=Conversation)
        counted = selectors.conversation_figures(page.rows)
        bodies = [conversation_body(row, figures) for row, figures in zip(page.rows, counted, strict=True)]
        return Response(page.answer([ConversationFiguresSerializer(body).data for body in bodies]))

    def _chosen(self, request: Request) -> QuerySet[Conversation]:
        query, zone = request.query_params, time_zone_of(person_of(request))
        found = selectors.conversations()
        if persona := query.get("persona"):
            found = found.filter(persona_version__persona__slug=persona)
        if first := read_day(query, "from"):
            found = found.filter(created_at__gte=start_of(first, zone))
        if last := read_day(query, "to"):
            found = found.filter(created_at__lt=start_of(last + timedelta(days=1), zone))
        return found
