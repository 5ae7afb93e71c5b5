"""What demo people ask and are answered: a public library's matters, in four languages (texts.json)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Of which share of people, in the order of the shares.
LANGUAGES: Mapping[str, float] = {"en": 0.46, "de": 0.34, "fr": 0.12, "nl": 0.08}
#: Those in which there are approved answers.
ANSWERED = ("en", "de")


@dataclass(frozen=True, slots=True)
class Topic:
    """One matter: ``number`` is its place in the file. ``weight`` is how often it is asked; 0 is never."""

    number: int
    category: str
    weight: float
    state: str
    age_days: int
    asked: Mapping[str, Sequence[str]]
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A matter without an approved answer, and what editors have done about it (``Gap.Status``)."""

    number: int
    weight: float
    asked: Mapping[str, Sequence[str]]
    status: str


@dataclass(frozen=True, slots=True)
class Phrases:
    """What is said around the matter, in one language."""

    openers: Sequence[str]
    follow_ups: Sequence[str]
    replies: Sequence[str]
    unknown: str
    helpful: Sequence[str]
    not_helpful: Sequence[str]
    glad: Sequence[str]
    annoyed: Sequence[str]


@dataclass(frozen=True, slots=True)
class Texts:
    topics: Sequence[Topic]
    unanswered: Sequence[Unanswered]
    study: Mapping[str, Sequence[str]]
    phrases: Mapping[str, Phrases]


@cache
def texts() -> Texts:
    """All of them."""
    read = json.loads(Path(__file__).with_name("texts.json").read_text(encoding="utf-8"))
    return Texts(
        topics=[_topic(number, each) for number, each in enumerate(read["topics"])],
        unanswered=[Unanswered(number, **each) for number, each in enumerate(read["unanswered"])],
        study=read["study"],
        phrases={language: Phrases(**each) for language, each in read["phrases"].items()},
    )


def _topic(number: int, read: Mapping[str, object]) -> Topic:
    values = dict(read)
    asked = {language: [question] for language, question in values.pop("asked").items()}  # type: ignore[attr-defined]
    answers = {}
    for language in ANSWERED:
        said: dict[str, object] = values.pop(language)  # type: ignore[assignment]
        asked[language] = [said["question"], *said.get("phrasings", ())]  # type: ignore[misc]
        answers[language] = said["answer"]
    return Topic(number=number, asked=asked, answers=answers, **values)  # type: ignore[arg-type]
