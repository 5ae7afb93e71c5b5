"""How somebody feels, told from their words alone: word lists and a few rules. Pure, no model, about 0.1 ms a sentence.

Meant for what people write to an assistant: mostly questions, and what they are about (a loss, a fee, a fault) says
nothing of how they feel. The lists (words/) hold words of feeling alone. How often it is right is measured by
``manage.py measure_moods``.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _


class Sentiment(models.TextChoices):
    NEGATIVE = "negative", _("negative")
    NEUTRAL = "neutral", _("neutral")
    POSITIVE = "positive", _("positive")
    UNKNOWN = "unknown", _("not told")


#: Languages that there are word lists of, and which share of labelled sentences that the lists were not written from is
#: told right (``manage.py measure_moods``). What is wrong is nearly always a feeling taken for none.
ACCURACY: Mapping[str, float] = {"de": 0.64, "en": 0.60}
LANGUAGES = tuple(ACCURACY)
#: From this sum on a text is positive, from its negative on negative.
ENOUGH = 0.9
#: Words around a word of feeling in which "not" turns it over.
NEAR = 3
TURNED_TO_BAD = -1.0  # "not good" is bad
TURNED_TO_GOOD = -0.5  # "not bad" is half as good
STRONGER = 1.3
THANKS = 2.0
# A question names what it is about: "Is it easy to cancel?"
IN_A_QUESTION = 0.4
MAX_CHARACTERS = 2000

_LISTS = Path(__file__).parent / "words"
_QUOTED = re.compile(r"```.*?```|`[^`]*`|[\"“„»«].{1,400}?[\"”“«»]|^>.*?$|https?://\S+", re.DOTALL | re.MULTILINE)
_CLAUSE = re.compile(r"[^.!?…;\n]+[.!?…;]*")
_TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[,:]")
_PICTURES: Mapping[str, float] = {
    **dict.fromkeys("👍👏🙏😀😃😄😁😊🙂😍🥰😘❤💚💙🎉🤩😎👌💯", 2.0),
    **dict.fromkeys("👎😠😡🤬😞😢😭😤🙄😒💩😩😫😖😣😕🙁☹", -2.0),
}
_FACES = ((re.compile(r"(?<!\w)[:;]-?\)|(?<!\w):-?D\b|<3"), 2.0), (re.compile(r"(?<!\w):-?[(/](?!\w)"), -2.0))


@dataclass(frozen=True, slots=True)
class Words:
    """What a language's list holds. ``values`` are words and phrases, ``beginnings`` what words begin with."""

    values: Mapping[tuple[str, ...], float]
    beginnings: Mapping[str, float]
    longest: int  # phrase, in words
    negations: frozenset[str]
    boosters: frozenset[str]
    thanks: frozenset[str]
    please: frozenset[str]
    openings: frozenset[str]  # of questions

    def value_at(self, tokens: Sequence[str], place: int) -> tuple[float | None, int]:
        """The value of the longest phrase or the word that begins at ``place``, and of how many tokens it is. None
        where it is of no feeling."""
        for size in range(min(self.longest, len(tokens) - place), 0, -1):
            value = self.values.get(tuple(tokens[place : place + size]))
            if value is not None:
                return value, size
        word = tokens[place]
        for end in range(len(word), 2, -1):
            if (value := self.beginnings.get(word[:end])) is not None:
                return value, 1
        return None, 1


@functools.cache
def words_of(language: str) -> Words:
    """The list of ``language``, read once per process. Raises OSError where there is none."""
    parts: dict[str, list[str]] = {}
    values: dict[tuple[str, ...], float] = {}
    beginnings: dict[str, float] = {}
    section = ""
    for line in _folded((_LISTS / f"{language}.txt").read_text(encoding="utf-8")).splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        entries = line.split(" | ") if " | " in line else [line] if section == "0" else line.split()
        parts.setdefault(section, []).extend(entries)
    for section, entries in parts.items():
        if section.lstrip("-").isdigit():
            for entry in entries:
                if entry.endswith("*"):
                    beginnings[entry[:-1]] = float(section)
                else:
                    values[tuple(entry.split())] = float(section)
    return Words(
        values,
        beginnings,
        max(map(len, values)),
        frozenset(parts["not"]),
        frozenset(parts["very"]),
        frozenset(parts["thanks"]),
        frozenset(parts["please"]),
        frozenset(parts["question"]),
    )


def sentiment_of(texts: Iterable[str], language: str) -> Sentiment:
    """How whoever wrote ``texts``, one after the other in one conversation, feels in all: by the sum of what they said
    with feeling. Not told in a language without a list, and where there is not a word."""
    base = language.partition("-")[0]
    said = [text[:MAX_CHARACTERS] for text in texts if text.strip()]
    if base not in LANGUAGES or not said:
        return Sentiment.UNKNOWN
    total = sum(max(-3.0, min(3.0, feeling(text, base))) for text in said)
    if total >= ENOUGH:
        return Sentiment.POSITIVE
    return Sentiment.NEGATIVE if total <= -ENOUGH else Sentiment.NEUTRAL


def feeling(text: str, language: str) -> float:
    """The sum of what the words of ``text`` say of feeling: above 0 good, below 0 bad. What is quoted, code and
    addresses are not the writer's words."""
    words = words_of(language)
    own = _QUOTED.sub(" ", text)
    pictures = sum(_PICTURES.get(character, 0.0) for character in own)
    faces = sum(value * len(pattern.findall(own)) for pattern, value in _FACES)
    clauses = [_clause(clause, words) for clause in _CLAUSE.findall(_folded(own))]
    total = pictures + faces + sum(_of_clause(clause, words) for clause in clauses)
    # Thanks at the end of a request are manners.
    asks = any(clause.is_question or words.please.intersection(clause.tokens) for clause in clauses)
    thanks = any(words.thanks.intersection(clause.tokens) for clause in clauses)
    return total + (THANKS if thanks and not asks else 0.0)


class _Clause(NamedTuple):
    tokens: Sequence[str]
    is_question: bool


def _clause(text: str, words: Words) -> _Clause:
    tokens = _TOKEN.findall(text)
    end = text.rstrip()[-1:]
    return _Clause(tokens, end == "?" or (bool(tokens) and tokens[0] in words.openings and end not in ".!…"))


def _of_clause(clause: _Clause, words: Words) -> float:
    tokens, is_question = clause
    total, place = 0.0, 0
    while place < len(tokens):
        value, size = words.value_at(tokens, place)
        if value:
            if size == 1:
                value = _in_place(value, tokens, place, words)
                if is_question:
                    value *= IN_A_QUESTION
            total += value
        place += size
    return total


def _in_place(value: float, tokens: Sequence[str], place: int, words: Words) -> float:
    """The value of a word among its neighbours. A phrase says all of it itself."""
    before, after = _until_comma(tokens[max(0, place - NEAR) : place][::-1]), _until_comma(tokens[place + 1 :][:NEAR])
    if before and before[0] in words.boosters:
        value *= STRONGER
    if words.negations.intersection(before) or words.negations.intersection(after[:2]):
        value *= TURNED_TO_BAD if value > 0 else TURNED_TO_GOOD
    return value


def _folded(text: str) -> str:
    return text.casefold().replace("’", "'")


def _until_comma(tokens: Sequence[str]) -> Sequence[str]:
    for place, token in enumerate(tokens):
        if token in (",", ":"):
            return tokens[:place]
    return tokens
