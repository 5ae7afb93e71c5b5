"""The bytes of an import file as rows, not yet judged, and rows as the text of an export file. Pure."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from django.utils.translation import gettext as _
from msgspec import UNSET, UnsetType

from chatbot_project.lib.cells import escape, unescape
from chatbot_project.lib.errors import ApplicationError

Format = Literal["csv", "json"]

COLUMNS = (
    "id", "category", "question", "answer", "language", "tags", "status", "visibility", "valid_from", "valid_until",
    "phrasings", "translation_of",
)  # fmt: skip
MAX_BYTES = 50 * 1024 * 1024
MAX_ROWS = 100_000
MAX_CELL = 1_000_000  # code points: a thousand phrasings of the greatest length, and what stands between them
_REQUIRED = {"question", "answer"}
_DELIMITERS = (",", ";", "\t")
_LINE_END = re.compile("\r\n|\r|\n")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class BadImportFile(ApplicationError):
    """The file as a whole cannot be read. ``line`` is where, counted from 1, or ``None`` where no line is at fault."""

    def __init__(self, detail: str, line: int | None = None) -> None:
        super().__init__("bad_import_file", detail if line is None else _("Line %d: ") % line + detail)
        self.line = line


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as the file has it: only the columns that it has. ``line`` is where it begins, in JSON its place in the
    list; ``problem`` says why it could not be read."""

    line: int
    cells: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


class CategoryEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A category of a JSON file; ``parent`` is a slug."""

    slug: str
    name: str
    parent: str | None = None
    description: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class ImportFile:
    rows: list[RawRow]
    categories: list[CategoryEntry] = field(default_factory=list)


class _FAQEntry(msgspec.Struct, forbid_unknown_fields=True):
    question: str
    answer: str
    id: str | UnsetType | None = UNSET
    category: str | list[str] | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    tags: str | list[str] | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    visibility: str | UnsetType | None = UNSET
    valid_from: str | UnsetType | None = UNSET
    valid_until: str | UnsetType | None = UNSET
    phrasings: str | list[str] | UnsetType | None = UNSET
    translation_of: str | UnsetType | None = UNSET


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    faqs: list[msgspec.Raw]
    categories: list[CategoryEntry] = msgspec.field(default_factory=list)


# --- Reading ----------------------------------------------------------------------------------------------------------
def read_file(data: bytes) -> ImportFile:
    """The rows of a CSV or JSON file, told apart by how it begins. Raises BadImportFile."""
    if len(data) > MAX_BYTES:
        raise BadImportFile(_("The file is larger than %d MB.") % (MAX_BYTES // 1024 // 1024))
    text = _decode(data)
    if not text.strip():
        raise BadImportFile(_("The file is empty."))
    if text.lstrip()[0] in "[{":
        return _read_json(text)
    return ImportFile(list(_read_csv(text)))


def _decode(data: bytes) -> str:
    if data.startswith(_UTF_16):
        raise BadImportFile(_("The file is in UTF-16. Save it as “CSV UTF-8”."), line=1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = data[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
        detail = _("The byte 0x%(byte)02X is not UTF-8. Save the file as “CSV UTF-8”.")
        raise BadImportFile(detail % {"byte": data[error.start]}, line=lines + 1) from None


def _read_csv(text: str) -> Iterator[RawRow]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
    first_line = _LINE_END.split(text, 1)[0]
    delimiter = next((mark for mark in _DELIMITERS if _REQUIRED.issubset(_header(first_line, mark))), None)
    if delimiter is None:
        raise BadImportFile(_("The first line must name the columns, “question” and “answer” among them."), line=1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = _checked(_names(next(reader)))
    for count, (line, cells) in enumerate(_records(reader, len(columns))):
        if count == MAX_ROWS:
            raise BadImportFile(_("There are more than %d rows.") % MAX_ROWS, line=line)
        if len(cells) == len(columns):
            yield RawRow(line, {name: unescape(cell) for name, cell in zip(columns, cells, strict=True)})
        else:
            counts = {"found": len(cells), "expected": len(columns)}
            yield RawRow(line, problem=_("There are %(found)d cells, and %(expected)d columns.") % counts)


def _header(line: str, delimiter: str) -> list[str]:
    try:
        return _names(next(csv.reader([line], delimiter=delimiter, strict=True), []))
    except csv.Error:
        return []


def _names(header: Sequence[str]) -> list[str]:
    names = [name.strip().casefold() for name in header]
    while names and not names[-1]:  # spreadsheets leave empty columns behind
        names.pop()
    return names


def _checked(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise BadImportFile(_("There is no column “%s”.") % unknown[0][:80], line=1)
    if len(set(names)) != len(names):
        raise BadImportFile(_("A column is named twice."), line=1)
    return names


def _records(reader: Any, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not empty, and the line where it begins, without the empty cells that stand under no
    column."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise BadImportFile(_("This is not CSV: %s.") % error, line=line) from None
        while len(cells) > columns and not cells[-1].strip():
            cells.pop()
        if any(cell.strip() for cell in cells):
            yield line, cells


def _read_json(text: str) -> ImportFile:
    try:
        if text.lstrip().startswith("["):
            document = _Document(msgspec.json.decode(text, type=list[msgspec.Raw]))
        else:
            document = msgspec.json.decode(text, type=_Document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadImportFile(_("This is not JSON as it should be: %s.") % error) from None
    if len(document.faqs) > MAX_ROWS:
        raise BadImportFile(_("There are more than %d rows.") % MAX_ROWS)
    decoder = msgspec.json.Decoder(_FAQEntry)
    return ImportFile([_entry(place, raw, decoder) for place, raw in enumerate(document.faqs, 1)], document.categories)


def _entry(place: int, raw: msgspec.Raw, decoder: msgspec.json.Decoder[_FAQEntry]) -> RawRow:
    try:
        entry = decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return RawRow(place, problem=str(error))
    cells = {name: value for name in COLUMNS if (value := getattr(entry, name)) is not UNSET}
    return RawRow(place, {name: "" if value is None else value for name, value in cells.items()})


# --- Writing ----------------------------------------------------------------------------------------------------------
def write_csv(rows: Iterable[Mapping[str, str]]) -> str:
    """CSV with a byte order mark, so that spreadsheets read UTF-8. Every cell is quoted: one that holds a ``;`` would
    else fall apart, formulas and all, where spreadsheets expect semicolons."""
    buffer = io.StringIO(newline="")
    buffer.write("\ufeff")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([escape(row[name]) for name in COLUMNS] for row in rows)
    return buffer.getvalue()


def write_json(faqs: Sequence[Mapping[str, Any]], categories: Sequence[CategoryEntry]) -> str:
    """JSON with an indent of two, an entry's fields in the order of COLUMNS."""
    document = {"categories": categories, "faqs": [{name: faq[name] for name in COLUMNS} for faq in faqs]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
