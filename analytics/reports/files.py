"""A report as a file: PDF for people, CSV for spreadsheets, JSON for programs. The same report gives the same bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.utils import translation

from analytics.models import Report
from analytics.reports.data import write_json
from analytics.reports.periods import period_of_report
from analytics.reports.sheet import write_csv


class Format(StrEnum):
    PDF = "pdf"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class File:
    name: str
    media_type: str
    content: bytes


MEDIA_TYPES: Mapping[Format, str] = {
    Format.PDF: "application/pdf",
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON: "application/json",
}


def file_of(report: Report, format: Format, language: str) -> File:
    """The report as a file in that language; JSON has none."""
    with translation.override(language):
        return File(f"{_stem(report)}.{format}", MEDIA_TYPES[format], _WRITERS[format](report))


def _stem(report: Report) -> str:
    persona = report.content.get("persona")
    whose = f"-{persona['slug']}" if persona else ""
    return f"report-{report.grain}-{period_of_report(report).first}{whose}"


def _write_pdf(report: Report) -> bytes:
    # Here, not above: every process would load fpdf2, which takes a second or two, and few of them write a PDF.
    from analytics.reports.pdf import write_pdf

    return write_pdf(report)


_WRITERS: Mapping[Format, Callable[[Report], bytes]] = {
    Format.PDF: _write_pdf,
    Format.CSV: write_csv,
    Format.JSON: write_json,
}
