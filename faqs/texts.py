"""The texts of FAQs: tidied, checked for having something in them, and named by their hash. Pure."""

import unicodedata
from collections.abc import Iterable
from hashlib import sha256

from chatbot_project.lib.text import clean_text


def one_line(text: str) -> str:
    """``text`` cleaned, as one line with single spaces."""
    return " ".join(clean_text(text).split())


def block(text: str) -> str:
    """``text`` cleaned, without empty lines around it and without space at its end. Its indentation stays: in Markdown
    it means something."""
    return clean_text(text).strip("\n").rstrip()


def text_hash(text: str) -> str:
    """SHA-256 of a cleaned text, 64 hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def has_words(text: str) -> bool:
    """Whether there is a letter or a digit of any script in it."""
    return any(character.isalnum() for character in text)


def is_visible(text: str) -> bool:
    """Whether a reader would see anything: not only spaces, marks and characters of no width."""
    return any(unicodedata.category(character)[0] not in "CMZ" for character in text)


def distinct(texts: Iterable[str]) -> list[str]:
    """One-line forms of ``texts`` in their order, each once, without those that are empty."""
    return list(dict.fromkeys(line for text in texts if (line := one_line(text))))


def same_words(text: str, other: str) -> bool:
    """Whether both have the same letters and digits in the same order of words, in any case, with any marks."""
    words = _words(text)
    return bool(words) and words == _words(other)


def _words(text: str) -> list[str]:
    return "".join(character if character.isalnum() else " " for character in text.casefold()).split()
