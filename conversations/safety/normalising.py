"""Text as rules are compared with it, so that a word is the same however it is disguised. Pure, without I/O."""

import base64
import binascii
import functools
import re
import unicodedata

from confusable_homoglyphs.confusables import confusables_data

_APART = re.compile(r"[\W_]+")
# "k i l l", "k.i.l.l": single letters, a little apart.
_SPELT_OUT = re.compile(r"(?<![^\W_])(?:[^\W_][\W_]{1,3}){2,39}[^\W_](?![^\W_])")
_UNSEEN = frozenset({"Mn", "Me", "Cf", "Cc"})
#: Stands before a word whose letters stood apart: several words may have become one there.
SPELT = "\u02ac"
_REPEATED = re.compile(r"(.)\1+")
# What digits and signs stand for in leetspeak; "l" and "i" are one, since "1" and "|" are written for both.
_LEET = str.maketrans({"4": "a", "@": "a", "3": "e", "€": "e", "1": "i", "!": "i", "|": "i", "l": "i", "0": "o",
                       "5": "s", "$": "s", "7": "t", "+": "t", "8": "b", "9": "g"})  # fmt: skip
# Within a word only: a sign at its end is punctuation.
_LEET_SIGN = re.compile(r"[@€!|$+](?=[^\W_])")


@functools.cache
def _lookalikes() -> dict[int, str]:
    """Characters that look like an ASCII letter or digit (Unicode's confusables, UTS 39), as that one."""
    table: dict[int, str] = {}
    for character, alike in confusables_data.items():
        if (
            len(character) != 1
            or character.isascii()
            or not unicodedata.category(character).startswith(("L", "N", "S"))
        ):
            continue
        plain = next((a["c"] for a in alike if len(a["c"]) == 1 and a["c"].isascii() and a["c"].isalnum()), None)
        if plain is not None:
            table[ord(character)] = plain.lower()
    return table


def plain_words(text: str) -> list[str]:
    """The words of ``text`` without case, accents, invisible characters and letters of other scripts that only look
    like these."""
    return words_of_plain(plain(text))


def undisguised_words(text: str) -> list[str]:
    """The same with leetspeak read as letters, letters that stand apart put together behind ``SPELT``, and no
    letter twice in a row."""
    return undisguised_of_plain(plain(text))


def words_of_plain(text: str) -> list[str]:
    """``plain_words`` of what ``plain`` gave."""
    return _APART.sub(" ", text).split()


def undisguised_of_plain(text: str) -> list[str]:
    """``undisguised_words`` of what ``plain`` gave."""
    text = _LEET_SIGN.sub(lambda match: match[0].translate(_LEET), text)
    text = _SPELT_OUT.sub(lambda match: SPELT + _APART.sub("", match[0]), text)
    words = _APART.sub(" ", text).split()
    # All at once; a number is no word in disguise.
    letters = without_repeats(" ".join(words).translate(_LEET)).split(" ")
    return [without_repeats(word) if word.isdigit() else read for word, read in zip(words, letters, strict=False)]


def without_repeats(word: str) -> str:
    """``word`` with no character twice in a row."""
    return _REPEATED.sub(r"\1", word)


_ENCODED = re.compile(r"(?<![\w+/-])[\w+/-]{12,}={0,2}", re.A)


def decoded(text: str) -> str:
    """What stands in ``text`` as base64, on lines of its own; empty where nothing that can be read does."""
    found = []
    for match in _ENCODED.finditer(text):
        plain = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            said = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        if all(c.isprintable() or c.isspace() for c in said):
            found.append(said)
    return "\n".join(found)


def plain(text: str) -> str:
    """``text`` without case, accents, invisible characters and look-alike letters of other scripts."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text.translate(_lookalikes()))
    dropped = {c for c in set(text) if unicodedata.category(c) in _UNSEEN and c not in "\n\t\r"}
    if dropped:
        text = text.translate(dict.fromkeys(map(ord, dropped)))
    return text.translate(_lookalikes()).casefold().translate(_lookalikes())
