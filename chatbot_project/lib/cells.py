"""One cell of a CSV file: safe in a spreadsheet, and the same again when it comes back. Pure."""

import re

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
