"""Which questions are the same, and which may mean the same. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256

from chatbot_project.lib.pii import find

MOST_CHARACTERS = 300  # of a question: longer ones are hardly asked twice, and tell of their person

# Where case and spaces mean something: code, markup, formulas, tables.
_CODE = re.compile(r"[`{}<>=\\|^~_\[\]\n\t]")
_END = ".!?… "


def is_general(question: str) -> bool:
    """Whether ``question`` is short and has no personal data in it."""
    return len(question) <= MOST_CHARACTERS and not find(question)


def normalised(question: str) -> str:
    """What is left of ``question`` where it does not matter how it is written: in capitals, with more spaces, with or
    without a mark at its end. What looks like code stays as it is."""
    text = unicodedata.normalize("NFC", question).strip()
    if _CODE.search(text):
        return text
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return words.rstrip(_END) or words


def digest(parts: Iterable[object]) -> str:
    """SHA-256 of ``parts``, each kept apart from the next; 64 hexadecimal digits."""
    return sha256("\x1f".join(str(part).replace("\x1f", " ") for part in parts).encode(errors="replace")).hexdigest()
