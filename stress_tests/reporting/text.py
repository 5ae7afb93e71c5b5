"""A report for a terminal."""

from collections.abc import Sequence

from .machine import machine_line
from .report import Check, Report, Table, shown


def report_text(report: Report) -> str:
    """Everything but the plots."""
    parts = [f"{report.title}\n{report.headline}", *map(table_text, report.tables), checks_text(report.checks)]
    return "\n\n".join([*parts, machine_line(report.machine)])


def table_text(table: Table) -> str:
    """Columns as wide as what is in them: the first to the left, the others to the right."""
    rows = [list(table.head), *([shown(cell) for cell in row] for row in table.rows)]
    lines = [table.title, *(f"  {line}" for line in _aligned(rows))]
    return "\n".join([*lines, f"  {table.note}"] if table.note else lines)


def checks_text(checks: Sequence[Check]) -> str:
    rows = [["wanted", "", "limit", "found"], *([c.name, c.verdict, c.limit, c.found] for c in checks)]
    return "\n".join(_aligned(rows))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
