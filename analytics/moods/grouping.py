"""Cells of few people are merged until each is of enough, or left out. Pure.

What is kept of a week is a partition: every conversation counts in one cell at most, and every cell is of ``least``
people or more. Whatever is shown is a sum of cells, and what one sum exceeds another by is a sum of cells again: never
of fewer people than ``least``. So nothing need be hidden when it is shown, whatever it is narrowed to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from analytics.moods.sentiment import Sentiment


class Cell(NamedTuple):
    """``persona`` None: several together. ``topic`` None: several, or none."""

    persona: UUID | None
    topic: UUID | None
    sentiment: Sentiment


@dataclass
class Talks:
    """Conversations of a cell, and whose they are. Only ever in memory."""

    people: set[UUID] = field(default_factory=set)
    number: int = 0

    def add(self, other: "Talks") -> None:
        self.people |= other.people
        self.number += other.number


def merge_small(cells: Mapping[Cell, Talks], parents: Mapping[UUID, UUID | None], *, least: int) -> dict[Cell, int]:
    """How many conversations each cell is of, once those of fewer than ``least`` people went into a wider one: of the
    topic's parent (``parents``, of every topic), in the end of other topics; then of no sentiment; then of all such
    personas; and those that are small even so, nowhere."""
    levels: dict[tuple[int, int], dict[Cell, Talks]] = {}

    def put(cell: Cell, talks: Talks) -> None:
        levels.setdefault(_narrowness(cell, parents), {}).setdefault(cell, Talks()).add(talks)

    for cell, talks in cells.items():
        put(cell, talks)
    kept: dict[Cell, int] = {}
    while levels:
        # The narrowest first: all that comes into a cell is in it before it is looked at.
        for cell, talks in levels.pop(max(levels)).items():
            if len(talks.people) >= least:
                kept[cell] = talks.number
            elif (wider := _wider(cell, parents)) is not None:
                put(wider, talks)
    return kept


def _wider(cell: Cell, parents: Mapping[UUID, UUID | None]) -> Cell | None:
    if cell.topic is not None:
        return cell._replace(topic=_parent(cell.topic, parents))
    if cell.sentiment != Sentiment.UNKNOWN:
        return cell._replace(sentiment=Sentiment.UNKNOWN)
    return cell._replace(persona=None) if cell.persona is not None else None


def _narrowness(cell: Cell, parents: Mapping[UUID, UUID | None]) -> tuple[int, int]:
    """Greater than that of the wider cell: by how deep the topic lies, then by what else is told."""
    return _depth(cell.topic, parents), 2 * (cell.persona is not None) + (cell.sentiment != Sentiment.UNKNOWN)


def _parent(topic: UUID, parents: Mapping[UUID, UUID | None]) -> UUID | None:
    # Topics in a ring have none above them.
    return parents.get(topic) if _depth(topic, parents) <= len(parents) else None


def _depth(topic: UUID | None, parents: Mapping[UUID, UUID | None]) -> int:
    depth = 0
    while topic is not None and depth <= len(parents):
        topic, depth = parents.get(topic), depth + 1
    return depth
