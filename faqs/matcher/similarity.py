"""Likeness of many phrasings to each other, in blocks, so that no second array of that size is made."""

from typing import Any

import numpy as np

from faqs.matcher.features import FloatArray
from faqs.matcher.kernel import Kernel

BLOCK = 512


def gram_similarities(grams: Any) -> FloatArray:
    """The dot products of all rows of `grams`, a scipy CSR matrix, with each other: (rows, rows)."""
    rows = grams.shape[0]
    columns = grams.T.tocsr()
    similarities = np.empty((rows, rows), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        block = slice(start, start + BLOCK)
        similarities[block] = (grams[block] @ columns).toarray()
    return similarities


def apply_kernel(grams: FloatArray, left: FloatArray, right: FloatArray, kernel: Kernel) -> None:
    """Overwrites `grams`, the n-gram similarities of the rows of `left` and `right`, with the kernel's values."""
    for start in range(0, len(left), BLOCK):
        block = slice(start, start + BLOCK)
        grams[block] = kernel.of(left[block] @ right.T, grams[block])
