"""What can be found in a text, and what a detector is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What was found; its placeholder is the value in brackets."""

    EMAIL = "E-MAIL"
    PHONE = "PHONE"
    CARD = "CARD"
    IBAN = "IBAN"
    ID = "ID"
    IP = "IP"
    KEY = "KEY"

    @property
    def placeholder(self) -> str:
        return f"[{self.value}]"


class Span(NamedTuple):
    """``text[start:end]`` is of this kind."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Detector:
    """``spans(text)`` gives the start and end of everything of one kind, in any order, overlapping or not."""

    kind: Kind
    spans: Callable[[str], Iterable[tuple[int, int]]]
