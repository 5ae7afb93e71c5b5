"""Fitting the probabilities of a matcher to what models said of phrasings that they had not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faqs.matcher.calibration import MAX_SHARPNESS, MIN_SHARPNESS, SIGNALS, Calibration, Logistic, signals_of
from faqs.matcher.features import FloatArray

Numbers = npt.NDArray[np.float64]

# Of the questions asked, so many are taken to be outside the FAQ: the weight of held-out labels in the calibration.
OUTSIDE_SHARE = 0.2
# Fewer questions of either kind than this tell nothing: the defaults are kept.
LEAST_QUESTIONS = 20
# The prior of the logistic weights, in questions: a weight of one standard deviation costs as much as this.
RIDGE = 1.0
STEPS = 50


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Questions put to a model that had not seen them, (questions, labels) each, and `truths`: the position of the
    right label, or -1 where the model knows nothing of it."""

    scores: FloatArray
    dense: FloatArray
    grams: FloatArray
    truths: npt.NDArray[np.int64]


def default_calibration() -> Calibration:
    """For an FAQ too small to learn from: by the nearest phrasing alone, with even odds of being outside where its
    cosine is about 0.5, which for embeddings of sentences lies between paraphrases and other topics."""
    outside = np.array([0, 0, -10, 0, -2, 0], dtype=np.float64)
    correct = np.array([0, 1, 6, 0, 2, 0.5], dtype=np.float64)
    return Calibration(8.0, Logistic(outside, 5.5), Logistic(correct, -4.0))


def fit_calibration(folds: Sequence[HeldOut]) -> Calibration:
    """The calibration under which what the folds say is most likely; the default where they hold too little."""
    inside = sum(int((fold.truths >= 0).sum()) for fold in folds)
    outside = sum(int((fold.truths < 0).sum()) for fold in folds)
    if min(inside, outside) < LEAST_QUESTIONS:
        return default_calibration()
    sharpness = _fit_sharpness(folds)
    signals = np.concatenate([signals_of(fold.scores, fold.dense, fold.grams, sharpness) for fold in folds])
    truths = np.concatenate([fold.truths for fold in folds])
    best = np.concatenate([fold.scores.argmax(axis=1) for fold in folds])
    is_outside = truths < 0
    weights = np.where(is_outside, OUTSIDE_SHARE / outside, (1 - OUTSIDE_SHARE) / inside) * len(truths)
    return Calibration(
        sharpness,
        fit_logistic(signals, is_outside, weights),
        fit_logistic(signals, best == truths, weights),
    )


def fit_logistic(signals: Numbers, events: npt.NDArray[np.bool_], weights: Numbers) -> Logistic:
    """Weighted logistic regression by Newton's method, with a prior of RIDGE on the standardised signals."""
    mean, scale = signals.mean(axis=0), signals.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    design = np.column_stack([(signals - mean) / scale, np.ones(len(signals))])
    prior = np.full(SIGNALS + 1, RIDGE)
    prior[-1] = 1e-6
    found = np.zeros(SIGNALS + 1)
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        gradient = design.T @ (weights * (expected - events)) + prior * found
        curvature = (design * (weights * expected * (1 - expected))[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(curvature, gradient)
        found -= step * min(1.0, 5 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < 1e-6:
            break
    slopes = found[:-1] / scale
    return Logistic(slopes, float(found[-1] - slopes @ mean))


def _fit_sharpness(folds: Sequence[HeldOut]) -> float:
    """The sharpness under which the right labels of the questions inside are most probable, by golden section."""

    def loss(log_sharpness: float) -> float:
        sharpness, total = np.exp(log_sharpness), 0.0
        for fold in folds:
            rows = np.flatnonzero(fold.truths >= 0)
            scores = sharpness * fold.scores[rows].astype(np.float64)
            highest = scores.max(axis=1)
            normalisers = np.log(np.exp(scores - highest[:, None]).sum(axis=1)) + highest
            total += float((normalisers - scores[np.arange(len(rows)), fold.truths[rows]]).sum())
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
