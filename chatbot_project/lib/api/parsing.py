"""JSON bodies, read strictly: bounded in size and depth, every name once, nothing that cannot be stored."""

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.parsers import BaseParser

from chatbot_project.lib.api.errors import malformed, too_large

MAX_DEPTH = 32
_BIGGEST = 2**63
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


class StrictJSONParser(BaseParser):
    """Reads ``application/json``. A view with ``max_body_bytes`` takes bodies up to that size instead of the usual.

    Raises ApplicationError: ``too_large`` (413), or ``malformed`` (400) with what is wrong.
    """

    # Not the framework's JSONParser: for one of those it reads the whole body first, whatever its size.
    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        view = (parser_context or {}).get("view")
        limit = getattr(view, "max_body_bytes", settings.API_BODY_BYTES)
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise too_large()
        return read_json(body)


def read_json(body: bytes) -> Any:
    """The value in ``body``. Raises ApplicationError ``malformed``. Linear in the body's length.

    Texts keep what they are, except that NUL and lone surrogates are refused, which no database stores; what only
    misleads the eye (direction overrides and the like) is removed by ``lib.text.clean_text`` where a text is kept.
    """
    if _depth(body) > MAX_DEPTH:
        raise malformed(_("The JSON is nested deeper than %(most)d levels.") % {"most": MAX_DEPTH})
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_each_name_once,
        )
    except UnicodeDecodeError:
        raise malformed(_("The body is not UTF-8.")) from None
    except json.JSONDecodeError as error:
        place = {"line": error.lineno, "column": error.colno}
        raise malformed(_("The body is not JSON: line %(line)d, column %(column)d.") % place) from None
    # Only an escape can still bring one in, so that nearly every body is spared the walk.
    if "\\u" in text or "\0" in text:
        _check_texts(value)
    return value


def _depth(body: bytes) -> int:
    """How deep arrays and objects are nested."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", body):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _no_constant(name: str) -> Any:
    raise malformed(_("%(name)s is not JSON.") % {"name": name})


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise malformed(_("A number is too large."))
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -_BIGGEST <= int(text) < _BIGGEST:
        raise malformed(_("A number is too large."))
    return int(text)


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise malformed(_("A name stands twice in one object."))
    return found


def _check_texts(value: Any) -> None:
    """Bounded by MAX_DEPTH, so it may recurse."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise malformed(_("A text holds characters that no text needs."))
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_texts(name)
            _check_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_texts(inner)
