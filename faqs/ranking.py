"""From phrasings that are near to FAQs in their order: rank fusion and what it is worth. No database in here."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from faqs.languages import is_language

RANK_CONSTANT = 60  # reciprocal rank fusion's k (Cormack, Clarke and Büttcher, SIGIR 2009)
DENSE_WEIGHT = 1.0
WORDS_WEIGHT = 0.3
# An FAQ in another language than the question's counts for less: of two that fit alike, the reader's own comes first.
OTHER_LANGUAGE = 0.8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A phrasing that the first stage found. ``dense`` is its cosine, ``words`` the share (0..1) of the question's
    words, weighted by their rarity, that it holds; None where that stage did not find it."""

    faq: UUID
    phrasing: UUID
    group: UUID
    language: str
    dense: float | None
    words: float | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """An FAQ by its best phrasing. ``score`` is fused, 0..1."""

    faq: UUID
    phrasing: UUID | None
    group: UUID | None
    language: str
    dense: float | None
    words: float | None
    score: float


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a matcher says: FAQs with the probability that each is meant, most likely first, how likely it is that
    none of them is, and how likely the first one answers."""

    faqs: list[tuple[UUID, float]]
    outside: float
    confidence: float


def rank_candidates(candidates: Iterable[Candidate], *, language: str) -> list[Ranked]:
    """One entry for each FAQ, best first; of translations of one FAQ only the one in the reader's ``language``, else
    the best.

    Each stage ranks the FAQs by their best phrasing; the ranks are fused. Equal scores stand in the order of the FAQs'
    ids, so that the same question always finds the same list.
    """
    by_faq: dict[UUID, list[Candidate]] = {}
    for candidate in candidates:
        by_faq.setdefault(candidate.faq, []).append(candidate)
    dense = _ranks({faq: _best(c.dense for c in found) for faq, found in by_faq.items()})
    words = _ranks({faq: _best(c.words for c in found) for faq, found in by_faq.items()})
    ranked = [_ranked(faq, found, dense.get(faq), words.get(faq), language) for faq, found in by_faq.items()]
    ranked.sort(key=lambda one: (-one.score, one.faq))
    return one_of_each_group(ranked, language=language)


def one_of_each_group(ranked: Sequence[Ranked], *, language: str) -> list[Ranked]:
    """``ranked`` with one member of each translation group, at the place of its best: the one in ``language`` where it
    is there."""
    kept: dict[UUID | None, Ranked] = {}
    for one in ranked:
        best = kept.get(one.group)
        if best is None or (is_language(one.language, language) and not is_language(best.language, language)):
            kept[one.group] = one
    return list(kept.values())


def _ranked(faq: UUID, found: list[Candidate], dense_rank: int | None, words_rank: int | None, language: str) -> Ranked:
    score = fused(dense_rank, words_rank)
    first = found[0]
    if not is_language(first.language, language):
        score *= OTHER_LANGUAGE
    shown = min(found, key=lambda c: (-(c.dense or -1.0), -(c.words or 0.0), c.phrasing))
    dense, words = _best(c.dense for c in found), _best(c.words for c in found)
    return Ranked(faq, shown.phrasing, first.group, first.language, dense, words, score)


def fused(dense_rank: int | None, words_rank: int | None) -> float:
    """Reciprocal ranks, weighted, as a share of what the first place in both stages would give."""
    total = 0.0
    if dense_rank is not None:
        total += DENSE_WEIGHT / (RANK_CONSTANT + dense_rank)
    if words_rank is not None:
        total += WORDS_WEIGHT / (RANK_CONSTANT + words_rank)
    return total * (RANK_CONSTANT + 1) / (DENSE_WEIGHT + WORDS_WEIGHT)


def _ranks(values: dict[UUID, float | None]) -> dict[UUID, int]:
    """Places from 1 on, best value first, ties by id; nothing for what has no value."""
    known = sorted((-round(value, 6), faq) for faq, value in values.items() if value is not None)
    return {faq: place for place, (_, faq) in enumerate(known, start=1)}


def _best(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def by_opinion(ranked: Sequence[Ranked], opinion: Opinion, *, limit: int) -> tuple[list[Ranked], list[float], float]:
    """The first ``limit`` FAQs as the matcher orders them, with what the first stage knows of each, the probability
    that each answers, and that none does."""
    known = {one.faq: one for one in ranked}
    ordered: list[Ranked] = []
    certain: list[float] = []
    for place, (faq, probability) in enumerate(opinion.faqs[:limit]):
        ordered.append(known.get(faq) or Ranked(faq, None, None, "", None, None, 0.0))
        certain.append(opinion.confidence if place == 0 else probability * (1 - opinion.outside))
    return ordered, certain, opinion.outside


# --- What a ranking is worth while no matcher has learned it


def estimate(ranked: Sequence[Ranked]) -> tuple[list[float], float]:
    """The probability that each of ``ranked`` answers, and that none of the FAQs does, from cosine and margin alone."""
    if not ranked:
        return [], 1.0
    return [_logistic(12 * ((one.dense or 0.0) - 0.6)) for one in ranked], 1 - _logistic(
        12 * ((ranked[0].dense or 0.0) - 0.5)
    )


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))
