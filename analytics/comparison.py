"""Two versions of a persona side by side, and what can be said of their difference honestly."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from analytics.intervals import FEWEST, Interval, wilson
from analytics.metrics import METRICS, Better, Metric, Value
from analytics.suppression import ShownValue, Suppressed, shown_values
from analytics.totals import Filters, Totals

#: What can be told of a version: not how many people there were.
COMPARED = tuple(name for name, metric in METRICS.items() if not metric.whole)


class Verdict(StrEnum):
    """What the difference of two shares says. ``NONE``: it is no share, or one of them is not known."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"  # where neither way is good
    NOT_TOLD_APART = "not-told-apart"
    TOO_FEW = "too-few"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Side:
    """A figure of one version; of a share that is counted, of how many, and its interval."""

    value: ShownValue
    whole: int | None = None
    interval: Interval | None = None

    @property
    def known(self) -> Value:
        return None if isinstance(self.value, Suppressed) else self.value


@dataclass(frozen=True, slots=True)
class Compared:
    metric: Metric
    old: Side
    new: Side

    @property
    def verdict(self) -> Verdict:
        old, new = self.old, self.new
        if old.interval is None or new.interval is None or old.whole is None or new.whole is None:
            return Verdict.NONE
        if min(old.whole, new.whole) < FEWEST:
            return Verdict.TOO_FEW
        if old.interval.overlaps(new.interval):
            return Verdict.NOT_TOLD_APART
        if self.metric.better == Better.NEITHER:
            return Verdict.DIFFERENT
        is_more = new.interval.low > old.interval.high
        return Verdict.BETTER if is_more == (self.metric.better == Better.MORE) else Verdict.WORSE


def compare(
    old: Totals | Suppressed, new: Totals | Suppressed, filters: Filters, names: Iterable[str] = COMPARED
) -> list[Compared]:
    """The figures of those ``names`` of both."""
    wanted = list(names)
    before, after = shown_values(old, filters, wanted), shown_values(new, filters, wanted)
    return [
        Compared(METRICS[name], _side(METRICS[name], old, before[name]), _side(METRICS[name], new, after[name]))
        for name in wanted
    ]


def _side(metric: Metric, totals: Totals | Suppressed, value: ShownValue) -> Side:
    if metric.parts is None or isinstance(totals, Suppressed) or isinstance(value, Suppressed):
        return Side(value)
    part, whole = metric.parts(totals)
    return Side(value, whole, wilson(part, whole))
