"""How sure a share is that was counted of few: its 95 % interval. Pure.

Wilson's score interval (E. B. Wilson, 1927, JASA 22:209): unlike the plain one it stays within 0 and 1 and holds for
few and for shares near either end.
"""

import math
from typing import Final, NamedTuple

Z: Final = 1.959963984540054  # of the normal distribution, 97.5 %
#: Of fewer, no share is said to be better or worse, whatever its interval.
FEWEST: Final = 10


class Interval(NamedTuple):
    low: float
    high: float

    def overlaps(self, other: "Interval") -> bool:
        return self.low <= other.high and other.low <= self.high


def wilson(part: int, whole: int) -> Interval | None:
    """The interval of ``part`` of ``whole`` that were counted one by one; None of none.

    Raises ValueError where ``part`` is no part of ``whole``.
    """
    if not 0 <= part <= whole:
        raise ValueError(f"{part} is no part of {whole}")
    if not whole:
        return None
    share, spread = part / whole, Z * Z / whole
    middle = (share + spread / 2) / (1 + spread)
    reach = Z * math.sqrt((share * (1 - share) + spread / 4) / whole) / (1 + spread)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))
