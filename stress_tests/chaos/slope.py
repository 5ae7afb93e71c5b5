"""Whether something grows: a line through samples, with the interval that its slope lies in. Pure."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Slope:
    """Of a line through samples, per hour or what else was asked for. ``low`` and ``high`` bound it with 95 %;
    ``start`` is where it begins."""

    rate: float
    low: float
    high: float
    start: float

    def share(self) -> "Slope":
        """The same in parts of what it began with."""
        base = self.start or 1.0
        return Slope(self.rate / base, self.low / base, self.high / base, 1.0)


def slope(times: Sequence[float], values: Sequence[float], per: float = HOUR) -> Slope:
    """The least-squares line, ``per`` so many units of ``times``. Samples that follow each other closely say much the
    same: they count for fewer, by how far each residual follows from the one before it (lag-1 autocorrelation), so that
    the interval is honest.

    Raises ValueError where there are fewer than four.
    """
    count = len(times)
    if count < 4 or count != len(values):
        raise ValueError(f"{count} samples are too few for a slope")
    middle, mean = sum(times) / count, sum(values) / count
    spread = sum((at - middle) ** 2 for at in times)
    one_unit = sum((at - middle) * (value - mean) for at, value in zip(times, values, strict=True)) / spread
    left = [value - mean - one_unit * (at - middle) for at, value in zip(times, values, strict=True)]
    squares = sum(each * each for each in left)
    following = sum(one * two for one, two in itertools.pairwise(left)) / squares if squares else 0.0
    following = min(0.99, max(0.0, following))
    effective = max(3.0, count * (1 - following) / (1 + following))
    error = math.sqrt(squares / count * effective / (effective - 2) / (spread * effective / count))
    reach = 1.96 * error * per
    rate = one_unit * per
    return Slope(rate, rate - reach, rate + reach, mean + one_unit * (times[0] - middle))


def verdict(found: Slope, limit: float) -> str:
    """``holds`` where the slope is surely below ``limit``, ``grows`` where it is surely above, else ``unclear``."""
    if found.high < limit:
        return "holds"
    return "grows" if found.low > limit else "unclear"


def count_verdict(found: Slope, hours: float) -> str:
    """For what comes in whole numbers: ``grows`` where it surely rises and has risen by one at least."""
    return "grows" if found.low > 0 and found.rate * hours >= 1 else "holds"
