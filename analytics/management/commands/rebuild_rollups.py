from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics import rollups


class Command(BaseCommand):
    help = "Add figures up again from what is there and from what was removed. May run at any time, and again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="the first day; from the beginning where not given")
        parser.add_argument("--quiet", action="store_true", help="tell only how many days it were")

    def handle(self, **options: Any) -> None:
        try:
            since = date.fromisoformat(options["since"]) if options["since"] else None
        except ValueError as error:
            raise CommandError(f"--since takes a day as YYYY-MM-DD: {error}.") from error
        shown = None if options["quiet"] else lambda day: self.stdout.write(f"{day}")
        days = rollups.rebuild(since, progress=shown)
        self.stdout.write(f"{days} {'day' if days == 1 else 'days'} added up.")
