"""From what was found for questions to probabilities: which label, whether any, how sure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faqs.matcher.features import FloatArray

Numbers = npt.NDArray[np.float64]

SIGNALS = 12
TERMS = SIGNALS + SIGNALS * (SIGNALS + 1) // 2
MIN_SHARPNESS, MAX_SHARPNESS = 1.0, 100.0
# A signal further from its mean than so many standard deviations says no more than one at that distance.
FARTHEST = 4.0
_LEFT, _RIGHT = np.triu_indices(SIGNALS)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found for each of several questions, for each label: arrays (questions, labels).

    `scores` are what labels are ranked by; `dense` and `grams` the nearest phrasing's likeness; `evidence` the sum over
    the question's words of their log-likelihood ratios for the label, and `support` its positive part;
    `distances` those from the middles of the labels. `lengths` are the numbers of known words, one per question.
    """

    scores: FloatArray
    dense: FloatArray
    grams: FloatArray
    evidence: FloatArray
    support: FloatArray
    lengths: FloatArray
    distances: FloatArray


def softmax(scores: FloatArray, sharpness: float) -> FloatArray:
    """Probabilities over the last axis, proportional to exp(sharpness * score); they sum to 1."""
    exponents = sharpness * (scores - scores.max(axis=-1, keepdims=True))
    weights = np.exp(exponents)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)


def signals_of(found: Findings, sharpness: float) -> Numbers:
    """What tells a question inside the FAQ from one outside: (questions, SIGNALS).

    Best score, its margin over the second, third score, best dense likeness; of the best label the dense and n-gram
    likeness, its probability as log-odds, its evidence and support; the logarithm of the length; the
    smallest distance, and how much nearer it is than the second.
    """
    scores = found.scores
    rows, best = np.arange(len(scores)), scores.argmax(axis=1)
    three = np.zeros((len(scores), 3), dtype=np.float32)
    top = -np.sort(-scores, axis=1)[:, :3] if scores.shape[1] < 8 else _largest_three(scores)
    three[:, : top.shape[1]] = top
    nearest = np.partition(found.distances, 1, axis=1)[:, :2] if scores.shape[1] > 1 else found.distances[:, [0, 0]]
    probability = np.clip(softmax(scores, sharpness)[rows, best].astype(np.float64), 1e-6, 1 - 1e-6)
    columns = [
        three[:, 0],
        three[:, 0] - three[:, 1],
        three[:, 2],
        found.dense.max(axis=1),
        found.dense[rows, best],
        found.grams[rows, best],
        np.log(probability / (1 - probability)),
        found.evidence[rows, best],
        found.support[rows, best],
        np.log1p(found.lengths),
        nearest[:, 0],
        nearest[:, 1] - nearest[:, 0],
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _largest_three(scores: FloatArray) -> FloatArray:
    return -np.sort(np.partition(-scores, 2, axis=1)[:, :3], axis=1)


@dataclass(frozen=True, slots=True)
class Logistic:
    """P(event) = 1 / (1 + exp(-(intercept + weights . terms))); the terms are the standardised signals (by `mean` and
    `scale`) and their products of two."""

    mean: Numbers
    scale: Numbers
    weights: Numbers
    intercept: float

    def terms(self, signals: Numbers) -> Numbers:
        """(questions, TERMS) of (questions, SIGNALS)."""
        standard = np.clip((signals - self.mean) / self.scale, -FARTHEST, FARTHEST)
        return np.concatenate([standard, standard[:, _LEFT] * standard[:, _RIGHT]], axis=1)

    def probability(self, signals: Numbers) -> Numbers:
        """One probability per row of `signals`."""
        odds = np.clip(self.terms(signals) @ self.weights + self.intercept, -30, 30)
        return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one matcher turns scores into probabilities."""

    sharpness: float
    outside: Logistic
    correct: Logistic
