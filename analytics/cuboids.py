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
#: Of days, weeks and months: whatever at most two dimensions tell apart, and everything.
OF_DAYS = sorted({*(cuboid_of(some) for most in range(3) for some in combinations(DIMENSIONS, most)), EVERYTHING})
#: Of hours: the sum of all, and everything.
OF_HOURS = [NOTHING, EVERYTHING]


def dimensions_of(cuboid: int) -> list[str]:
    return [name for place, name in enumerate(reversed(DIMENSIONS)) if cuboid >> place & 1][::-1]


def grouping_sets(cuboids: Iterable[int]) -> str:
    """As SQL."""
    return f"GROUPING SETS ({', '.join('(' + ', '.join(dimensions_of(each)) + ')' for each in cuboids)})"


def smallest(needed: Iterable[str], kept: Iterable[int] = OF_DAYS) -> int:
    """The one of those ``kept`` with the fewest rows that tells the dimensions apart that are ``needed``."""
    wanted = cuboid_of(needed)
    return min((each for each in kept if each & wanted == wanted), key=int.bit_count)
