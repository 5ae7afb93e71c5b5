"""FAQs in and out as files, as the admin and the commands take and write them: docs/faqs.md describes both formats."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import person_of
from accounts.api.examples import problem
from accounts.api.permissions import MayDo
from accounts.api.serializers import AnySerializer
from chatbot_project.lib.api.errors import too_large
from chatbot_project.lib.api.idempotency import idempotent
from chatbot_project.lib.errors import ApplicationError
from faqs.api import examples
from faqs.api.editing_serializers import FAQFilterSerializer
from faqs.api.selection import ADD, CHANGE, PUBLISH, VIEW, chosen_faqs
from faqs.downloads import download
from faqs.models import FAQ
from faqs.transfer import ImportReport, Outcome, import_faqs

LONGEST_IMPORT = 600  # seconds
MOST_REASONS = 1000  # rows that a refusal names
# Rows are judged one by one, and reported.
FILE: dict[str, Any] = {
    "type": "object",
    "required": ["faqs"],
    "properties": {
        "faqs": {"type": "array", "items": {}},
        "categories": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["slug", "name"],
                "additionalProperties": False,
                "properties": {
                    "slug": {"type": "string"},
                    "name": {"type": "string"},
                    "parent": {"type": ["string", "null"]},
                    "description": {"type": "string"},
                    "position": {"type": "integer"},
                },
            },
        },
    },
    "additionalProperties": False,
}


class FileParser(BaseParser):
    """The bytes as they are, up to the size of an import."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(settings.IMPORT_BODY_BYTES + 1)
        if len(body) > settings.IMPORT_BODY_BYTES:
            raise too_large()
        return body


class CSVFileParser(FileParser):
    media_type = "text/csv"


class JSONFileParser(FileParser):
    media_type = "application/json"


class ImportRefused(ApplicationError):
    """Rows of the file cannot be imported; ``fields`` says of each line why."""

    def __init__(self, report: ImportReport) -> None:
        detail = _("Nothing was imported: %(count)d rows are refused.") % {"count": len(report.refused)}
        super().__init__("import_refused", detail, status=409)
        self.fields = {str(row.line): [row.reason] for row in report.refused[:MOST_REASONS]}


class AnyFormat(DefaultContentNegotiation):
    """The query says which format is wanted: whatever a client accepts, errors are problem details."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ImportOptionsSerializer(AnySerializer):
    dry_run = serializers.BooleanField(default=False, help_text="Only report what would be done.")
    publish = serializers.BooleanField(default=False, help_text="Put rows in force that name no status.")
    create_categories = serializers.BooleanField(default=False, help_text="Make categories that are not there.")


class ImportRowSerializer(AnySerializer):
    """``line`` is where the row begins in a CSV file, its place in the list of a JSON file."""

    line = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=[each.value for each in Outcome])
    question = serializers.CharField()
    faq = serializers.UUIDField(allow_null=True)
    fields = serializers.ListField(  # type: ignore[assignment]  # the metaclass takes fields off the class
        child=serializers.CharField(), help_text="Names of what changes."
    )
    reason = serializers.CharField(help_text="Why it is refused.")


class ImportCountsSerializer(AnySerializer):
    created = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    refused = serializers.IntegerField()


class ImportReportSerializer(AnySerializer):
    """What an import did, or would do, row by row."""

    applied = serializers.BooleanField(help_text="False for a dry run.")
    counts = ImportCountsSerializer()
    categories = serializers.ListField(child=serializers.CharField(), help_text="Paths of those that are made.")
    rows = ImportRowSerializer(many=True)


class ExportOptionsSerializer(FAQFilterSerializer):
    status = serializers.ChoiceField(choices=[*FAQ.Status.values, "any"], default="any")
    format = serializers.ChoiceField(choices=["csv", "json"], default="csv")


class ImportView(APIView):
    """A file may create, change and publish: all three are asked for."""

    permission_classes = [MayDo]
    permissions = {"POST": (ADD, CHANGE, PUBLISH)}
    parser_classes = [CSVFileParser, JSONFileParser]

    @extend_schema(
        operation_id="faqs_import",
        tags=["faqs"],
        summary="Import FAQs from a file",
        description="The file is the body: CSV or JSON as the export writes it, up to 5 MB. All of its rows, or none: "
        "with `dry_run=true` the report says row by row what would be done. For moderators.",
        parameters=[ImportOptionsSerializer],
        request={
            "text/csv": {"description": "The file.", "example": examples.CSV},
            "application/json": {
                **FILE,
                "type": ["object", "array"],
                "items": {},
                "description": "The file, or a list of its FAQs alone.",
                "example": examples.FILE,
            },
        },
        responses={
            200: OpenApiResponse(ImportReportSerializer, "What was done.", examples=[examples.REPORT]),
            **problem(
                409,
                "Nothing was changed: a row is refused, `import_refused`, where `fields` says why by the row's line; "
                "or somebody changed the same FAQs in this very moment, `import_conflict`.",
            ),
        },
    )
    @idempotent(busy_seconds=LONGEST_IMPORT)
    def post(self, request: Request) -> Response:
        options = ImportOptionsSerializer(data=request.query_params.dict())
        options.is_valid(raise_exception=True)
        data: Any = request.data or b""  # without a body, the framework makes an empty mapping of it
        report = import_faqs(data=data, actor=person_of(request), **options.validated_data)
        if report.refused and not options.validated_data["dry_run"]:
            raise ImportRefused(report)
        counts = {outcome.value: count for outcome, count in report.counts.items()}
        body = {"applied": report.applied, "counts": counts, "categories": report.categories, "rows": report.rows}
        return Response(ImportReportSerializer(body).data)


class ExportView(APIView):
    permission_classes = [MayDo]
    permissions = {"GET": VIEW}
    content_negotiation_class = AnyFormat

    @extend_schema(
        operation_id="faqs_export",
        tags=["faqs"],
        summary="Export FAQs as a file",
        description="All that there are, or those that the filters leave: drafts, archived ones and every "
        "audience's. An import reads the file back as the same. In CSV, what a spreadsheet would take for a "
        "formula is escaped. For moderators.",
        parameters=[ExportOptionsSerializer],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "The file."),
            (200, "application/json"): OpenApiResponse(FILE, "The file."),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        options = ExportOptionsSerializer(data=request.query_params.dict())
        options.is_valid(raise_exception=True)
        return download(chosen_faqs(self, request, usual_status="any"), options.validated_data["format"])
