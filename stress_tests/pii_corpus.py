"""How well personal data is found: ``python -m stress_tests.pii_corpus``.

Makes sentences in twelve locales with Faker (values as people write them, and numbers that only look alike), has
``chatbot_project.lib.pii`` find what it can, and prints recall and precision by kind and by locale and what a message
costs. A value counts as found when all of it is taken out; a find counts as right when it is of a value's kind and
takes at most three characters more than it. Exit status 1 below ``--recall`` or ``--precision``.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from faker import Faker

from chatbot_project.lib.pii import Kind, Span, find
from stress_tests.pii_sentences import SENTENCES, Sentences
from stress_tests.pii_values import NEGATIVES, VALUES, secret

WITHOUT_WORDS = 0.2  # of the values stand in a sentence that does not say what they are
TOLERATED = 3  # characters that a find may take beyond its value


class Sample(NamedTuple):
    locale: str
    text: str
    expected: list[Span]


class Tally(NamedTuple):
    """``taken`` of the ``values`` were wholly taken out; ``right`` of the ``finds`` were such values."""

    values: int
    taken: int
    finds: int
    right: int

    @property
    def recall(self) -> float:
        return self.taken / self.values if self.values else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.finds if self.finds else 1.0


def samples(count: int, seed: int) -> Iterator[Sample]:
    """``count`` messages, the locales in turn: half of them with personal data, a fifth of those with two values."""
    rng = random.Random(seed)
    fakes = {}
    for locale in SENTENCES:
        fakes[locale] = Faker(locale)
        fakes[locale].seed_instance(seed)
    locales = list(SENTENCES)
    for number in range(count):
        locale = locales[number % len(locales)]
        fake, sentences = fakes[locale], SENTENCES[locale]
        parts = [
            _personal(fake, rng, locale, sentences) if rng.random() < 0.5 else _other(fake, rng, locale, sentences)
        ]
        if rng.random() < 0.2:
            parts.append(_personal(fake, rng, locale, sentences))
        if rng.random() < 0.5:
            parts.insert(rng.randrange(len(parts) + 1), (fake.sentence(nb_words=rng.randrange(4, 20)), []))
        yield _joined(locale, parts, rng.choice([" ", " ", "\n"]))


_Part = tuple[str, list[Span]]


def _personal(fake: Faker, rng: random.Random, locale: str, sentences: Sentences) -> _Part:
    kind = rng.choice(list(Kind))
    if kind is Kind.KEY and rng.random() < 0.4:
        return _placed(rng.choice(sentences.secret), secret(fake, rng, locale), kind)
    named = {
        Kind.EMAIL: sentences.email, Kind.PHONE: sentences.phone, Kind.CARD: sentences.card, Kind.IBAN: sentences.iban,
        Kind.ID: sentences.id, Kind.IP: sentences.ip, Kind.KEY: sentences.carriers,
    }[kind]  # fmt: skip
    template = rng.choice(sentences.carriers if rng.random() < WITHOUT_WORDS else named)
    return _placed(template, VALUES[kind](fake, rng, locale), kind)


def _other(fake: Faker, rng: random.Random, locale: str, sentences: Sentences) -> _Part:
    family = rng.choice(list(NEGATIVES))
    templates: list[str] = getattr(sentences, family)
    return rng.choice(templates).format(NEGATIVES[family](fake, rng, locale)), []


def _placed(template: str, value: str, kind: Kind) -> _Part:
    start = template.index("{}")
    return template.replace("{}", value), [Span(start, start + len(value), kind)]


def _joined(locale: str, parts: list[_Part], gap: str) -> Sample:
    text, expected = "", list[Span]()
    for part, spans in parts:
        if text:
            text += gap
        expected += [Span(start + len(text), end + len(text), kind) for start, end, kind in spans]
        text += part
    return Sample(locale, text, expected)


class Measured(NamedTuple):
    """The tallies by kind and by locale, of everything, milliseconds a message, and what went wrong: ``missed`` or
    ``wrong``, the kind, the value and its message."""

    kinds: dict[str, Tally]
    locales: dict[str, Tally]
    overall: Tally
    milliseconds: float
    faults: list[tuple[str, str, str, str]]


def measure(count: int, seed: int) -> Measured:
    """Find personal data in ``count`` samples."""
    corpus = list(samples(count, seed))
    find("+49 171 1234567, 44051401359")  # loads what is loaded once
    began = time.process_time()
    found = [find(sample.text) for sample in corpus]
    milliseconds = (time.process_time() - began) * 1000 / count
    counts: dict[tuple[str, str], Counter[str]] = {}
    faults = list[tuple[str, str, str, str]]()
    for sample, spans in zip(corpus, found, strict=True):
        for value in sample.expected:
            taken = all(any(s.start <= i < s.end for s in spans) for i in range(value.start, value.end))
            _count(counts, sample.locale, value.kind, "values", "taken" if taken else "")
            if not taken:
                faults.append(("missed", value.kind, sample.text[value.start : value.end], sample.text))
        for span in spans:
            right = any(_is_right(span, value) for value in sample.expected)
            _count(counts, sample.locale, span.kind, "finds", "right" if right else "")
            if not right:
                faults.append(("wrong", span.kind, sample.text[span.start : span.end], sample.text))
    return Measured(
        {kind.value: _tally(counts, "kind", kind) for kind in Kind},
        {locale: _tally(counts, "locale", locale) for locale in SENTENCES},
        _tally(counts, "all", ""),
        milliseconds,
        faults,
    )


def _is_right(span: Span, value: Span) -> bool:
    overlap = min(span.end, value.end) - max(span.start, value.start)
    return span.kind is value.kind and overlap > 0 and (span.end - span.start) - overlap <= TOLERATED


def _count(counts: dict[tuple[str, str], Counter[str]], locale: str, kind: Kind, *names: str) -> None:
    for group in (("kind", kind), ("locale", locale), ("all", "")):
        counts.setdefault(group, Counter()).update(names)


def _tally(counts: dict[tuple[str, str], Counter[str]], group: str, name: str) -> Tally:
    counted = counts.get((group, name), Counter())
    return Tally(counted["values"], counted["taken"], counted["finds"], counted["right"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recall", type=float, default=0.99, help="the least that is enough")
    parser.add_argument("--precision", type=float, default=0.98, help="the least that is enough")
    parser.add_argument("--faults", type=int, default=0, help="so many of what was missed or taken wrongly are shown")
    options = parser.parse_args()
    measured = measure(options.messages, options.seed)
    print(
        f"{options.messages} messages, seed {options.seed}\n"
        f"{'':10}{'values':>8}{'recall':>10}{'finds':>8}{'precision':>11}"
    )
    for name, tally in [*measured.kinds.items(), *measured.locales.items(), ("overall", measured.overall)]:
        print(f"{name:10}{tally.values:8}{tally.recall:10.2%}{tally.finds:8}{tally.precision:11.2%}")
    print(f"{measured.milliseconds:.3f} ms a message")
    for fault in measured.faults[: options.faults]:
        print(*map(repr, fault))
    enough = measured.overall.recall >= options.recall and measured.overall.precision >= options.precision
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
