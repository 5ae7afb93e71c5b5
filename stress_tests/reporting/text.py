"""A report for a terminal."""

from collections.abc import Sequence

from .machine import machine_line
from .report import Cell, Check, Report, Table


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
    rows = [[check.name, check.limit, check.found, check.verdict] for check in checks]
    return "\n".join(["wanted", *(f"  {line}" for line in _aligned(rows))])


def shown(cell: Cell) -> str:
    """A cell for people: three digits that count, thousands apart, a dash where there is nothing."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
