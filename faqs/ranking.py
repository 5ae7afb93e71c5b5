"""From phrasings that are near to FAQs in their order, and what that order is worth. No database in here.

The constants were chosen on questions held out from the training part of BANKING77, with all, ten, three and one
phrasings for each FAQ, and with FAQs hidden to make questions that nothing answers. Top-1 there: 90.8 / 76.4 / 59.8 /
46.3 %, against 89.2 / 74.1 / 58.5 / 45.8 % by reciprocal rank fusion with its best weight.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from faqs.languages import is_language

# A phrasing's strength is its cosine and this much for holding all the question's words.
WORDS_WEIGHT = 0.2
# An FAQ's strength is the smooth maximum over its phrasings: several that are near say more than one.
SHARPNESS = 15.0
# The cosine that a phrasing without a vector is taken to have where it holds all the words.
WORDS_ALONE = 0.7
# An FAQ in another language than the question's stands behind one of its own that fits about as well.
OTHER_LANGUAGE = 0.05


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
    """An FAQ by its best phrasing. ``score`` is fused, 0..1. What the first stage did not look at is None."""

    faq: UUID
    phrasing: UUID | None
    group: UUID | None
    language: str
    dense: float | None
    words: float | None
    score: float | None


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

    Equal strengths stand in the order of the FAQs' ids, so that the same question always finds the same list.
    """
    by_faq: dict[UUID, list[Candidate]] = {}
    for candidate in candidates:
        by_faq.setdefault(candidate.faq, []).append(candidate)
    ranked = [(_strength(found, language), faq, found) for faq, found in by_faq.items()]
    ranked.sort(key=lambda one: (-round(one[0], 6), one[1]))
    return one_of_each_group([_ranked(found, strength) for strength, _, found in ranked], language=language)


def one_of_each_group(ranked: Sequence[Ranked], *, language: str) -> list[Ranked]:
    """``ranked`` with one member of each translation group, at the place of its best: the one in ``language`` where it
    is there."""
    kept: dict[UUID | None, Ranked] = {}
    for one in ranked:
        best = kept.get(one.group)
        if best is None or (is_language(one.language, language) and not is_language(best.language, language)):
            kept[one.group] = one
    return list(kept.values())


def strength(dense: float | None, words: float | None) -> float:
    """How well one phrasing fits: up to 1 for the vector and WORDS_WEIGHT for the words."""
    share = words or 0.0
    return (WORDS_ALONE * share if dense is None else dense) + WORDS_WEIGHT * share


def _strength(found: Sequence[Candidate], language: str) -> float:
    values = [strength(one.dense, one.words) for one in found]
    top = max(values)
    smooth = top + math.log(sum(math.exp(SHARPNESS * (value - top)) for value in values)) / SHARPNESS
    return smooth if is_language(found[0].language, language) else smooth - OTHER_LANGUAGE


def _ranked(found: Sequence[Candidate], value: float) -> Ranked:
    nearest = min(found, key=lambda one: (-round(strength(one.dense, one.words), 6), one.phrasing))
    return Ranked(
        faq=nearest.faq,
        phrasing=nearest.phrasing,
        group=nearest.group,
        language=nearest.language,
        dense=_best(one.dense for one in found),
        words=_best(one.words for one in found),
        score=as_score(value),
    )


def _best(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def as_score(value: float) -> float:
    """A strength as a share of the most that a single phrasing can have, 0..1."""
    return min(1.0, max(0.0, value / (1 + WORDS_WEIGHT)))


def by_opinion(opinion: Opinion, *, limit: int) -> tuple[list[Ranked], list[float]]:
    """The first ``limit`` FAQs as the matcher orders them, and the probability that each answers. Vectors and words
    played no part of their own."""
    ranked = [Ranked(faq, None, None, "", None, None, None) for faq, _ in opinion.faqs[:limit]]
    inside = 1 - opinion.outside
    rest = [min(1 - opinion.confidence, inside * probability) for _, probability in opinion.faqs[1:limit]]
    return ranked, [opinion.confidence, *rest]


# --- What a ranking is worth while no matcher serves

# Logistic regressions on cosine and margin over the same held-out questions. They know the embedded model's cosines:
# with another model they say less, which the matcher, fitted to each model's own, makes good.
_ANSWERS = (-4.9, 6.0, 13.0)  # constant, cosine, margin
_OUTSIDE = (3.05, -5.0, -10.0)


def estimate(ranked: Sequence[Ranked]) -> tuple[list[float], float]:
    """The probability that each of ``ranked`` answers, and that none does, from cosine and margin alone.

    The margin is what the first is ahead of the second, as a score; further ones get no more than the first leaves.
    An FAQ without a vector is judged by its words, as ``strength`` does.
    """
    if not ranked:
        return [], 1.0
    # A lone FAQ has no rival to be told from, which says nothing about the question.
    lead = (ranked[0].score or 0.0) - (ranked[1].score or 0.0) if len(ranked) > 1 else 0.0
    margin = min(0.2, lead * (1 + WORDS_WEIGHT))
    cosines = [WORDS_ALONE * (one.words or 0.0) if one.dense is None else one.dense for one in ranked]
    first = _logistic(_ANSWERS, cosines[0], margin)
    rest = [min(1 - first, _logistic(_ANSWERS, cosine, -margin)) for cosine in cosines[1:]]
    return [first, *rest], _logistic(_OUTSIDE, cosines[0], margin)


def _logistic(weights: tuple[float, float, float], cosine: float, margin: float) -> float:
    constant, by_cosine, by_margin = weights
    return 1 / (1 + math.exp(-(constant + by_cosine * cosine + by_margin * margin)))


# --- What two opinions are worth together

# A matcher of few phrasings has learned from too few questions that nothing answers. Up to the first number of
# phrasings the estimate above counts for half beside it, from the second on for nothing. On draws of 10 to 60 FAQs of
# BANKING77's training part with 3 to 15 phrasings each, questions of quite another kind were known to be outside in
# 66 to 91 % instead of 20 to 91 %, of other FAQs of the bank in 25 to 41 % instead of 4 to 37 %; of the questions
# inside 3 to 5 % instead of 1 to 4 % fell back.
FEW, ENOUGH = 1000, 3000


def estimate_weight(phrasings: int) -> float:
    """What the estimate counts beside a matcher that was learned from so many phrasings, 0.5 to 0."""
    return 0.5 * min(1.0, max(0.0, (ENOUGH - phrasings) / (ENOUGH - FEW)))


def between(probability: float, other: float, weight: float) -> float:
    """The two probabilities' weighted mean in log-odds; ``weight`` is the ``other``'s."""
    if not weight:
        return probability
    odds = (1 - weight) * _log_odds(probability) + weight * _log_odds(other)
    return 1 / (1 + math.exp(-odds))


def _log_odds(probability: float) -> float:
    clipped = min(1 - 1e-6, max(1e-6, probability))
    return math.log(clipped / (1 - clipped))
