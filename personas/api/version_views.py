"""What a persona says: its draft, its versions, and which of them is in force. For staff."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import MayDo
from chatbot_project.lib.api.errors import InvalidInput
from chatbot_project.lib.api.etag import etag_of_body, require_match, tagged
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.api.openapi import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, PAGE_PARAMETERS, page_of
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import NotFound
from faqs.api.diffs import DiffSerializer, diff_body
from personas import services
from personas.api import examples
from personas.api.persona_views import CHANGE, VIEW, find_persona, staff_detail
from personas.api.serializers import (
    ContentSerializer,
    PersonaDetailSerializer,
    RollBackSerializer,
    VersionLineSerializer,
    VersionSerializer,
)
from personas.diffs import diff_content
from personas.models import Persona, PersonaVersion
from personas.versions import find_version, version_key, working_version

PUBLISH = "personas.publish_persona"
VERSION_KEY = {"type": "string", "pattern": r"^(draft|[1-9][0-9]{0,7})$"}
_ARCHIVED = problem(409, "It is archived, or there is nothing to publish: `archived`, `no_draft`.")


class DraftView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW, "PATCH": CHANGE, "DELETE": CHANGE}

    @extend_schema(
        operation_id="personas_draft_get",
        tags=["personas"],
        summary="What is being worked on",
        description="The draft, `number` null; where there is none, the version in force, from which an edit begins "
        "one.",
        parameters=[IF_NONE_MATCH],
        responses={200: OpenApiResponse(VersionSerializer, "The version.", examples=[examples.DRAFT]), **NOT_MODIFIED},
    )
    def get(self, request: Request, slug: str) -> Response:
        return tagged(request, _working_body(find_persona(slug)))

    @extend_schema(
        operation_id="personas_draft_edit",
        tags=["personas"],
        summary="Edit the draft",
        description="What is left out stays. Where there is no draft, one is begun from the version in force. For "
        "admins.",
        parameters=[IF_MATCH],
        request=ContentSerializer,
        responses={200: OpenApiResponse(VersionSerializer, "The draft.", examples=[examples.DRAFT])},
        examples=[examples.EDIT],
    )
    def patch(self, request: Request, slug: str) -> Response:
        wanted = ContentSerializer(data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        with transaction.atomic():
            persona = _held(request, slug)
            draft = services.edit_draft(persona=persona, actor=person_of(request), **wanted.validated_data)
        return tagged(request, VersionSerializer(draft).data)

    @extend_schema(
        operation_id="personas_draft_discard",
        tags=["personas"],
        summary="Discard the draft",
        description="A persona that was never published goes with it. For admins.",
        parameters=[IF_MATCH],
        responses={204: OpenApiResponse(description="There is no draft now.")},
    )
    def delete(self, request: Request, slug: str) -> Response:
        with transaction.atomic():
            services.discard_draft(persona=_held(request, slug))
        return Response(status=204)


class PublishView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": PUBLISH}

    @extend_schema(
        operation_id="personas_publish",
        tags=["personas"],
        summary="Publish the draft",
        description="Conversations that began under an earlier version stay with it. For admins.",
        parameters=[IF_MATCH],
        request=None,
        responses={
            200: OpenApiResponse(VersionSerializer, "The version in force.", examples=[examples.VERSION]),
            **_ARCHIVED,
        },
    )
    @idempotent()
    def post(self, request: Request, slug: str) -> Response:
        with transaction.atomic():
            version = services.publish_draft(persona=_held(request, slug), actor=person_of(request))
        return tagged(request, VersionSerializer(version).data)


class RollBackView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": PUBLISH}

    @extend_schema(
        operation_id="personas_roll_back",
        tags=["personas"],
        summary="Put an earlier version in force again",
        description="As a copy under a new number. The draft stays as it is. For admins.",
        request=RollBackSerializer,
        responses={
            200: OpenApiResponse(VersionSerializer, "The version in force.", examples=[examples.VERSION]),
            **problem(409, "It is archived, or that is the version in force: `archived`, `not_a_past_version`."),
        },
        examples=[examples.ROLL_BACK],
    )
    @idempotent()
    def post(self, request: Request, slug: str) -> Response:
        wanted = RollBackSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        persona = find_persona(slug)
        past = find_version(persona, str(wanted.validated_data["number"]))
        if past is None:
            raise InvalidInput({"number": [_("There is no such version.")]})
        version = services.roll_back(persona=persona, version=past, actor=person_of(request))
        return tagged(request, VersionSerializer(version).data)


class ArchiveView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": PUBLISH}

    @extend_schema(
        operation_id="personas_archive",
        tags=["personas"],
        summary="Archive a persona",
        description="It is offered for no new conversation; those that have it go on. For admins.",
        request=None,
        responses={200: OpenApiResponse(PersonaDetailSerializer, "As it is now.", examples=[examples.STAFF_PERSONA])},
    )
    @idempotent()
    def post(self, request: Request, slug: str) -> Response:
        services.archive(persona=find_persona(slug), actor=person_of(request))
        return tagged(request, staff_detail(slug))


class RestoreView(APIView):
    permission_classes = [MayDo]
    permissions = {"POST": PUBLISH}

    @extend_schema(
        operation_id="personas_restore",
        tags=["personas"],
        summary="Bring an archived persona back",
        description="For admins.",
        request=None,
        responses={200: OpenApiResponse(PersonaDetailSerializer, "As it is now.", examples=[examples.STAFF_PERSONA])},
    )
    @idempotent()
    def post(self, request: Request, slug: str) -> Response:
        services.restore(persona=find_persona(slug), actor=person_of(request))
        return tagged(request, staff_detail(slug))


class VersionsView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="personas_versions",
        tags=["personas"],
        summary="The versions that were published",
        description="Newest first.",
        parameters=PAGE_PARAMETERS,
        responses={200: OpenApiResponse(page_of(VersionLineSerializer), "Versions.", examples=[examples.VERSIONS])},
    )
    def get(self, request: Request, slug: str) -> Response:
        found = find_persona(slug).versions.published().select_related("author")
        page = read_page(found, request.query_params, orderings={"newest": ("-number",)})
        return Response(page.answer(list(VersionLineSerializer(page.rows, many=True).data)))


class VersionView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="personas_version",
        tags=["personas"],
        summary="A version that was published",
        parameters=[IF_NONE_MATCH],
        responses={
            200: OpenApiResponse(VersionSerializer, "The version.", examples=[examples.VERSION]),
            **NOT_MODIFIED,
        },
    )
    def get(self, request: Request, slug: str, number: int) -> Response:
        version = find_version(find_persona(slug), str(number))
        if version is None:
            raise NotFound
        return tagged(request, VersionSerializer(version).data)


class DiffView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}

    @extend_schema(
        operation_id="personas_diff",
        tags=["personas"],
        summary="What changed between two versions",
        description="Line by line. Each is named by its number, or `draft`; without both, the newest two are compared.",
        parameters=[OpenApiParameter("old", VERSION_KEY), OpenApiParameter("new", VERSION_KEY)],
        responses={200: OpenApiResponse(DiffSerializer, "The changes.", examples=[examples.DIFF])},
    )
    def get(self, request: Request, slug: str) -> Response:
        old, new = _compared(find_persona(slug), request.query_params)
        return Response(diff_body(version_key(old), version_key(new), diff_content(old.content, new.content)))


def _compared(persona: Persona, query: Any) -> tuple[PersonaVersion, PersonaVersion]:
    """The versions that the query names, else the newest two. Raises InvalidInput, NotFound where there are not two."""
    if "old" not in query and "new" not in query:
        newest = list(persona.versions.all()[:2])
        if len(newest) < 2:
            raise NotFound(_("There are no two versions yet."))
        return newest[1], newest[0]
    old, new = (find_version(persona, query.get(name, "")) for name in ("old", "new"))
    if old is None or new is None:
        missing = [name for name, version in (("old", old), ("new", new)) if version is None]
        raise InvalidInput({name: [_("There is no such version.")] for name in missing})
    return old, new


def _working_body(persona: Persona) -> dict[str, Any]:
    return VersionSerializer(working_version(persona)).data


def _held(request: Request, slug: str) -> Persona:
    """The persona, locked in the caller's transaction, if what is being worked on is what ``If-Match`` names."""
    persona = services.lock_persona(find_persona(slug))
    require_match(request, etag_of_body(_working_body(persona)))
    return persona
