"""A figure as a page shows it: its value, and how it changed since the period before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils import formats
from django.utils.translation import gettext as _

from analytics.metrics import METRICS, Better, Group, Metric, Unit, Value
from analytics.reports import shown
from analytics.suppression import ShownValue, Suppressed, shown_values
from analytics.totals import Filters, Totals

#: Below this a difference is none: it would be shown as 0.0 %.
LEAST_CHANGE = 0.0005


def told(metric: Metric, value: ShownValue) -> str:
    """A value as people read it, also one that is not shown."""
    return str(value) if isinstance(value, Suppressed) else shown(metric, value)


def known(value: ShownValue) -> Value:
    """None also where the value is not shown."""
    return None if isinstance(value, Suppressed) else value


@dataclass(frozen=True, slots=True)
class Figure:
    metric: Metric
    value: ShownValue
    before: ShownValue

    @property
    def shown(self) -> str:
        return told(self.metric, self.value)

    @property
    def shown_before(self) -> str:
        return told(self.metric, self.before)

    @property
    def is_suppressed(self) -> bool:
        return isinstance(self.value, Suppressed)

    @property
    def difference(self) -> float | None:
        """Of shares as it is, of all else as a part of the value before; None where there is nothing to compare."""
        now, then = known(self.value), known(self.before)
        if now is None or then is None:
            return None
        if self.metric.unit == Unit.SHARE:
            return float(now) - float(then)
        return float(now) / float(then) - 1 if then else None

    @property
    def change(self) -> str:
        """The difference as people read it: "12.5 %", of shares "1.2 points". "" where there is nothing to compare."""
        if self.difference is None:
            return ""
        number = formats.number_format(round(abs(self.difference) * 100, 1), 1, force_grouping=True)
        return _("%(number)s points") % {"number": number} if self.metric.unit == Unit.SHARE else f"{number} %"

    @property
    def direction(self) -> str:
        """``up``, ``down`` or ``same``; "" where there is nothing to compare."""
        if self.difference is None:
            return ""
        if abs(self.difference) < LEAST_CHANGE:
            return "same"
        return "up" if self.difference > 0 else "down"

    @property
    def verdict(self) -> str:
        """``good`` or ``bad``, "" where neither is."""
        if self.direction not in ("up", "down") or self.metric.better == Better.NEITHER:
            return ""
        return "good" if (self.direction == "up") == (self.metric.better == Better.MORE) else "bad"


def figures(
    now: Totals | Suppressed, before: Totals | Suppressed, filters: Filters, names: Iterable[str] | None = None
) -> dict[str, Figure]:
    """The figures of those ``names``, or of all; what a model cannot be told of is None where one is asked for."""
    wanted = tuple(METRICS if names is None else names)
    values, then = (shown_values(totals, filters, wanted) for totals in (now, before))
    untold = {name for name in wanted if filters.model is not None and not METRICS[name].by_model}
    return {
        name: Figure(METRICS[name], None if name in untold else values[name], None if name in untold else then[name])
        for name in wanted
    }


def by_group(of: Mapping[str, Figure]) -> dict[Group, Sequence[Figure]]:
    return {group: [figure for figure in of.values() if figure.metric.group == group] for group in Group}
