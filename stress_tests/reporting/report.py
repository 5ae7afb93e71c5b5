"""A report: what was run where, tables, plots, and what was wanted against what was found."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

Cell = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Table:
    """``head`` names the columns, of which the first tells the rows apart."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a plot, or its bars: points of ``(x, y)``."""

    name: str
    points: Sequence[tuple[float, float]]


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
