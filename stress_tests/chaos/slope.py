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
    same: they count for fewer, by how far each residual follows from the one before it (lag-1 autocorrelation), and the
    interval is Student's for that many (Santer et al. 2000, "adjusted" degrees of freedom).

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
    reach = student(effective - 2) * error * per
    rate = one_unit * per
    return Slope(rate, rate - reach, rate + reach, mean + one_unit * (times[0] - middle))


def student(freedom: float) -> float:
    """Student's t for 95 % on both sides and so many degrees of freedom, one at least; to 0.2 %.

    For one and two in closed form, from three on by the expansion in Abramowitz and Stegun, 26.7.5.
    """
    if freedom < 2:
        return math.tan(math.pi * 0.475)
    if freedom < 3:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def verdict(found: Slope, limit: float) -> str:
    """``holds`` where the slope is surely below ``limit``, ``grows`` where it is surely above, else ``unclear``."""
    if found.high < limit:
        return "holds"
    return "grows" if found.low > limit else "unclear"


def count_verdict(found: Slope, hours: float) -> str:
    """For what comes in whole numbers: ``grows`` where it surely rises and has risen by one at least in ``hours``,
    ``holds`` where it has surely risen by less than one, or by less than a twentieth, else ``unclear``."""
    if found.low > 0 and found.rate * hours >= 1:
        return "grows"
    return "holds" if found.high * hours < max(1.0, found.start / 20) else "unclear"
