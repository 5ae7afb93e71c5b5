"""How alike two phrasings are, from the likeness of their vectors and of their n-grams."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from faqs.matcher.features import FloatArray


@dataclass(frozen=True, slots=True)
class Kernel:
    """dense_weight * exp(dense_decay * (d - 1)) + joint_weight * exp(d + g - 2) + linear_weight * g

    with d the cosine of the vectors and g the mean cosine of word and character n-grams. Each term is positive
    definite, so is their sum.
    """

    dense_weight: float
    dense_decay: float
    joint_weight: float
    linear_weight: float

    def of(self, dense: FloatArray, grams: FloatArray) -> FloatArray:
        """The kernel's values, of the arrays' shape."""
        values = self.dense_weight * np.exp(self.dense_decay * (dense - 1))
        values += self.joint_weight * np.exp(dense + grams - 2)
        values += self.linear_weight * grams
        return np.asarray(values, dtype=np.float32)

    def as_dict(self) -> dict[str, float]:
        """Its parameters by name."""
        return asdict(self)


def unit(vectors: npt.NDArray[Any]) -> FloatArray:
    """`vectors` (one, or one per row) in float32 and scaled to length 1; a zero vector stays zero."""
    values = np.asarray(vectors, dtype=np.float64)
    largest = np.abs(values).max(axis=-1, keepdims=True, initial=0.0)
    values = values / np.where(largest > 0, largest, 1)  # so that no square overflows or vanishes
    length = np.sqrt((values * values).sum(axis=-1, keepdims=True))
    return np.asarray(values / np.where(length > 0, length, 1), dtype=np.float32)
