"""``manage.py apply_retention [--dry-run] [--as-of DATE]``: remove what is kept no longer, or say what that is."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from accounts.retention import runs


class Command(BaseCommand):
    help = (
        "Remove what is kept no longer: by policy, unless a legal hold keeps it. One that was cut off is gone on with."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would be removed, and remove nothing.")
        parser.add_argument("--as-of", type=_moment, default=None, metavar="DATE", help="As of then (UTC), not of now.")

    def handle(self, *args: Any, **options: Any) -> None:
        as_of: datetime = options["as_of"] or timezone.now()
        if options["dry_run"]:
            for planned in runs.plan(as_of):
                kept = f"  {planned.kept} kept by a hold or a pause" if planned.kept else ""
                self.stdout.write(f"{planned.key:24} {planned.count:9}  {planned.digest}{kept}")
            return
        if as_of > timezone.now():
            raise CommandError("What lies in the future is not over: use --dry-run to look there.")
        try:
            run = runs.apply(as_of)
        except runs.Busy:
            raise CommandError("Another run is at work.") from None
        if run.as_of != as_of:
            self.stdout.write(f"Went on with the run as of {run.as_of:%Y-%m-%d %H:%M} UTC, which had been cut off.")
        for key, count in sorted(run.removed.items()):
            self.stdout.write(f"{key:24} {count:9}  removed")
        for key, count in sorted(run.skipped.items()):
            self.stdout.write(f"{key:24} {count:9}  skipped: in use, or kept by something else")
        for key, count in sorted(run.kept.items()):
            self.stdout.write(f"{key:24} {count:9}  kept by a hold or a pause")


def _moment(text: str) -> datetime:
    found = parse_datetime(text) if len(text) > len("2026-01-01") else None
    day = parse_date(text) if found is None else None
    if day is not None:
        found = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if found is None:
        raise ValueError(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
