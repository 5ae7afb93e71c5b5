"""What single words say for each label: naive Bayes, the matcher's second opinion."""

import numpy as np
import numpy.typing as npt

from faqs.matcher.features import FloatArray, IntArray

# How much a unit of evidence (a factor of e in likelihood) adds to a score; found by cross-validation.
EVIDENCE_WEIGHT = 0.006
# A label's word frequencies are drawn to those of all labels, as if it had so many more, ordinary phrasings.
SMOOTHING = 2.0


def learn_evidence(counts: FloatArray, sizes: npt.NDArray[np.int64]) -> FloatArray:
    """ln(P(word | label) / P(word)), an array (words, labels).

    `counts` (words, labels) says how many phrasings of the label hold the word, `sizes` how many it has.
    """
    ordinary = (counts.sum(axis=1, keepdims=True) + 0.5) / (sizes.sum() + 1)
    within = (counts + SMOOTHING * ordinary) / (sizes + SMOOTHING)
    return np.asarray(np.log(within / ordinary), dtype=np.float32)


def weigh_evidence(table: FloatArray, words: IntArray) -> tuple[FloatArray, FloatArray]:
    """The sum of the rows `words` of `table`, and the sum of their positive parts: one value per label."""
    rows = table[words]
    return rows.sum(axis=0), np.maximum(rows, 0).sum(axis=0)
