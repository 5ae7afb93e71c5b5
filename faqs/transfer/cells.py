"""One cell of a CSV file: safe in a spreadsheet, and the same again when it comes back. Pure."""

import json
import re
from collections.abc import Sequence

# What makes a spreadsheet calculate, after any number of the marks that say it must not: with the marks counted in,
# `unescape` is the exact inverse of `escape`, whatever a text begins with.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def escape(text: str) -> str:
    """``text`` with an apostrophe before each line that a spreadsheet would take for a formula.

    Each line, not only the first: a spreadsheet that expects another delimiter finds no quoted cell, and makes a row of
    every line.
    """
    return "\n".join(f"'{line}" if _FORMULA.match(line) else line for line in text.split("\n"))


def unescape(cell: str) -> str:
    """What ``escape`` was given; line ends of any kind become ``\\n``."""
    lines = cell.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line[1:] if line.startswith("'") and _FORMULA.match(line) else line for line in lines)


def join_list(texts: Sequence[str], separator: str) -> str:
    """``texts`` in one cell: with ``separator`` between them, or as a JSON list where that would be read otherwise."""
    plain = separator.join(texts)
    mark = separator.strip(" ") or separator
    if plain.lstrip().startswith("[") or any(mark in text for text in texts):
        return json.dumps(list(texts), ensure_ascii=False)
    return plain


def split_list(cell: str, separator: str) -> list[str]:
    """What ``join_list`` was given. Raises ValueError for a cell that begins as a JSON list and is none of texts."""
    if not cell.lstrip().startswith("["):
        return cell.split(separator.strip(" ") or separator)
    try:
        found = json.loads(cell)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError("not a list of texts")
    return found
