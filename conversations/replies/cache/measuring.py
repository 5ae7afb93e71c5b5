"""How often questions in other words would be answered alike, and how often wrongly: on questions whose meaning is
labelled. No database; the labels of such files are people's and not always right themselves."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from conversations.replies.cache.near import outline
from conversations.replies.cache.questions import is_code, normalised
from faqs.embedding import EMBEDDED, embedder
from faqs.evaluation_files import Row

if TYPE_CHECKING:
    import numpy as np

BLOCK = 500  # rows whose cosines with all others are held at once


@dataclass(frozen=True, slots=True)
class Measured:
    """From one cosine on: pairs of questions that count as the same, how many questions are in one, and the pairs whose
    labels differ; ``cosine_alone`` are pairs and wrong pairs if nothing but the cosine decided."""

    least: float
    pairs: int
    questions: int
    wrong: list[tuple[str, str]]
    cosine_alone: tuple[int, int]


def measure(rows: Sequence[Row], language: str, thresholds: Iterable[float]) -> list[Measured]:
    """What each of ``thresholds`` does to ``rows``, of which those that are the same once normalised count once."""
    asked = {normalised(row.text): row.label for row in rows}
    texts, labels = list(asked), list(asked.values())
    vectors = embedder(EMBEDDED).embed(texts)
    guarded = [(a, b, float(vectors[a] @ vectors[b])) for a, b in _alike(texts, language)]
    found = []
    for least in sorted(thresholds):
        pairs = [(a, b) for a, b, cosine in guarded if cosine >= least]
        wrong = [(texts[a], texts[b]) for a, b in pairs if labels[a] != labels[b]]
        alone = _cosine_alone(vectors, labels, least)
        found.append(Measured(least, len(pairs), len({each for pair in pairs for each in pair}), wrong, alone))
    return found


def _alike(texts: Sequence[str], language: str) -> Iterator[tuple[int, int]]:
    """Pairs of places in ``texts`` that have the same outline."""
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        if not is_code(text) and (told := outline(text, language)):
            groups.setdefault(told, []).append(place)
    for group in groups.values():
        yield from combinations(group, 2)


def _cosine_alone(vectors: "np.ndarray", labels: Sequence[str], least: float) -> tuple[int, int]:
    import numpy as np

    kinds = np.unique(np.asarray(labels), return_inverse=True)[1]
    pairs = wrong = 0
    for start in range(0, len(vectors), BLOCK):
        rows, others = np.nonzero(vectors[start : start + BLOCK] @ vectors.T >= least)
        later = rows + start < others
        rows, others = rows[later] + start, others[later]
        pairs += len(rows)
        wrong += int((kinds[rows] != kinds[others]).sum())
    return pairs, wrong
