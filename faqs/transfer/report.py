"""What an import did, or would do, row by row."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowReport:
    """``line`` is where the row begins in a CSV file, its place in the list of a JSON file. ``fields`` are the names of
    what changes; ``reason`` is a sentence for a row that is refused."""

    line: int
    outcome: Outcome
    question: str = ""
    faq: UUID | None = None
    fields: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """``applied`` is whether it was done: never for a dry run, nor where a row is refused. ``categories`` are the paths
    of those that are made."""

    rows: list[RowReport]
    categories: list[str]
    applied: bool

    @property
    def counts(self) -> Mapping[Outcome, int]:
        counted = Counter(row.outcome for row in self.rows)
        return {outcome: counted[outcome] for outcome in Outcome}

    @property
    def refused(self) -> list[RowReport]:
        return [row for row in self.rows if row.outcome is Outcome.REFUSED]
