"""Which sums rollups keep ready, by the dimensions that their rows tell apart: the cuboids of a data cube.

What is read most, all of it and what one or two dimensions narrow or group, is summed up already; the rest is summed
from rows that tell everything apart. Source: Harinarayan, Rajaraman, Ullman, "Implementing Data Cubes Efficiently"
(1996).
"""

from collections.abc import Iterable
from itertools import combinations

DIMENSIONS = ("persona", "version", "model", "language", "channel")


def cuboid_of(dimensions: Iterable[str]) -> int:
    """The number of the cuboid that tells these apart: a bit each, the last dimension's is 1. A version tells its
    persona."""
    told = set(dimensions)
    if "version" in told:
        told.add("persona")
    return sum(1 << place for place, name in enumerate(reversed(DIMENSIONS)) if name in told)


#: SQL: the same of a row of a query that groups by GROUPING SETS of the dimensions.
CUBOID_SQL = f"(31 - grouping({', '.join(DIMENSIONS)}))"
NOTHING, EVERYTHING = cuboid_of(()), cuboid_of(DIMENSIONS)
_ONE = sorted(cuboid_of([name]) for name in DIMENSIONS)
_TWO = sorted({cuboid_of(two) for two in combinations(DIMENSIONS, 2)} - set(_ONE))
#: The cuboids of each grain, but for EVERYTHING, which hours, days and months have.
SUMMED = {"hour": [], "day": [NOTHING, *_ONE], "week": [NOTHING, *_ONE], "month": [NOTHING, *_ONE, *_TWO]}
KEPT = {grain: [*each, *([] if grain == "week" else [EVERYTHING])] for grain, each in SUMMED.items()}


def dimensions_of(cuboid: int) -> list[str]:
    return [name for place, name in enumerate(reversed(DIMENSIONS)) if cuboid >> place & 1][::-1]


def grouping_sets(cuboids: Iterable[int]) -> str:
    """As SQL."""
    return f"GROUPING SETS ({', '.join('(' + ', '.join(dimensions_of(each)) + ')' for each in cuboids)})"


def smallest(grain: str, needed: Iterable[str]) -> int | None:
    """The one kept of that grain with the fewest rows that tells the dimensions apart that are ``needed``; None where
    there is none."""
    wanted = cuboid_of(needed)
    return min((each for each in KEPT[grain] if each & wanted == wanted), key=int.bit_count, default=None)
