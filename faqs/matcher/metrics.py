"""Figures by which a ranking of FAQs is judged. Pure functions over what was ranked and what was right."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def top_k(rankings: Sequence[Sequence[str]], truths: Sequence[str], *, k: int) -> float:
    """The share of questions whose right label stands among the first `k`; 0.0 without questions."""
    hits = [truth in ranking[:k] for ranking, truth in zip(rankings, truths, strict=True)]
    return _share(hits)


def mean_reciprocal_rank(rankings: Sequence[Sequence[str]], truths: Sequence[str]) -> float:
    """The mean of 1 / rank of the right label, 0 where it was not ranked; 0.0 without questions."""
    total = 0.0
    for ranking, truth in zip(rankings, truths, strict=True):
        if truth in ranking:
            total += 1 / (list(ranking).index(truth) + 1)
    return total / len(truths) if len(truths) else 0.0


def fallback_rate(outside: Sequence[float], *, floor: float) -> float:
    """The share of in-scope questions whose probability of being outside is above `floor`: they get no answer."""
    return _share([probability > floor for probability in outside])


def out_of_scope_recall(outside: Sequence[float], *, floor: float) -> float:
    """The share of out-of-scope questions whose probability of being outside is above `floor`."""
    return _share([probability > floor for probability in outside])


def expected_calibration_error(confidences: Sequence[float], correct: Sequence[bool], *, bins: int = 15) -> float:
    """The mean distance of stated confidence and share of right answers over `bins` bins of equal width, weighted by
    their sizes (Guo et al. 2017, "On Calibration of Modern Neural Networks"); 0.0 without answers."""
    stated = np.asarray(confidences, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if stated.shape != right.shape:
        raise ValueError("Each confidence needs its outcome.")
    if not stated.size:
        return 0.0
    places = np.minimum((stated * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(places, weights=stated - right, minlength=bins)
    return float(np.abs(gaps).sum() / stated.size)


def direct_answers(confidences: Sequence[float], correct: Sequence[bool], *, least: float) -> tuple[float, float]:
    """(coverage, precision) of answering directly whatever has a confidence of at least `least`.

    Precision is 1.0 where nothing is answered.
    """
    chosen: npt.NDArray[np.bool_] = np.asarray(confidences, dtype=np.float64) >= least
    right = np.asarray(correct, dtype=np.bool_)[chosen]
    return _share(list(chosen)), float(right.mean()) if right.size else 1.0


def _share(outcomes: Sequence[bool]) -> float:
    return sum(map(bool, outcomes)) / len(outcomes) if outcomes else 0.0
