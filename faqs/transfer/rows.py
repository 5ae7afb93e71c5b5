"""What a row asks for: its cells as values, each column's meaning in one place. No database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from faqs.models import FAQ
from faqs.texts import one_line
from faqs.transfer.cells import split_list
from faqs.transfer.files import RawRow

MAX_DEPTH = 100
MAX_SHOWN = 80  # of a cell, in a reason


@dataclass(slots=True)
class Wish:
    """``fields`` are those of an FAQ that the row sets, not yet checked. What is ``None`` or empty stays as it is; a
    ``category`` of no names takes the FAQ out of its category."""

    line: int
    fields: dict[str, Any] = field(default_factory=dict)
    id: UUID | None = None
    category: tuple[str, ...] | None = None
    phrasings: list[str] | None = None
    status: str = ""
    translation_of: str = ""


def read_row(row: RawRow) -> Wish:
    """Raises ValidationError by column."""
    if row.problem:
        raise ValidationError(row.problem)
    wish = Wish(row.line, {"question": row.cells["question"], "answer": row.cells["answer"]})
    errors: dict[str, Any] = {}
    for column, read in _READERS.items():
        if column in row.cells:
            try:
                read(wish, row.cells[column])
            except ValidationError as error:
                errors[column] = error
    if errors:
        raise ValidationError(errors)
    return wish


def reason(error: ValidationError) -> str:
    """The error as a sentence or two, each after the column that it is about."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(f"{column}: {' '.join(messages)}" for column, messages in error.message_dict.items())


def _read_id(wish: Wish, cell: str) -> None:
    if cell.strip():
        wish.id = as_id(cell)
        if wish.id is None:
            raise ValidationError(_("“%(text)s” is no id."), params={"text": cell[:MAX_SHOWN]})


def as_id(text: str) -> UUID | None:
    """The UUID that ``text`` writes, or ``None``."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _read_category(wish: Wish, cell: str | list[str]) -> None:
    parts = cell.split("/") if isinstance(cell, str) else cell
    names = tuple(one_line(part) for part in parts)
    if len(names) > MAX_DEPTH:
        raise ValidationError(_("At most %(count)d levels."), params={"count": MAX_DEPTH})
    wish.category = () if not any(names) else names
    if not all(wish.category):
        raise ValidationError(_("A name between two slashes is missing."))


def _read_list(separator: str, cell: str | list[str]) -> list[str]:
    try:
        return cell if isinstance(cell, list) else split_list(cell, separator)
    except ValueError:
        raise ValidationError(_("This begins as a JSON list and is not one of texts.")) from None


def _read_tags(wish: Wish, cell: str | list[str]) -> None:
    wish.fields["tags"] = _read_list(",", cell)


def _read_phrasings(wish: Wish, cell: str | list[str]) -> None:
    wish.phrasings = _read_list("\n", cell)


def _read_language(wish: Wish, cell: str) -> None:
    if cell.strip():
        wish.fields["language"] = cell


def _read_visibility(wish: Wish, cell: str) -> None:
    if cell.strip():
        wish.fields["visibility"] = cell.strip().lower()


def _read_status(wish: Wish, cell: str) -> None:
    wish.status = cell.strip().lower()
    if wish.status and wish.status not in FAQ.Status.values:
        raise ValidationError(_("One of %(choices)s."), params={"choices": ", ".join(FAQ.Status.values)})


def _read_valid_from(wish: Wish, cell: str) -> None:
    wish.fields["valid_from"] = _moment(cell, timedelta())


def _read_valid_until(wish: Wish, cell: str) -> None:
    # "Until the 31st" has the 31st in it.
    wish.fields["valid_until"] = _moment(cell, timedelta(days=1))


def _moment(cell: str, beyond: timedelta) -> datetime | None:
    """An ISO 8601 time, in the current zone where it names none; a date alone is its first moment, ``beyond`` on."""
    text = cell.strip()
    if not text:
        return None
    try:
        if found := parse_datetime(text) if len(text) > 10 else None:
            return found
        if day := parse_date(text):
            return timezone.make_aware(datetime.combine(day, time()) + beyond)
    except (ValueError, OverflowError):  # written like a date that there is not
        pass
    raise ValidationError(
        _("“%(text)s” is no date: write 2027-01-31, or 2027-01-31T18:00+01:00."), params={"text": text[:MAX_SHOWN]}
    )


def _read_reference(wish: Wish, cell: str) -> None:
    wish.translation_of = one_line(cell)


_READERS: Mapping[str, Callable[[Wish, Any], None]] = {
    "id": _read_id,
    "category": _read_category,
    "language": _read_language,
    "tags": _read_tags,
    "status": _read_status,
    "visibility": _read_visibility,
    "valid_from": _read_valid_from,
    "valid_until": _read_valid_until,
    "phrasings": _read_phrasings,
    "translation_of": _read_reference,
}
