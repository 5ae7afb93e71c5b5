"""What people and models write, made safe to store and to show."""

import re
import unicodedata

# Controls that no text needs, and those that turn its direction around beyond its own line (Unicode UAX #9,
# "Trojan Source"). The marks LRM, RLM and ALM stay: right-to-left languages write with them.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKS_IN_A_ROW = 8


def clean_text(text: str) -> str:
    """``text`` in NFC with ``\\n`` line ends, without control characters, lone surrogates, direction overrides, and
    with at most eight combining marks in a row. Linear in the length of the text."""
    text = _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.isascii():
        return text
    return _bounded_marks(unicodedata.normalize("NFC", _bounded_marks(text)))


def _bounded_marks(text: str) -> str:
    kept: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


def shorten(text: str, limit: int) -> str:
    """The first line's first words, at most ``limit`` characters, with an ellipsis where something was cut."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    head, _, _ = cut.rpartition(" ")
    return (head if len(head) > limit // 2 else cut).rstrip(" ,;:.") + "…"
