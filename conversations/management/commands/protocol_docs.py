"""``manage.py protocol_docs``: writes docs/protocol.md and docs/asyncapi.json from the protocol's own classes."""

import inspect
import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from msgspec import inspect as types

from conversations import events
from conversations.asyncapi import asyncapi_document

HEAD = """# The chat protocol

Made by `manage.py protocol_docs` from `conversations/events.py`: change that, not this page. For programs, the same is
an AsyncAPI 3 document, [asyncapi.json](asyncapi.json), which a server also gives at `/api/asyncapi.json`. How to sign
in and get a ticket: [api.md](api.md). Staff's pages of figures have a socket of their own, `/ws/figures/`, which is
told of in [analytics.md](analytics.md).

"""
PLAIN: dict[type[types.Type], str] = {
    types.UUIDType: "UUID",
    types.IntType: "integer",
    types.FloatType: "number",
    types.BoolType: "true or false",
    types.NoneType: "null",
    types.DateTimeType: "time (RFC 3339)",
    types.AnyType: "anything",
}


class Command(BaseCommand):
    help = "Writes docs/protocol.md and docs/asyncapi.json from conversations/events.py; --check only compares them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files, or raise CommandError where ``--check`` finds one out of date."""
        document = json.dumps(asyncapi_document(), indent=1, ensure_ascii=False) + "\n"
        for name, text in {"protocol.md": protocol_page(), "asyncapi.json": document}.items():
            path = settings.BASE_DIR / "docs" / name
            if not options["check"]:
                path.write_text(text)
            elif not path.exists() or path.read_text() != text:
                raise CommandError(f"docs/{name} is out of date: run manage.py protocol_docs")


def protocol_page() -> str:
    """The whole page as Markdown."""
    commands, sent = events.leaves(events.Command), events.leaves(events.Event)
    parts = [
        HEAD + _text(events),
        f"A frame has at most {events.MAX_FRAME_BYTES // 1024} KiB, a text at most {events.MAX_TEXT} characters.",
        "## From client to server",
        _text(events.Command),
        *map(_struct, commands),
        "## From server to client",
        f"Events of a reply: {_lower(_text(events.ReplyEvent))} Endings of one: {_lower(_text(events.ReplyEnding))}",
        *map(_struct, sent),
        "## Objects in events",
        *map(_struct, _nested([*commands, *sent])),
        "## Close codes",
        _close_codes(),
    ]
    return "\n\n".join(parts) + "\n"


def _struct(kind: type[msgspec.Struct]) -> str:
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    parts = [f"### `{info.tag or kind.__name__}`", _text(kind)]
    if info.fields:
        rows = [f"| `{f.encode_name}` | {_type(f.type)} | {_default(f)} |" for f in info.fields]
        parts.append("\n".join(["| field | type | default |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _text(described: Any) -> str:
    """Its docstring, with code marked as Markdown marks it."""
    return inspect.cleandoc(described.__doc__ or "").replace("``", "`")


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _type(info: types.Type) -> str:
    """A type in words."""
    match info:
        case types.Metadata(type=plain):
            return _type(plain)
        case types.StructType(cls=cls):
            return f"[{cls.__name__}](#{cls.__name__.lower()})"
        case types.UnionType(types=members):
            return " or ".join(map(_type, members))
        case types.ListType(item_type=item):
            return f"list of {_type(item)}"
        case types.TupleType(item_types=items):
            return f"[{', '.join(map(_type, items))}]"
        case types.DictType(key_type=key, value_type=value):
            return f"object: {_type(key)} → {_type(value)}"
        case types.LiteralType(values=values):
            return " or ".join(f"`{value}`" for value in values)
        case types.StrType(max_length=longest, pattern=pattern):
            bound = f", at most {longest} characters" if longest else ""
            return f"string{bound}" + (f", `{pattern}`" if pattern else "")
        case _:
            return PLAIN[type(info)]


def _default(field: types.Field) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(value).decode()}`"


def _nested(kinds: Iterable[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """The structs that fields of ``kinds`` hold, each once."""
    found: dict[type[msgspec.Struct], None] = {}

    def look(info: types.Type) -> None:
        match info:
            case types.StructType(cls=cls):
                found.setdefault(cls)
                for field in info.fields:
                    look(field.type)
            case types.UnionType(types=members):
                for member in members:
                    look(member)
            case types.ListType(item_type=item):
                look(item)

    for kind in kinds:
        info = types.type_info(kind)
        assert isinstance(info, types.StructType)
        for field in info.fields:
            look(field.type)
    return list(found)


def _close_codes() -> str:
    rows = [f"| {code} | {meaning} |" for code, meaning in events.CLOSE_CODES.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])
