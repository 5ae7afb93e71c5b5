"""Tables of a page of figures, and all that it shows as CSV."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from django.http import HttpResponse
from django.utils.translation import gettext as _

from chatbot_project.lib.cells import escape
from chatbot_project.lib.errors import NotFound


class Cell(NamedTuple):
    """``text`` is for people, ``value`` for a CSV. ``part`` (of 1) is drawn as a bar."""

    text: str
    value: Any = None
    part: float | None = None

    @property
    def width(self) -> str:
        """Of the bar, as SVG has it."""
        return f"{max(0.0, min(1.0, self.part or 0)) * 100:.1f}%"


class Row(NamedTuple):
    """``link`` leads on from its name; "" where nothing does."""

    name: str
    cells: Sequence[Cell]
    link: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """``key`` is its id in the page and names its CSV. ``empty`` is said where it has no rows; ``more`` leads on."""

    key: str
    title: str
    head: str
    columns: Sequence[str]
    rows: Sequence[Row]
    empty: str = ""
    note: str = ""
    more: tuple[str, str] | None = None
    csv_url: str = ""

    def sheet(self) -> Iterable[Sequence[Any]]:
        yield [self.head, *self.columns]
        for row in self.rows:
            yield [row.name, *(cell.text if cell.value is None else cell.value for cell in row.cells)]


class Sheet(Protocol):
    """What can be fetched as CSV."""

    @property
    def key(self) -> str: ...

    def sheet(self) -> Iterable[Sequence[Any]]: ...


def csv_response(name: str, rows: Iterable[Sequence[Any]]) -> HttpResponse:
    """Rows as a file that a spreadsheet opens without calculating anything of it."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response.write("\ufeff")  # without it, spreadsheets take UTF-8 for something else
    writer = csv.writer(response)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return response


def part_response(sheets: Mapping[str, Sheet], part: str | None, name: str) -> HttpResponse:
    """The sheet that ``part`` names (else the figures) as a file, whose name ends with ``name``. Raises NotFound."""
    sheet = sheets.get(part or "figures")
    if sheet is None:
        raise NotFound(_("There is no such table here."))
    return csv_response(f"{name}-{sheet.key}", sheet.sheet())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int | float) else escape(str(value))
