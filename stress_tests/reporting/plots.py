"""Plots as SVG that is part of the page: drawn without script, coloured for light and dark by the page's style."""

import sys
from collections.abc import Sequence
from xml.etree import ElementTree

import pygal

from .report import Plot

# pygal adds a finder of maps in a form that Python has given up: it would warn of each module that is not found.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

WIDTH, HEIGHT = 720, 300
MOST_DOTS = 40  # more points than these are a line alone
MOST_POINTS = 600  # a line is drawn through no more than these
Point = tuple[float, float | None]


def plot_svg(plot: Plot) -> str:
    """The plot, or nothing where it has no point. Series are ``serie-0`` and so on, in the plot's order."""
    lines = [[point for point in series.points if point[1] is not None] for series in plot.series]
    most = max(map(len, lines), default=0)
    if not most:
        return ""
    graph = pygal.XY(
        width=WIDTH, height=HEIGHT, css=[], js=[], no_prefix=True, show_legend=False, include_x_axis=True,
        show_dots=most <= MOST_DOTS, dots_size=3, x_title=plot.x, y_title=plot.y, margin=6,
    )  # fmt: skip
    for series, points in zip(plot.series, lines, strict=True):
        graph.add(series.name, _thinned(points))
    root = graph.render_tree()
    drawn = next(part for part in root if part.tag == "g")
    picture = ElementTree.Element(
        "svg", {"class": "plot-picture", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": plot.title}
    )
    picture.append(drawn)
    for part in picture.iter():
        part.attrib.pop("style", None)
    return ElementTree.tostring(picture, encoding="unicode")


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    step = -(-len(points) // MOST_POINTS)
    return points[::step] if step > 1 else points
