"""Personas: who may be talked to, and for staff all of them."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.answers import PublishedView
from accounts.api.authentication import person_of
from accounts.api.permissions import audience_of, may
from chatbot_project.lib.api.etag import etag_of_body, require_match, tagged
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import (
    IF_MATCH,
    IF_NONE_MATCH,
    NOT_MODIFIED,
    PAGE_PARAMETERS,
    ordering_parameter,
    page_of,
)
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import NotFound
from personas import services
from personas.api import examples
from personas.api.serializers import (
    NewPersonaSerializer,
    PersonaDetailSerializer,
    PersonaFilterSerializer,
    PersonaSerializer,
    PlaceSerializer,
    VersionSerializer,
    persona_bodies,
    persona_detail,
)
from personas.models import Persona

VIEW, ADD, CHANGE = "personas.view_persona", "personas.add_persona", "personas.change_persona"
ORDERINGS = {"position": ("position", "slug"), "slug": ("slug",), "-slug": ("-slug",)}


class PersonasView(PublishedView):
    permissions = {"POST": ADD}

    @extend_schema(
        operation_id="personas_list",
        tags=["personas"],
        summary="Personas one may chat with",
        description="Also without signing in: those that guests may chat with. With `state`, staff see all that there "
        "are, with what only staff are told.",
        parameters=[*PAGE_PARAMETERS, ordering_parameter(ORDERINGS), PersonaFilterSerializer],
        responses={200: OpenApiResponse(page_of(PersonaSerializer), "Personas.", examples=[examples.PERSONAS])},
    )
    def get(self, request: Request) -> Response:
        for_staff = may(request, VIEW)
        page = read_page(self._chosen(request, for_staff), request.query_params, orderings=ORDERINGS)
        return Response(page.answer(persona_bodies(page.rows, for_staff=for_staff)))

    def _chosen(self, request: Request, for_staff: bool) -> QuerySet[Persona]:
        query = PersonaFilterSerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        every = Persona.objects.with_published().with_has_draft()
        state = query.validated_data.get("state")
        if state is None:
            return every.meant_for(audience_of(request))
        if not for_staff:
            self.permission_denied(request)
        conditions: dict[str, dict[str, Any]] = {
            "draft": {"archived_at__isnull": True, "published__isnull": True},
            "published": {"archived_at__isnull": True, "published__isnull": False},
            "archived": {"archived_at__isnull": False},
        }
        return every.filter(**conditions.get(state, {}))

    @extend_schema(
        operation_id="personas_create",
        tags=["personas"],
        summary="Begin a persona",
        description="As a draft: nobody may chat with it before it is published. For admins.",
        request=NewPersonaSerializer,
        responses={201: OpenApiResponse(VersionSerializer, "Its draft.", examples=[examples.DRAFT])},
        examples=[examples.NEW_PERSONA],
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        wanted = NewPersonaSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        draft = services.create_persona(actor=person_of(request), **wanted.validated_data)
        location = f"/api/v1/personas/{draft.persona.slug}/draft"
        return tagged(request, VersionSerializer(draft).data, status=201, location=location)


class PersonaView(PublishedView):
    permissions = {"PATCH": CHANGE}

    @extend_schema(
        operation_id="personas_get",
        tags=["personas"],
        summary="One persona",
        description="For staff also one that is not published, or archived.",
        parameters=[IF_NONE_MATCH],
        responses={
            200: OpenApiResponse(PersonaDetailSerializer, "The persona.", examples=[examples.PERSONA]),
            **NOT_MODIFIED,
        },
    )
    def get(self, request: Request, slug: str) -> Response:
        for_staff = may(request, VIEW)
        seen = Persona.objects.all() if for_staff else Persona.objects.meant_for(audience_of(request))
        return tagged(request, _detail(seen, slug, for_staff=for_staff))

    @extend_schema(
        operation_id="personas_move",
        tags=["personas"],
        summary="Give a persona another place in the list",
        description="For admins. What it says is changed in its draft.",
        parameters=[IF_MATCH],
        request=PlaceSerializer,
        responses={200: OpenApiResponse(PersonaDetailSerializer, "As it is now.", examples=[examples.STAFF_PERSONA])},
        examples=[examples.PLACE],
    )
    def patch(self, request: Request, slug: str) -> Response:
        wanted = PlaceSerializer(data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        with transaction.atomic():
            persona = services.lock_persona(find_persona(slug))
            require_match(request, etag_of_body(staff_detail(slug)))
            if wanted.validated_data:
                services.move_persona(persona=persona, **wanted.validated_data)
        return tagged(request, staff_detail(slug))


def find_persona(slug: str) -> Persona:
    """Any persona, for those whose permission was asked. Raises NotFound."""
    found = Persona.objects.with_published().filter(slug=slug).first()
    if found is None:
        raise NotFound
    return found


def _detail(seen: Any, slug: str, *, for_staff: bool) -> dict[str, Any]:
    """Raises NotFound."""
    found = seen.with_published().with_has_draft().filter(slug=slug).first()
    if found is None:
        raise NotFound
    return persona_detail(found, for_staff=for_staff)


def staff_detail(slug: str) -> dict[str, Any]:
    """The persona as staff are told of it. Raises NotFound."""
    return _detail(Persona.objects.all(), slug, for_staff=True)
