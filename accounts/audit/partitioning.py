"""The audit trail in partitions by the numbers of its events."""

from collections.abc import Iterator

from chatbot_project.lib.postgres.partitions import PartitionedTable, Range

EVENTS = PartitionedTable("accounts_auditevent", "id")


def ranges(start: int, end: int, size: int) -> Iterator[Range]:
    """From ``start`` on, of ``size`` numbers each, until one reaches ``end``."""
    for first in range(start, end, size):
        yield Range(f"from_{first}", first, first + size)
