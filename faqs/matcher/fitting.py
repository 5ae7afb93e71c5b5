"""Fitting the probabilities of a matcher to what models said of phrasings that they had not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faqs.matcher.calibration import (
    MAX_SHARPNESS,
    MIN_SHARPNESS,
    SIGNALS,
    TERMS,
    Calibration,
    Findings,
    Logistic,
    Numbers,
    signals_of,
)

# Of the questions asked, so many are taken to be outside the FAQ: the weight of held-out labels, for the probability
# of being outside (cautious: saying that one does not know is the lesser harm) and for the confidence.
OUTSIDE_SHARE = 0.15
CONFIDENCE_OUTSIDE_SHARE = 0.05
# Fewer questions of either kind than this tell nothing: the defaults are kept.
LEAST_QUESTIONS = 20
# The priors of the logistic weights, in questions: a weight of one standard deviation costs as much as this. Products
# of signals have to prove themselves more than signals.
PRIOR = np.concatenate([np.full(SIGNALS, 2.0), np.full(TERMS - SIGNALS, 20.0), [1e-6]])
STEPS = 30


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Questions put to a model that had not seen them: what it found, and the position of each right label, or -1
    where the model knows nothing of it."""

    found: Findings
    truths: npt.NDArray[np.int64]


def default_calibration() -> Calibration:
    """For an FAQ too small to learn from: by the nearest phrasing alone, with even odds of being outside where its
    cosine is about 0.5, which for embeddings of sentences lies between paraphrases and other topics."""
    outside, correct = np.zeros(TERMS), np.zeros(TERMS)
    outside[[3, 5]] = -10.0, -2.0
    correct[[1, 3, 5, 6]] = 1.0, 8.0, 2.0, 0.5
    still, plain = np.zeros(SIGNALS), np.ones(SIGNALS)
    return Calibration(8.0, Logistic(still, plain, outside, 5.5), Logistic(still, plain, correct, -5.0))


def fit_calibration(folds: Sequence[HeldOut]) -> Calibration:
    """The calibration under which what the folds say is most likely; the default where they hold too little."""
    inside = sum(int((fold.truths >= 0).sum()) for fold in folds)
    outside = sum(int((fold.truths < 0).sum()) for fold in folds)
    if min(inside, outside) < LEAST_QUESTIONS:
        return default_calibration()
    sharpness = _fit_sharpness(folds)
    signals = np.concatenate([signals_of(fold.found, sharpness) for fold in folds])
    truths = np.concatenate([fold.truths for fold in folds])
    best = np.concatenate([fold.found.scores.argmax(axis=1) for fold in folds])

    def weights(share: float) -> Numbers:
        return np.where(truths < 0, share / outside, (1 - share) / inside) * len(truths)

    return Calibration(
        sharpness,
        fit_logistic(signals, truths < 0, weights(OUTSIDE_SHARE)),
        fit_logistic(signals, best == truths, weights(CONFIDENCE_OUTSIDE_SHARE)),
    )


def fit_logistic(signals: Numbers, events: npt.NDArray[np.bool_], weights: Numbers) -> Logistic:
    """Weighted logistic regression by Newton's method, with the prior above."""
    mean, scale = signals.mean(axis=0), signals.std(axis=0)
    blank = Logistic(mean, np.where(scale > 1e-9, scale, 1.0), np.zeros(TERMS), 0.0)
    design = np.column_stack([blank.terms(signals), np.ones(len(signals))])
    found = np.zeros(TERMS + 1)
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        gradient = design.T @ (weights * (expected - events)) + PRIOR * found
        curvature = (design * (weights * expected * (1 - expected))[:, None]).T @ design + np.diag(PRIOR)
        step = np.linalg.solve(curvature, gradient)
        largest = float(np.abs(step).max())
        found -= step * min(1.0, 5 / max(largest, 1e-12))
        if largest < 1e-6:
            break
    return Logistic(blank.mean, blank.scale, found[:-1], float(found[-1]))


def _fit_sharpness(folds: Sequence[HeldOut]) -> float:
    """The sharpness under which the right labels of the questions inside are most probable, by golden section."""
    asked = [(fold.found.scores[fold.truths >= 0], fold.truths[fold.truths >= 0]) for fold in folds]

    def loss(log_sharpness: float) -> float:
        total = 0.0
        for scores, truths in asked:
            logits = np.exp(log_sharpness) * scores.astype(np.float64)
            highest = logits.max(axis=1)
            normalisers = np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest
            total += float((normalisers - logits[np.arange(len(truths)), truths]).sum())
        return total

    low, high = np.log(MIN_SHARPNESS), np.log(MAX_SHARPNESS)
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(20):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
