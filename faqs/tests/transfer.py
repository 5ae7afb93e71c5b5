"""Importing from text, for the tests of it."""

import csv
import io
from typing import Any

from faqs.models import FAQ, Category
from faqs.transfer import ImportReport, import_faqs

HEADER = "question,answer\n"


def load(text: str, **options: Any) -> ImportReport:
    options.setdefault("actor", None)
    return import_faqs(data=text.encode(), **options)


def outcomes(report: ImportReport) -> list[tuple[int, str]]:
    return [(row.line, str(row.outcome)) for row in report.rows]


def table(*rows: dict[str, str]) -> str:
    """CSV of ``rows`` with the columns of the first one."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def only_reason(text: str, **options: Any) -> str:
    """The reason of the one row that is refused; nothing may have been stored."""
    before = FAQ.objects.count(), Category.objects.count()
    report = load(text, **options)
    assert not report.applied
    assert (FAQ.objects.count(), Category.objects.count()) == before
    (row,) = report.refused
    return row.reason
