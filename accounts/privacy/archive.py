"""A person's data as one ZIP, piece by piece: JSON for programs, HTML to read. What is held at a time is bounded.

    index.html           what there is, with links
    data/<section>.json  {"section", "about", "rows": […]}, as export.schema.json says
    pages/<section>-<n>.html
    export.json          format, whose, when, and how many rows each section has
    export.schema.json

All sections come from the registry. HTML is in the active language, has no script and loads nothing; what programs
read is the same in all languages.
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import RawIOBase
from typing import IO, Any, cast

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.html import escape
from django.utils.translation import get_language, gettext

from accounts.models import User
from accounts.privacy import registry
from accounts.privacy.labels import label
from accounts.privacy.registry import PersonalData

FORMAT = "nono.person/1"
ROWS_AT_A_TIME = 500  # of the database
ROWS_OF_A_PAGE = 1000
Row = Mapping[str, Any]
_HEAD = (
    '<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    "<title>{title}</title><style>:root{{color-scheme:light dark}}"
    "body{{max-width:48rem;margin:2rem auto;padding:0 1rem;"
    "font:1rem/1.5 system-ui,sans-serif}}article{{border-top:1px solid #8888;padding:.5rem 0}}dl{{display:grid;"
    "grid-template-columns:minmax(8rem,auto) 1fr;gap:.1rem 1rem}}dt{{opacity:.7}}dd{{margin:0;white-space:pre-wrap;"
    "overflow-wrap:anywhere}}</style></head><body>\n"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One section: what it is called, the JSON types of its fields, the rows of a person, and what values of a field
    are called where people read them."""

    name: str
    about: str
    fields: Mapping[str, Mapping[str, Any]]
    rows: Callable[[User], Iterable[Row]]
    words: Mapping[str, Mapping[Any, Any]]


def parts() -> list[Part]:
    """All sections of an export, in the registry's order."""
    of_models = [
        Part(each.section, each.about, _fields_of(each), _reader(each), _words_of(each))
        for each in registry.personal_data()
        if each.section
    ]
    others = [Part(each.name, each.about, each.fields, each.rows, each.words) for each in registry.sections()]
    return [*of_models, *others]


def archive(person: User, *, at: datetime) -> Iterator[bytes]:
    """The ZIP of all that is held of ``person``. Reads the database as it goes; call it in one transaction."""
    outlet = _Outlet()
    counts: dict[str, int] = {}
    with zipfile.ZipFile(cast(IO[bytes], outlet), "w", zipfile.ZIP_DEFLATED) as file:
        for part in parts():
            counter = _Counter()
            yield from _write(file, outlet, f"data/{part.name}.json", _as_json(part, counter.count(part.rows(person))))
            counts[part.name] = counter.rows
            pages = max(1, -(-counter.rows // ROWS_OF_A_PAGE))
            rows = iter(part.rows(person))
            for page in range(1, pages + 1):
                yield from _write(file, outlet, f"pages/{part.name}-{page}.html", _as_page(part, rows, page, pages))
        yield from _write(file, outlet, "index.html", _index(person, at, counts))
        yield from _write(file, outlet, "export.schema.json", [json.dumps(json_schema(), indent=1)])
        manifest = {"format": FORMAT, "person": str(person.pk), "made_at": at, "sections": counts}
        yield from _write(file, outlet, "export.json", [json.dumps(manifest, cls=DjangoJSONEncoder, indent=1)])
    yield outlet.drain()


def json_schema() -> dict[str, Any]:
    """What ``export.json`` and each ``data/<section>.json`` hold, as a JSON Schema with a definition of each."""
    sections = {
        part.name: {
            "type": "object",
            "description": part.about,
            "required": ["section", "about", "rows"],
            "additionalProperties": False,
            "properties": {
                "section": {"const": part.name},
                "about": {"type": "string"},
                "rows": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": [*part.fields],
                        "additionalProperties": False,
                        "properties": dict(part.fields),
                    },
                },
            },
        }
        for part in parts()
    }
    manifest = {
        "type": "object",
        "required": ["format", "person", "made_at", "sections"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": FORMAT},
            "person": {"type": "string", "format": "uuid"},
            "made_at": {"type": "string", "format": "date-time"},
            "sections": {
                "type": "object",
                "description": "How many rows each section has.",
                "required": [*sections],
                "additionalProperties": {"type": "integer", "minimum": 0},
            },
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A copy of a person's data",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("export", *sections)],
        "$defs": {"export": manifest, **sections},
    }


# --- Rows


def _reader(entry: PersonalData) -> Callable[[User], Iterator[Row]]:
    fields = [entry.model._meta.get_field(name) for name in entry.exported]
    names = [(field.name, field.attname) for field in fields if isinstance(field, models.Field)]
    texts = [attname for _name, attname in names]

    def read(person: User) -> Iterator[Row]:
        rows = entry.rows_of(person)
        if not entry.derived:
            rows = rows.only("pk", *texts)
        for row in rows.iterator(chunk_size=ROWS_AT_A_TIME):
            found = {name: getattr(row, attname) for name, attname in names}
            yield {**found, **{name: make(row) for name, make in entry.derived.items()}}

    return read


def _fields_of(entry: PersonalData) -> dict[str, dict[str, Any]]:
    model_fields = [entry.model._meta.get_field(name) for name in entry.exported]
    found = {field.name: _type_of(field) for field in model_fields if isinstance(field, models.Field)}
    return {**found, **{name: {"type": "string"} for name in entry.derived}}


def _words_of(entry: PersonalData) -> dict[str, dict[Any, Any]]:
    """What a model calls the values of its fields with choices."""
    fields = (entry.model._meta.get_field(name) for name in entry.exported)
    return {field.name: dict(field.flatchoices) for field in fields if isinstance(field, models.Field)}


def _type_of(field: "models.Field[Any, Any]") -> dict[str, Any]:
    if isinstance(field, models.ForeignKey):
        return _nullable(_type_of(field.target_field), field.null)
    simple: list[tuple[type[Any], dict[str, Any]]] = [
        (models.UUIDField, {"type": "string", "format": "uuid"}),
        (models.DateTimeField, {"type": "string", "format": "date-time"}),
        (models.BooleanField, {"type": "boolean"}),
        (models.IntegerField, {"type": "integer"}),
        (models.FloatField, {"type": "number"}),
        (ArrayField, {"type": "array"}),
        (models.JSONField, {}),
    ]
    kind = next((found for base, found in simple if isinstance(field, base)), {"type": "string"})
    return _nullable(kind, field.null)


def _nullable(kind: dict[str, Any], null: bool) -> dict[str, Any]:
    return {**kind, "type": [kind["type"], "null"]} if null and isinstance(kind.get("type"), str) else kind


class _Counter:
    def __init__(self) -> None:
        self.rows = 0

    def count(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            yield row


# --- Files


class _Outlet(RawIOBase):
    """What the ZIP is written to: takes bytes and gives them away. It cannot be sought in, which zipfile respects."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._kept += data
        return len(data)

    def drain(self) -> bytes:
        data = bytes(self._kept)
        self._kept.clear()
        return data


def _write(file: zipfile.ZipFile, outlet: _Outlet, name: str, texts: Iterable[str]) -> Iterator[bytes]:
    with file.open(name, "w", force_zip64=True) as entry:
        for text in texts:
            entry.write(text.encode("utf-8", "replace"))
            if data := outlet.drain():
                yield data
    yield outlet.drain()


def _as_json(part: Part, rows: Iterable[Row]) -> Iterator[str]:
    yield f'{{"section": {json.dumps(part.name)}, "about": {json.dumps(part.about)}, "rows": ['
    before = "\n"
    for row in rows:
        yield before + json.dumps(dict(row), cls=DjangoJSONEncoder, ensure_ascii=False)
        before = ",\n"
    yield "\n]}\n"


def _as_page(part: Part, rows: Iterator[Row], page: int, pages: int) -> Iterator[str]:
    about, back, nothing = gettext(part.about), gettext("All your data"), gettext("Nothing.")
    yield _head(about)
    yield f'<p><a href="../index.html">{escape(back)}</a></p><h1>{escape(about)}</h1>\n'
    if pages > 1:
        links = (f'<a href="{part.name}-{other}.html">{other}</a>' for other in range(1, pages + 1))
        which = gettext("Page %(page)d of %(pages)d") % {"page": page, "pages": pages}
        yield f"<p>{escape(which)}: {' '.join(links)}</p>\n"
    is_empty = True
    for _number, row in zip(range(ROWS_OF_A_PAGE), rows, strict=False):
        is_empty = False
        yield "<article><dl>"
        for name, value in row.items():
            if value not in (None, "", [], {}):
                shown = _shown(value, part.words.get(name, {}))
                yield f"<dt>{escape(label(name))}</dt><dd>{escape(shown)}</dd>"
        yield "</dl></article>\n"
    yield (f"<p>{escape(nothing)}</p>" if is_empty else "") + "</body></html>\n"


def _head(title: str) -> str:
    return _HEAD.format(title=escape(title), language=escape(get_language() or settings.LANGUAGE_CODE))


def _shown(value: Any, words: Mapping[Any, Any]) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, (str, int)) and value in words:
        return str(words[value])
    return value if isinstance(value, str) else json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False).strip('"')


def _index(person: User, at: datetime, counts: Mapping[str, int]) -> Iterator[str]:
    title, as_json, programs = gettext("Your data"), gettext("as JSON"), gettext("For programs:")
    yield _head(title)
    yield f"<h1>{escape(title)}</h1><p>{escape(person.username)}, {escape(_shown(at, {}))}</p><ul>\n"
    for part in parts():
        link = f'<a href="pages/{part.name}-1.html">{escape(gettext(part.about))}</a>'
        yield f'<li>{link} ({counts[part.name]}, <a href="data/{part.name}.json">{escape(as_json)}</a>)</li>\n'
    files = '<a href="export.json">export.json</a>, <a href="export.schema.json">export.schema.json</a>'
    yield f"</ul><p>{escape(programs)} {files}</p>\n"
    yield "</body></html>\n"
