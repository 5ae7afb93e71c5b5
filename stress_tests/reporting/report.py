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
    """Something wanted. ``passed`` is None where this run did not measure it.

    What is ``required`` is about every reply (none lost, none doubled) and holds on any machine: the command fails with
    it. The rest are figures of a machine that does nothing else.
    """

    name: str
    limit: str
    found: str
    passed: bool | None
    required: bool = False

    @property
    def verdict(self) -> str:
        if self.passed is None:
            return "not measured"
        return "reached" if self.passed else "FAILED" if self.required else "MISSED"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """``name`` is the command's, and its files'. ``headline`` is the result in a line, for the README's table;
    ``figures`` is all that was measured, for programs."""

    name: str
    title: str
    headline: str
    machine: Mapping[str, Any]
    parameters: Mapping[str, Any]
    figures: Mapping[str, Any]
    checks: Sequence[Check]
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing failed that is required of every run."""
        return not any(check.required and check.passed is False for check in self.checks)

    @property
    def is_reached(self) -> bool:
        """Whether nothing was missed either."""
        return not any(check.passed is False for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """All but the plots, whose points are in ``figures`` where a program wants them."""
        return {
            "name": self.name,
            "title": self.title,
            "headline": self.headline,
            "sound": self.is_sound,
            "machine": dict(self.machine),
            "parameters": dict(self.parameters),
            "checks": [dataclasses.asdict(check) | {"verdict": check.verdict} for check in self.checks],
            "figures": dict(self.figures),
            "tables": [dataclasses.asdict(table) for table in self.tables],
        }


def at_most(name: str, value: float | None, limit: float, unit: str, *, required: bool = False) -> Check:
    """``value`` may be ``limit`` and no more; None was not measured."""
    passed = None if value is None else value <= limit
    return Check(
        name, f"≤ {limit:g} {unit}".strip(), "–" if value is None else f"{value:g} {unit}".strip(), passed, required
    )


def exactly(name: str, value: float, wanted: float, unit: str = "", *, required: bool = True) -> Check:
    """``value`` has to be ``wanted``."""
    return Check(name, f"= {wanted:g} {unit}".strip(), f"{value:g} {unit}".strip(), value == wanted, required)
