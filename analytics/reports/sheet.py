"""A report as CSV, a line for each value: what spreadsheets filter and pivot, and safe to open in them."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from analytics.metrics import METRICS
from analytics.models import Report
from analytics.reports.wording import column_label, held_tables
from chatbot_project.lib.cells import escape

HEAD = ("table", "row", "figure", "label", "unit", "value", "before")


def write_csv(report: Report) -> bytes:
    """Numbers with a point, shares of 1; ``label`` is in the active language. UTF-8 with the mark by which spreadsheets
    know it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEAD)
    writer.writerows([_cell(value) for value in line] for line in _lines(report))
    return out.getvalue().encode("utf-8-sig")


def _lines(report: Report) -> Iterator[tuple[Any, ...]]:
    for name in METRICS:
        if name in report.figures:
            yield "figures", "", name, column_label(name), _unit(name), *report.figures[name]
    for table, held in held_tables(report):
        for row in held["rows"]:
            for column, value in zip(held["columns"], row["values"], strict=True):
                yield table, row["name"], column, column_label(column), _unit(column), value, None


def _unit(column: str) -> str:
    return METRICS[column].unit.value if column in METRICS else "number"


def _cell(value: Any) -> str:
    """Numbers are written as they are: a negative one begins as a formula does, and is none."""
    if value is None:
        return ""
    return escape(value) if isinstance(value, str) else repr(value)
