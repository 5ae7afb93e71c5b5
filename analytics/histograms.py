"""Histograms of times that can be added up, as rollups keep them: how many were in each of a row of bounds.

A bound is 4 % above the one before, and a value stands for the geometric middle of its bounds: at most 2 % off.
Source: DDSketch (Masson, Rim, Lee 2019), with a relative accuracy of 0.02.
"""

import math
from collections import Counter
from collections.abc import Mapping

GROWTH = 1.04
SHORTEST = 0.001  # seconds; below, all is one
#: SQL: the bucket of ``{value}`` seconds.
BUCKET_SQL = f"floor(ln(greatest({{value}}, {SHORTEST})) / ln({GROWTH}::float8))::int"

Histogram = Mapping[int, int]
"""How many values are in each bucket."""


def bucket_of(seconds: float) -> int:
    return math.floor(math.log(max(seconds, SHORTEST)) / math.log(GROWTH))


def value_of(bucket: int) -> float:
    """The seconds that a bucket stands for."""
    return float(GROWTH ** (bucket + 0.5))


def add(*histograms: Histogram) -> Histogram:
    whole: Counter[int] = Counter()
    for histogram in histograms:
        whole.update(histogram)
    return whole


def percentile(histogram: Histogram, share: float) -> float | None:
    """The value that ``share`` of all are not above (nearest rank); None where there are none."""
    rank = math.ceil(share * sum(histogram.values()))
    passed = 0
    for bucket in sorted(histogram):
        passed += histogram[bucket]
        if passed >= max(rank, 1):
            return value_of(bucket)
    return None
