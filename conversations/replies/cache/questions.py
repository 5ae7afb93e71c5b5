"""Which questions are the same. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256

from chatbot_project.lib.pii import find

MOST_CHARACTERS = 300  # of a question: longer ones are hardly asked twice, and tell of their person

# Where case and spaces mean something: code, markup, formulas, tables.
_CODE = re.compile(r"[`{}<>=\\|^~_\[\]\n\t]")
_END = ".!?… "
# Names that are other words in small letters: US and us, IT and it, WHO and who.
_NAME = re.compile(r"(?:[A-Z]{2}|WHO)[.!?…,;:]*")


def is_general(question: str) -> bool:
    """Whether ``question`` is short and has no personal data in it."""
    return len(question) <= MOST_CHARACTERS and not find(question)


def normalised(question: str) -> str:
    """What is left of ``question`` where it does not matter how it is written: in capitals, with more spaces, with or
    without a mark at its end. What looks like code stays as it is, and so do names that are words in small letters."""
    text = unicodedata.normalize("NFC", question).strip()
    if is_code(text):
        return text
    words = unicodedata.normalize("NFKC", text).split()
    are_mixed = not text.isupper()
    folded = " ".join(word if are_mixed and _NAME.fullmatch(word) else word.casefold() for word in words)
    return folded.rstrip(_END) or folded


def is_code(question: str) -> bool:
    """Whether case and spaces may mean something in ``question``."""
    return _CODE.search(question) is not None


def digest(parts: Iterable[object]) -> str:
    """SHA-256 of ``parts``, each kept apart from the next; 64 hexadecimal digits."""
    return sha256("\x1f".join(str(part).replace("\x1f", " ") for part in parts).encode(errors="replace")).hexdigest()
