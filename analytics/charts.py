"""Charts as SVG that is part of the page: no script, no style of its own (static/css/analytics.css colours it), a name
and a description for those who do not see it, and behind each the table of what it shows.

pygal draws; what it brings along for pages of its own (style, script, hidden texts for its tooltips) is left out.
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any
from xml.etree import ElementTree  # nosec B405  # writes what is drawn here, reads nothing

import pygal
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

# pygal adds a finder of maps in a form that Python has given up: it would warn of each module that is not found.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

WIDTH, HEIGHT = 480, 210  # near what is drawn, so that texts have their size
#: Room that pygal leaves for a letter; the style sheet makes texts as large as this where the chart is drawn small.
TEXT_SIZE = 16
MOST_TICKS = 5
#: So many points have a dot each; of more, those alone that stand by themselves.
MOST_DOTS = 14
WIDEST_BAR = 34
MARK_WIDTH = 34  # of a mark's name
#: So many pictures are kept in the process, of some 20 KB each: a page that is asked for again is not drawn again.
MOST_KEPT = 300

Number = int | float | Decimal


class Kind(StrEnum):
    LINES = "lines"
    BARS = "bars"  # series stand on each other


class Tone(StrEnum):
    """What a series is coloured by: a class of the style sheet."""

    MAIN = "main"
    SECOND = "second"
    THIRD = "third"
    FOURTH = "fourth"
    FIFTH = "fifth"
    SIXTH = "sixth"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    PLAIN = "plain"


TONES = (Tone.MAIN, Tone.SECOND, Tone.THIRD, Tone.FOURTH, Tone.FIFTH, Tone.SIXTH)


@dataclass(frozen=True, slots=True)
class Series:
    """``values``: one for each label of the chart; None where there is nothing to tell."""

    name: str
    values: Sequence[Number | None]
    tone: Tone = Tone.MAIN


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to look at in a chart over time. ``place`` is in points: 0 is the middle of the first, 0.5 where the
    second begins. ``label`` stands in the picture, ``told`` is what it means."""

    place: float
    label: str
    told: str


@dataclass(frozen=True)
class Chart:
    """``key`` is its id in the page. ``labels`` name the points in full, ``ticks`` below the axis, ``names`` for
    programs; a tick may be empty. ``shown`` writes a value for people, ``axis`` beside the axis, and ``unit`` names
    what they write. ``head`` is the name of the table's first column, ``links`` where its rows lead; ``empty`` is said
    where there is nothing to draw. ``marks`` are moments to look at."""

    key: str
    title: str
    kind: Kind
    labels: Sequence[str]
    series: Sequence[Series]
    shown: Callable[[Any], str]
    ticks: Sequence[str] = ()
    names: Sequence[str] = ()
    axis: Callable[[Any], str] | None = None
    head: str = ""
    note: str = ""
    links: Sequence[str] = ()
    csv_url: str = ""
    empty: str = ""
    marks: Sequence[Mark] = ()
    unit: str = ""

    @cached_property
    def is_empty(self) -> bool:
        """Nothing to draw: no value, or none but zeros."""
        return not any(value for series in self.series for value in series.values)

    @property
    def svg(self) -> SafeString:
        return _drawn(_Picture(self))

    @property
    def description(self) -> str:
        """What the picture shows, in a sentence for each series."""
        told = []
        for series in self.series:
            known = [
                (value, label) for value, label in zip(series.values, self.labels, strict=True) if value is not None
            ]
            if not known:
                continue
            (least, _where), (most, where) = min(known, key=_value), max(known, key=_value)
            told.append(
                _("%(series)s: between %(least)s and %(most)s, most: %(where)s.")
                % {"series": series.name, "least": self.shown(least), "most": self.shown(most), "where": where}
            )
        return " ".join([*told, *(f"{mark.told}." for mark in self.marks)])

    @property
    def rows(self) -> list[tuple[str, str, list[str]]]:
        """Of the table: label, where it leads ("" for nowhere), and what each series has there."""
        links = self.links or [""] * len(self.labels)
        marked = [
            f"{label} ({', '.join(here)})" if (here := self._marks_at(number)) else label
            for number, label in enumerate(self.labels)
        ]
        columns = zip(*(series.values for series in self.series), strict=True)
        return [
            (label, link, ["–" if value is None else self.shown(value) for value in values])
            for label, link, values in zip(marked, links, columns, strict=True)
        ]

    def sheet(self) -> Iterable[Sequence[Any]]:
        """The same for a CSV."""
        yield [self.head, *(series.name for series in self.series)]
        yield from zip(self.names or self.labels, *(series.values for series in self.series), strict=True)

    def _marks_at(self, number: int) -> list[str]:
        return [mark.label for mark in self.marks if number - 0.5 <= mark.place < number + 0.5]


def _value(known: tuple[Number, str]) -> float:
    return float(known[0])


def scale(highest: float, *, whole: bool) -> list[float]:
    """The marks of an axis from 0 up to at least ``highest``: three to six, on numbers that people count in.
    ``whole``: there is nothing between two numbers."""
    if highest <= 0:
        return [0, 1]
    size = 10.0 ** math.floor(math.log10(highest / 4))
    step = next(size * part for part in (1, 2, 2.5, 5, 10) if size * part * 4 >= highest * 0.999)
    if whole:
        step = max(1, math.ceil(step))
    marks = math.ceil(round(highest / step, 6))
    return [round(step * number, 10) for number in range(marks + 1)]


class _Picture:
    """A chart as the key of its picture: equal to any that looks the same, in the same language."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        series = tuple((each.name, each.tone, tuple(each.values)) for each in chart.series)
        points = (tuple(chart.labels), tuple(chart.ticks))
        names = (get_language(), chart.key, chart.title, chart.kind, chart.unit)
        self._looks = (names, points, series, tuple(chart.marks))

    def __hash__(self) -> int:
        return hash(self._looks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Picture) and self._looks == other._looks


@lru_cache(MOST_KEPT)
def _drawn(picture: _Picture) -> SafeString:
    return SafeString(ElementTree.tostring(_draw(picture.chart), encoding="unicode"))  # nosec B703  # escaped there


class _Drawing:
    """What both kinds have in common. Values are told by the browser's own tooltip."""

    marks: Sequence[Mark] = ()

    def _x_axis(self) -> None:
        """The axis, and the marks, which stand behind the series."""
        super()._x_axis()  # type: ignore[misc]
        drawing: Any = self
        first, last = drawing._x_pos[0], drawing._x_pos[-1]
        slot = (last - first) / (len(drawing._x_pos) - 1) if len(drawing._x_pos) > 1 else 1.0
        free_from = 0.0
        for mark in self.marks:
            x = drawing.view.x(min(1.0, max(0.0, first + mark.place * slot)))
            group = drawing.svg.node(drawing.nodes["plot"], class_="moment")
            drawing.svg.node(group, "title").text = mark.told
            drawing.svg.node(group, "path", d=f"M{x:.1f} 0 v{drawing.view.height:.1f}")
            if x >= free_from:  # what would stand on another's name has none: its title tells
                near_end = x > drawing.view.width - MARK_WIDTH
                text = drawing.svg.node(group, "text", x=x - 4 if near_end else x + 4, y=TEXT_SIZE - 3)
                text.set("class", "moment-before" if near_end else "moment-after")
                text.text = mark.label
                free_from = x + MARK_WIDTH

    def _tooltip_data(self, node: Any, value: Any, x: Any, y: Any, classes: Any = None, xlabel: Any = None) -> None:
        ElementTree.SubElement(node, "title").text = str(value)

    def _static_value(self, *args: Any, **kwargs: Any) -> None:
        """No number is written into the picture."""

    def __getattribute__(self, name: str) -> Any:
        # pygal's own, which is asked some hundred times a point, in fewer steps.
        state = object.__getattribute__(self, "__dict__").get("state")
        if state is not None and name in state.__dict__ and name != "state":
            return state.__dict__[name]
        return object.__getattribute__(self, name)


class _Lines(_Drawing, pygal.Line):
    pass


class _Bars(_Drawing, pygal.StackedBar):
    pass


def _draw(chart: Chart) -> ElementTree.Element:
    number = len(chart.labels)
    drawing = _Lines if chart.kind == Kind.LINES else _Bars
    values = [series.values for series in chart.series]
    highest = (
        max(map(sum, zip(*([float(v or 0) for v in of] for of in values), strict=True)))
        if chart.kind == Kind.BARS
        else max(float(v or 0) for of in values for v in of)
    )
    marks = scale(highest, whole=all(isinstance(v, int) for of in values for v in of if v is not None))
    graph = drawing(
        width=WIDTH,
        height=HEIGHT,
        css=[],
        js=[],
        no_prefix=True,
        show_legend=False,
        allow_interruptions=True,
        dots_size=3,
        rounded_bars=1,
        margin=4,
        margin_right=TEXT_SIZE,
        margin_top=TEXT_SIZE / 2,
        range=(0, marks[-1]),
        truncate_label=-1,
        value_formatter=chart.axis or chart.shown,
        style=_STYLE,
    )
    slot = WIDTH * 0.85 / number
    graph._series_margin = max(0.12, (1 - WIDEST_BAR / slot) / 2)
    graph.x_labels = _ticks(chart, number)
    graph.y_labels = marks
    graph.marks = chart.marks
    for series in chart.series:
        told = _teller(chart, series)
        graph.add(series.name, [None if value is None else float(value) for value in series.values], formatter=told)
    return _cleaned(graph.render_tree(), chart)


def _ticks(chart: Chart, number: int) -> list[str]:
    """Evenly, MOST_TICKS at most; but where some are empty already, as they are. By place and not by name: two days
    have the same hours."""
    ticks = list(chart.ticks or chart.labels)
    if not all(ticks):
        return ticks
    every = max(1, math.ceil(number / MOST_TICKS))
    return [tick if place % every == 0 else "" for place, tick in enumerate(ticks)]


_STYLE = pygal.style.Style(label_font_size=TEXT_SIZE, major_label_font_size=TEXT_SIZE)


def _teller(chart: Chart, series: Series) -> Callable[..., str]:
    """Writes the tooltip of a point."""

    def told(value: Any, index: int) -> str:
        return f"{chart.labels[index]}: {chart.shown(series.values[index])} {series.name}".strip()

    return told


def _cleaned(root: ElementTree.Element, chart: Chart) -> ElementTree.Element:
    """What pygal drew as it goes into the page: axes and series alone, in the classes of the style sheet."""
    drawn = next(part for part in root if part.tag == "g")
    picture = ElementTree.Element("svg", {
        "class": f"chart-picture chart-{chart.kind}",
        "viewBox": f"0 0 {WIDTH} {HEIGHT}",
        "role": "img",
        "aria-labelledby": f"{chart.key}-title {chart.key}-about",
    })  # fmt: skip
    ElementTree.SubElement(picture, "title", {"id": f"{chart.key}-title"}).text = chart.title
    ElementTree.SubElement(picture, "desc", {"id": f"{chart.key}-about"}).text = chart.description
    for layer in drawn:
        if layer.get("class") in ("plot", "plot overlay"):
            layer[:] = [part for part in layer if part.get("class") != "background"]
            for axis in layer.iterfind(".//g[@class='axis x']"):
                axis[:] = [part for part in axis if part.find(".//text") is None or part.findtext(".//text")]
            picture.append(layer)
    for number, series in enumerate(chart.series):
        shows = iter(_dotted(series.values))
        for part in picture.iterfind(f".//g[@class='series serie-{number} color-{number}']"):
            part.set("class", f"series tone-{series.tone}")
            for dot in part.iter("circle"):
                dot.set("class", "dot dot-shown" if next(shows) else "dot")
    for part in picture.iter():
        _tidy(part)
    return picture


def _tidy(part: ElementTree.Element) -> None:
    """Tenths are fine enough to draw with; and what only pygal's own script and style would use is left out."""
    for name in ("x", "y", "cx", "cy", "width", "height"):
        if name in part.attrib:
            part.set(name, f"{float(part.attrib[name]):.1f}")
    part.attrib.pop("style", None)
    if part.tag == "rect":
        del part.attrib["class"]
    elif part.get("class") == "guides":
        part[:] = [line for line in part if line.tag != "title"]


def _dotted(values: Sequence[Number | None]) -> list[bool]:
    """For each value that there is: whether its point shows as a dot, for there are few or no line leads to it."""
    if len(values) <= MOST_DOTS:
        return [True for value in values if value is not None]
    padded = [None, *values, None]
    return [
        padded[place] is None and padded[place + 2] is None for place, value in enumerate(values) if value is not None
    ]
