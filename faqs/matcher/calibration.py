"""From the scores of one question to probabilities: which label, whether any, how sure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faqs.matcher.features import FloatArray

SIGNALS = 6
MIN_SHARPNESS, MAX_SHARPNESS = 1.0, 100.0


def softmax(scores: FloatArray, sharpness: float) -> FloatArray:
    """Probabilities over the last axis, proportional to exp(sharpness * score); they sum to 1."""
    exponents = sharpness * (scores - scores.max(axis=-1, keepdims=True))
    weights = np.exp(exponents)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)


def signals_of(scores: FloatArray, dense: FloatArray, grams: FloatArray, sharpness: float) -> npt.NDArray[np.float64]:
    """What tells a question inside the FAQ from one outside, per row of the three (questions, labels) arrays.

    `scores` are the model's, `dense` and `grams` the nearest phrasing's similarity per label. Returns (questions,
    SIGNALS): best score, its margin, best dense similarity, dense similarity and n-gram similarity of the best label,
    and the in-scope probability of the best label as log-odds.
    """
    rows = np.arange(len(scores))
    best = scores.argmax(axis=1)
    first = scores[rows, best]
    others = scores.copy()
    others[rows, best] = -np.inf
    second = others.max(axis=1) if scores.shape[1] > 1 else np.zeros(len(scores), dtype=np.float32)
    second = np.where(np.isfinite(second), second, 0.0)
    top = np.clip(softmax(scores, sharpness)[rows, best].astype(np.float64), 1e-6, 1 - 1e-6)
    odds = np.log(top / (1 - top))
    columns = [first, first - second, dense.max(axis=1), dense[rows, best], grams[rows, best], odds]
    return np.stack(columns, axis=1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Logistic:
    """P(event) = 1 / (1 + exp(-(intercept + weights . signals)))."""

    weights: npt.NDArray[np.float64]
    intercept: float

    def probability(self, signals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """One probability per row of `signals`."""
        odds = np.clip(signals @ self.weights + self.intercept, -30, 30)
        return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one matcher turns scores into probabilities."""

    sharpness: float
    outside: Logistic
    correct: Logistic
