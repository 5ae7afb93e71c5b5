"""``manage.py partition``: messages or audit events in partitions, while they are in use (docs/scaling.md)."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, OperationalError, connection
from django.utils import timezone
from psycopg.errors import LockNotAvailable, QueryCanceled

from accounts.audit import partitioning as events
from accounts.models import AuditEvent
from chatbot_project.lib.db import named_lock
from chatbot_project.lib.postgres.partitions import (
    CHANGE_SECONDS,
    LEAST_VERSION,
    TRY_SECONDS,
    NotPartitionable,
    PartitionedTable,
    Range,
)
from conversations import partitioning as messages

AHEAD_MONTHS, AHEAD_RANGES = 24, 4
TABLES = {"messages": messages.MESSAGES, "audit": events.EVENTS}


class Command(BaseCommand):
    help = (
        "Partitions the table of messages by time, or that of audit events by number, while it is used: all there is "
        "becomes the first partition, unmoved. Again, it makes the partitions that are missing for the time to come. "
        "There is no way back but a restored backup, and no need below some 100 million rows. Needs PostgreSQL 18."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=[*TABLES])
        parser.add_argument("--months", type=int, default=6, help="of messages in a partition (6)")
        parser.add_argument(
            "--events",
            type=int,
            dest="events_each",
            default=50_000_000,
            help="of the audit trail in a partition (50000000)",
        )

    def handle(self, *args: Any, what: str, months: int, events_each: int, **options: Any) -> None:
        """Partition, or add what is missing. Raises CommandError."""
        if months < 1 or events_each < 1:
            raise CommandError("A partition holds one month, or one event, at least.")
        connection.ensure_connection()
        if connection.connection.info.server_version < LEAST_VERSION:
            raise CommandError(
                "This needs PostgreSQL 18: an older one cannot leave looking through what refers to a table for later."
            )
        with named_lock("partition") as is_mine:
            if not is_mine:
                raise CommandError("Another `manage.py partition` is at it.")
            try:
                made = _of_messages(months) if what == "messages" else _of_events(events_each)
            except NotPartitionable as error:
                raise CommandError(f"{error} Nothing has changed.") from error
            except IntegrityError as error:
                raise CommandError(f"A key lies where a partition was to be: {error}") from error
            except OperationalError as error:
                raise CommandError(_told(error, TABLES[what])) from error
        self.stdout.write(f"{len(made)} partitions made: {', '.join(made)}." if made else "No partition is missing.")


def _told(error: OperationalError, table: PartitionedTable) -> str:
    """What happened, and what is left of it."""
    connection.close()  # it may be lost
    try:
        has_begun = table.is_bounded
    except OperationalError:
        has_begun = True
    left = (
        f"Run this again, soon: {table.table} refuses what comes in some weeks."
        if has_begun
        else "Nothing has changed."
    )
    if isinstance(error.__cause__, LockNotAvailable):
        return f"Somebody used the tables at each try, for {TRY_SECONDS:g} s. {left}"
    if isinstance(error.__cause__, QueryCanceled):
        return f"The change took over {CHANGE_SECONDS:g} s and was undone: is there an index that does not fit? {left}"
    return f"{error}\n{left}"


def _of_messages(months: int) -> list[str]:
    """Names of what was made: for AHEAD_MONTHS from now, at least."""
    now = timezone.now()
    until = messages.month_after(now, AHEAD_MONTHS)
    end = messages.MESSAGES.last_end
    # Not this month's end: if this is killed in the midst, that is how long there is to run it again.
    start = messages.month_after(now, 2)
    if end is not None:
        last = messages.made_at(UUID(end))
        start = max(last, start) if messages.MESSAGES.has_rest else last  # what is in the rest stays there
    return _make(messages.MESSAGES, end, messages.first_id(start), list(messages.ranges(start, until, months)))


def _of_events(size: int) -> list[str]:
    """Names of what was made: AHEAD_RANGES beyond the newest event, at least."""
    newest = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    end = events.EVENTS.last_end
    start = (newest // size + 2) * size
    if end is not None:
        start = max(int(end), start) if events.EVENTS.has_rest else int(end)
    return _make(events.EVENTS, end, start, list(events.ranges(start, newest + AHEAD_RANGES * size, size)))


def _make(table: PartitionedTable, end: str | None, start: Any, ranges: Sequence[Range]) -> list[str]:
    known = set(table.partitions())
    if end is None:
        table.partition(start, ranges)
    else:
        table.add(ranges)
        table.check()  # where it was interrupted before that
    return [name for name in table.partitions() if name not in known]
