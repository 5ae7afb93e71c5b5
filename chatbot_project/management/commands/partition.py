"""``manage.py partition``: messages or audit events in partitions, while they are in use (docs/scaling.md)."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, OperationalError, connection
from django.utils import timezone

from accounts.audit import dividing as events
from accounts.models import AuditEvent
from chatbot_project.lib.db import named_lock
from chatbot_project.lib.postgres.partitions import LEAST_VERSION, LOCK_SECONDS, DividedTable, Range
from conversations import dividing as messages

AHEAD_MONTHS, AHEAD_RANGES = 24, 4


class Command(BaseCommand):
    help = (
        "Divides the table of messages by time, or that of audit events by number, while people use it: all there is "
        "becomes the first partition, unmoved. Again, it makes the partitions that are missing for the time to come. "
        "There is no way back but a restored backup, and no need below some 100 million rows. Needs PostgreSQL 18."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["messages", "audit"])
        parser.add_argument("--months", type=int, default=6, help="of messages in a partition (6)")
        parser.add_argument(
            "--events", type=int, default=50_000_000, help="of the audit trail in a partition (50000000)"
        )

    def handle(self, *args: Any, what: str, months: int, events: int, **options: Any) -> None:
        """Divide, or add what is missing. Raises CommandError."""
        if months < 1 or events < 1:
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
                made = _of_messages(months) if what == "messages" else _of_events(events)
            except OperationalError as error:
                raise CommandError(
                    f"Somebody used the table for more than {LOCK_SECONDS:g} s. Nothing has changed: run this again."
                ) from error
            except IntegrityError as error:
                raise CommandError(f"A key lies where a partition was to be: {error}") from error
        self.stdout.write(f"{len(made)} partitions made: {', '.join(made)}." if made else "No partition is missing.")


def _of_messages(months: int) -> list[str]:
    """Names of what was made: for AHEAD_MONTHS from now, at least."""
    now = timezone.now()
    until = messages.month_after(now, AHEAD_MONTHS)
    end = _end(messages.MESSAGES)
    # Not this month's end: if this is killed in the midst, that is how long there is to run it again.
    start = messages.month_after(now, 2) if end is None else messages.made_at(UUID(end))
    return _make(messages.MESSAGES, end, messages.first_id(start), list(messages.ranges(start, until, months)))


def _of_events(size: int) -> list[str]:
    """Names of what was made: AHEAD_RANGES beyond the newest event, at least."""
    newest = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    end = _end(events.EVENTS)
    start = (newest // size + 2) * size if end is None else int(end)
    return _make(events.EVENTS, end, start, list(events.ranges(start, newest + AHEAD_RANGES * size, size)))


def _end(table: DividedTable) -> str | None:
    """Where the last range ends, None where the table is not divided."""
    if not table.is_divided:
        return None
    ends = [end for end in table.partitions().values() if end is not None]
    return max(ends, key=lambda end: (len(end), end))  # as numbers; UUIDs have one length


def _make(table: DividedTable, end: str | None, start: Any, ranges: Sequence[Range]) -> list[str]:
    known = set(table.partitions())
    if end is None:
        table.divide(start, ranges)
    else:
        table.add(ranges)
        table.check()  # where it was interrupted before that
    return [name for name in table.partitions() if name not in known]
