"""Pages of a list by keyset: a cursor names the last row shown, so that new rows neither shift nor repeat any.

``?cursor=&limit=`` in, ``{"items": [...], "next": cursor | null}`` out. A cursor is signed: it holds values that go
into a query, and only ours do.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.core import signing
from django.db.models import BooleanField, F, Func, Model, Q, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan
from django.utils.translation import gettext as _

from chatbot_project.lib.api.errors import InvalidInput

MAX_LIMIT = 100
USUAL_LIMIT = 30
_MAX_CURSOR = 2000

Row = TypeVar("Row")
Stored = TypeVar("Stored", bound=Model)
Orderings = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows in the list's order; ``next`` leads to the page behind them and is ``None`` on the last one."""

    rows: list[Row]
    next: str | None

    def answer(self, items: Sequence[Any]) -> dict[str, Any]:
        """The body of the answer, with ``items`` for the rows."""
        return {"items": list(items), "next": self.next}


def read_page(
    found: QuerySet[Stored], query: Mapping[str, Any], *, orderings: Orderings, usual_limit: int = USUAL_LIMIT
) -> Page[Stored]:
    """The page of ``found`` that the query parameters ask for: ``cursor``, ``limit`` (1 to 100) and ``ordering``.

    ``orderings`` maps each name that ``ordering`` may have to the fields it sorts by, as ``order_by`` takes them; the
    first is the usual one. Together they must be unique and never null. One query. Raises InvalidInput (400).
    """
    name = query.get("ordering", next(iter(orderings)))
    if name not in orderings:
        raise InvalidInput({"ordering": [_("Choose one of: %(names)s.") % {"names": ", ".join(orderings)}]})
    fields = orderings[name]
    limit = read_limit(query, usual=usual_limit)
    salt = _salt(found, fields)
    if cursor := query.get("cursor"):
        found = found.filter(_behind(fields, decode_cursor(cursor, salt, len(fields))))
    rows = list(found.order_by(*fields)[: limit + 1])
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    values = [_value(last, field.lstrip("-")) for field in fields]
    return Page(rows[:limit], encode_cursor(values, salt))


def page_of_rows(rows: Sequence[Row], query: Mapping[str, Any], *, key: Callable[[Row], UUID], name: str) -> Page[Row]:
    """The page that ``cursor`` and ``limit`` ask for of ``rows`` that are no table's, in descending order of ``key``,
    which is unique. ``name`` tells the list from others. Raises InvalidInput (400)."""
    limit, salt = read_limit(query), f"api.cursor:{name}"
    if cursor := query.get("cursor"):
        (last,) = decode_cursor(cursor, salt, 1)
        rows = [row for row in rows if key(row) < last]
    shown = list(rows[:limit])
    return Page(shown, encode_cursor([key(shown[-1])], salt) if len(rows) > limit else None)


def read_limit(query: Mapping[str, Any], *, usual: int = USUAL_LIMIT) -> int:
    """``limit`` of the query parameters. Raises InvalidInput where it is no number from 1 to 100."""
    text = query.get("limit")
    if text is None:
        return usual
    # A number of any length is compared as text first: int() of a million digits takes seconds.
    if len(text) > 3 or not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidInput({"limit": [_("This is a number from 1 to %(most)d.") % {"most": MAX_LIMIT}]})
    return int(text)


def _behind(fields: Sequence[str], values: Sequence[Any]) -> Q:
    """What stands after the row with these values: greater (less, where descending) in the first field that differs."""
    if len({field.startswith("-") for field in fields}) == 1:
        # As rows, where an index in that order begins right behind the cursor, however far down the list that is.
        compare = LessThan if fields[0].startswith("-") else GreaterThan
        return Q(compare(_row(F(field.lstrip("-")) for field in fields), _row(map(Value, values))))
    behind = Q()
    same: dict[str, Any] = {}
    for field, value in zip(fields, values, strict=True):
        name, descends = field.lstrip("-"), field.startswith("-")
        behind |= Q(**same, **{f"{name}__{'lt' if descends else 'gt'}": value})
        same[name] = value
    # The first field's bound once more, alone: it is what an index can start from.
    first = fields[0]
    return Q(**{f"{first.lstrip('-')}__{'lte' if first.startswith('-') else 'gte'}": values[0]}) & behind


def _row(parts: Iterable[Any]) -> Func:
    return Func(*parts, function="ROW", output_field=BooleanField())


def _value(row: Any, path: str) -> Any:
    for name in path.split("__"):
        row = getattr(row, name)
    return row


def _salt(found: QuerySet[Stored], fields: Sequence[str]) -> str:
    return f"api.cursor:{found.model._meta.label_lower}:{','.join(fields)}"


def encode_cursor(values: Sequence[Any], salt: str) -> str:
    """A cursor that holds ``values``; ``salt`` names the list that it belongs to."""
    return signing.dumps([_pack(value) for value in values], salt=salt)


def decode_cursor(cursor: str, salt: str, count: int) -> list[Any]:
    """The ``count`` values in a cursor of that list. Raises InvalidInput where it is none of ours."""
    try:
        if len(cursor) > _MAX_CURSOR:
            raise signing.BadSignature
        packed = signing.loads(cursor, salt=salt)
        values = [_unpack(each) for each in packed]
    except (signing.BadSignature, ValueError):
        values = []
    if len(values) != count:
        raise InvalidInput({"cursor": [_("That page of the list does not exist.")]})
    return values


def _pack(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    if isinstance(value, UUID):
        return {"id": value.hex}
    if isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"a list cannot be ordered by {json.dumps(type(value).__name__)}")


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        return datetime.fromisoformat(value["at"]) if "at" in value else UUID(value["id"])
    return value
