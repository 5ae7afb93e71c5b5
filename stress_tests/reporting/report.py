"""A report: what was run where, tables, plots, and what was wanted against what was found."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

Cell = str | int | float | None


def shown(cell: Cell) -> str:
    """A cell for people: three digits that count, thousands apart, a dash where there is nothing."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def ms(value: float | None) -> str:
    """Whole milliseconds for a sentence, or a dash."""
    return "–" if value is None else f"{value:,.0f} ms"


@dataclasses.dataclass(frozen=True)
class Table:
    """``head`` names the columns, of which the first tells the rows apart."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a plot, or its bars: points of ``(x, y)``, those that have a ``y``."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclasses.dataclass(frozen=True)
class Plot:
    """Lines over a common axis. ``x`` and ``y`` say what the axes count, with the unit."""

    title: str
    x: str
    y: str
    series: Sequence[Series]


@dataclasses.dataclass(frozen=True)
class Check:
    """Something wanted. ``passed`` is None where this run was too short to tell."""

    name: str
    limit: str
    found: str
    passed: bool | None

    @property
    def verdict(self) -> str:
        return "unclear" if self.passed is None else "reached" if self.passed else "MISSED"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """``name`` is the command's, ``headline`` the result in a line."""

    name: str
    title: str
    headline: str
    machine: Mapping[str, Any]
    parameters: Mapping[str, Any]
    checks: Sequence[Check]
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()

    def summary(self) -> dict[str, Any]:
        """What the table of results tells of it (``stress_tests.results``)."""
        return {
            "name": self.name,
            "title": self.title,
            "headline": self.headline,
            "machine": dict(self.machine),
            "parameters": dict(self.parameters),
            "checks": [dataclasses.asdict(check) | {"verdict": check.verdict} for check in self.checks],
        }


def at_most(name: str, value: float | None, limit: float, unit: str = "") -> Check:
    """``value`` may be ``limit`` and no more. None, of nothing that there was to measure, is missed."""
    found = shown(value) if value is None else f"{shown(value)} {unit}"
    return Check(name, f"≤ {limit:,g} {unit}".strip(), found.strip(), value is not None and value <= limit)


def exactly(name: str, value: float, wanted: float, unit: str = "") -> Check:
    """``value`` has to be ``wanted``."""
    return Check(name, f"{wanted:,g} {unit}".strip(), f"{value:,g} {unit}".strip(), value == wanted)
