"""First questions as a help desk gets them: few very often, many once, and the same one written in many ways."""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .faq_corpus import CIRCUMSTANCES, OPENINGS, MadeFAQ

#: How a question that is asked again is written: as it stands, with other capitals, spaces and marks, with other idle
#: words, or with personal data. Shares of 1, chosen; real logs differ.
WRITTEN = {"same": 0.60, "typed": 0.30, "worded": 0.07, "personal": 0.03}


@dataclass(frozen=True, slots=True)
class Ask:
    """``number`` says which question it is, ``written`` how (WRITTEN)."""

    number: int
    written: str
    text: str


def make_questions(faqs: Iterable[MadeFAQ], count: int, *, seed: int = 0) -> list[str]:
    """``count`` different questions on what ``faqs`` are about, in other words than theirs."""
    chance = random.Random(seed)
    known = {phrasing for faq in faqs for phrasing in faq.phrasings}
    matters = sorted({_matter(faq) for faq in faqs})
    ways = [f"{opening}{circumstance}?" for opening, circumstance in itertools.product(OPENINGS, CIRCUMSTANCES)]
    found = (way.format(*matter) for matter, way in _shuffled(matters, ways, chance))
    return list(itertools.islice((question for question in found if question not in known), count))


def _matter(faq: MadeFAQ) -> tuple[str, str]:
    """What is done with what, as its answer says: "To cancel your passport, ask …"."""
    action, _, thing = faq.answer.removeprefix("To ").partition(",")[0].partition(" your ")
    return action, thing


def _shuffled(
    matters: Sequence[tuple[str, str]], ways: Sequence[str], chance: random.Random
) -> Iterator[tuple[tuple[str, str], str]]:
    pairs = list(itertools.product(matters, ways))
    chance.shuffle(pairs)
    return iter(pairs)


def make_mix(questions: Sequence[str], asks: int, *, exponent: float = 1.0, seed: int = 0) -> list[Ask]:
    """``asks`` questions by Zipf's law: the one of rank r is asked in proportion to r ** -``exponent``."""
    chance = random.Random(seed)
    weights = [rank**-exponent for rank in range(1, len(questions) + 1)]
    numbers = chance.choices(range(len(questions)), weights, k=asks)
    kinds = chance.choices(list(WRITTEN), list(WRITTEN.values()), k=asks)
    return [Ask(n, kind, _written(questions[n], kind, chance)) for n, kind in zip(numbers, kinds, strict=True)]


def _written(text: str, kind: str, chance: random.Random) -> str:
    match kind:
        case "typed":
            return chance.choice(
                [text.lower(), text.rstrip("?"), f"  {text} ", text.replace(" ", "  ", 1), text.upper()]
            )
        case "worded":
            words = [word for word in text.split() if word not in ("a", "the")]
            return chance.choice([" ".join(words), text.replace(" a ", " the "), f"{text.rstrip('?')}, please?"])
        case "personal":
            return f"{text} My number is +49 30 9018{chance.randrange(100, 999)}."
    return text
