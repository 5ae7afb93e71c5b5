"""How far a vector lies from the middle of each label, measured in how far the label's own phrasings lie apart."""

from dataclasses import dataclass

import numpy as np

from faqs.matcher.features import FloatArray, IntArray

# The covariance is drawn so far to one equal in all directions.
SHRINKAGE = 0.1
# Vectors of more dimensions than this are not measured so: the covariance would outweigh the matcher. Nor are so few
# that their covariance would be that of chance.
MAX_DIMENSIONS = 512
ROWS_PER_DIMENSION = 8


@dataclass(frozen=True, slots=True)
class Spread:
    """`whitening` (d, d) makes the phrasings of a label equally spread in all directions; `centres` (labels, d) are the
    labels' means after it."""

    whitening: FloatArray
    centres: FloatArray

    def distances(self, vectors: FloatArray) -> FloatArray:
        """The squared Mahalanobis distance of each of `vectors` from each label, per dimension: (vectors, labels)."""
        white = vectors @ self.whitening
        squares = (white * white).sum(axis=1)[:, None] + (self.centres * self.centres).sum(axis=1)
        return np.asarray((squares - 2 * white @ self.centres.T) / vectors.shape[1], dtype=np.float32)


def is_worth_measuring(vectors: FloatArray) -> bool:
    """Whether there are enough `vectors` for their dimensions, and not too many dimensions, to learn a spread."""
    rows, dimensions = vectors.shape
    return bool(dimensions <= MAX_DIMENSIONS and rows >= ROWS_PER_DIMENSION * dimensions)


def learn_spread(vectors: FloatArray, owners: IntArray, labels: int) -> Spread | None:
    """The spread of `vectors` within their labels; None where the phrasings of each label are all alike.

    `owners` ascend and hold each label.
    """
    rows, dimensions = vectors.shape
    firsts = np.searchsorted(owners, np.arange(labels))
    means = np.add.reduceat(vectors, firsts, axis=0) / np.bincount(owners, minlength=labels)[:, None]
    within = (vectors - means[owners]).astype(np.float64)
    variance = float((within * within).sum()) / (rows * dimensions)
    if variance < 1e-8:
        return None
    covariance = (1 - SHRINKAGE) * within.T @ within / rows + SHRINKAGE * variance * np.eye(dimensions)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
    return Spread(whitening, np.asarray(means @ whitening, dtype=np.float32))
