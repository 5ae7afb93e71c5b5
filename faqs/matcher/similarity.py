"""Likeness of many phrasings to each other, in blocks, so that no second array of that size is made."""

from typing import Any

import numpy as np

from faqs.matcher.features import FloatArray
from faqs.matcher.kernel import Kernel

BLOCK = 512
# An n-gram in more than this share of the phrasings is multiplied as a dense column, which is faster.
DENSE_SHARE = 0.02


def gram_similarities(grams: Any) -> FloatArray:
    """The dot products of all rows of `grams`, a scipy CSR matrix, with each other: (rows, rows)."""
    rows = grams.shape[0]
    common = grams.getnnz(axis=0) > DENSE_SHARE * rows
    dense = np.ascontiguousarray(grams[:, common].toarray(), dtype=np.float32)
    sparse = grams[:, ~common].tocsr()
    similarities = np.empty((rows, rows), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        block, rest = slice(start, start + BLOCK), slice(start, rows)
        values = dense[block] @ dense[rest].T
        values += (sparse[block] @ sparse[rest].T).toarray()
        similarities[block, rest] = values
        similarities[rest, block] = values.T
    return similarities


def apply_kernel(grams: FloatArray, left: FloatArray, right: FloatArray, kernel: Kernel) -> None:
    """Overwrites `grams`, the n-gram similarities of the rows of `left` and `right`, with the kernel's values."""
    for start in range(0, len(left), BLOCK):
        block = slice(start, start + BLOCK)
        grams[block] = kernel.of(left[block] @ right.T, grams[block])
