"""The bars of a PDF report: one for each day or hour. Drawn as SVG; the words beside them are the page's."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import formats
from django.utils.translation import gettext as _

from analytics.models import Report
from analytics.reports.periods import period_of_report
from analytics.reports.wording import FEW, TABLES, column_label, row_label
from analytics.suppression import SUPPRESSED

BAR, BASE = "#0b6654", "#e0dcd1"
HIDDEN_HEIGHT = 2.5  # mm: a bar whose height is not told
MOST_LABELS = 8


@dataclass(frozen=True, slots=True)
class Chart:
    """``values`` and the ``labels`` below them, None and "" where there is none; at the places in ``hidden`` there is
    one that is not shown. ``most`` says what the highest bar is, ``told`` is the chart in words."""

    title: str
    values: Sequence[float | None]
    hidden: frozenset[int]
    labels: Sequence[str]
    most: str
    told: str

    def svg(self, width: float, height: float) -> io.BytesIO:
        """As an image of that size."""
        each, top = width / len(self.values), 5.0
        highest = max((value for value in self.values if value), default=1)
        bars = "".join(
            self._bar(place, each, height, (height - top) * value / highest, BAR)
            for place, value in enumerate(self.values)
            if value
        ) + "".join(self._bar(place, each, height, HIDDEN_HEIGHT, BASE) for place in sorted(self.hidden))
        base = f'<rect x="0" y="{height - 0.25:.3f}" width="{width:.3f}" height="0.25" fill="{BASE}"/>'
        drawn = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.3f} {height:.3f}" '
            f'width="{width:.3f}" height="{height:.3f}">{base}{bars}</svg>'
        )
        return io.BytesIO(drawn.encode())

    def _bar(self, place: int, each: float, bottom: float, length: float, colour: str) -> str:
        return (
            f'<rect x="{place * each + each * 0.15:.3f}" y="{bottom - length:.3f}" width="{each * 0.7:.3f}" '
            f'height="{length:.3f}" fill="{colour}"/>'
        )


def chart_of(report: Report, column: str) -> Chart | None:
    """The bars of ``column`` in the table of days or hours; None where there is nothing to draw."""
    tables = report.content.get("tables", {})
    name = "hours" if "hours" in tables else "days"
    table = tables.get(name)
    if not table or column not in table["columns"]:
        return None
    of = table["columns"].index(column)
    found = {row["name"]: row["values"][of] for row in table["rows"]}
    places = _places(report, name)
    values = [value if isinstance(value := found.get(place), (int, float)) else None for place in places]
    hidden = frozenset(number for number, place in enumerate(places) if found.get(place) == SUPPRESSED.value)
    if not any(values):
        return None
    highest = max(value for value in values if value)
    best = row_label(name, places[values.index(highest)])
    number = formats.number_format(highest, 0, use_l10n=True, force_grouping=True)
    title = f"{column_label(column)[:1].upper()}{column_label(column)[1:]} · {TABLES[name][0]}"
    most = _("Most: %(number)s (%(when)s)") % {"number": number, "when": best}
    if hidden:
        grey = _("Grey: %(few)s") % {"few": FEW}
        most = f"{most} · {grey}"
    return Chart(title, values, hidden, _labels(name, places), most, f"{title}. {most}")


def _places(report: Report, name: str) -> list[str]:
    """Each day or hour of the period, as the table names them: a day may have 23 or 25 hours."""
    period = period_of_report(report)
    if name == "days":
        return [day.isoformat() for day in period.days]
    begin, end = period.start, period.end
    hours = int((end - begin).total_seconds()) // 3600
    return [
        datetime.fromtimestamp(begin.timestamp() + 3600 * number, period.zone).isoformat() for number in range(hours)
    ]


def _labels(name: str, places: Sequence[str]) -> list[str]:
    step = -(-len(places) // MOST_LABELS)
    return [row_label(name, place) if number % step == 0 else "" for number, place in enumerate(places)]
