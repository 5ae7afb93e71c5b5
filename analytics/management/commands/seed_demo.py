import time
from argparse import ArgumentParser
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from analytics.demo import seeding


class Command(BaseCommand):
    help = (
        "Make up a history of conversations, so that dashboards can be tried: demo people at demo.invalid, personas "
        "and FAQs named (demo), seen by staff alone. The same seed and day give the same history."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=90, help="how far back it goes (90)")
        parser.add_argument("--users", type=int, default=500, help="how many people (500)")
        parser.add_argument("--seed", type=int, default=1, help="draws another history (1)")
        parser.add_argument("--remove", action="store_true", help="remove all of it, and nothing else")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--force", action="store_true", help="also in production")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where it will not do."""
        if not (settings.IS_LOCAL or settings.DEBUG or options["force"]):
            raise CommandError("This is a production installation: its figures would be made up. --force does it.")
        if not (1 <= options["days"] <= 1000 and 1 <= options["users"] <= 20_000):
            raise CommandError("--days takes 1 to 1000, --users 1 to 20000.")
        begun = time.monotonic()
        try:
            done = self._remove(**options) if options["remove"] else self._seed(**options)
        except seeding.NotPossible as error:
            raise CommandError(str(error)) from error
        if done:
            self.stdout.write(f"{time.monotonic() - begun:.1f} s")

    def _seed(self, *, days: int, users: int, seed: int, yes: bool, **options: Any) -> bool:
        if seeding.is_there():
            self.stdout.write("Demo data is there already; --remove takes it away.")
            return False
        if not self._agreed(f"Make up {days} days of {users} people?", yes):
            return False
        zone = ZoneInfo(getattr(settings, "REPORT_TIME_ZONE", settings.TIME_ZONE))
        written = seeding.seed(days=days, users=users, seed=seed, now=timezone.now(), zone=zone)
        for model, count in written.items():
            self.stdout.write(f"{count:8}  {model._meta.verbose_name_plural}")
        return True

    def _remove(self, *, yes: bool, **options: Any) -> bool:
        if not seeding.is_there():
            self.stdout.write("There is no demo data.")
            return False
        if not self._agreed("Remove all demo data?", yes):
            return False
        people, kept = seeding.remove()
        self.stdout.write(f"Removed: {people} demo people and all that was theirs.")
        for slug in kept:
            self.stdout.write(f"Archived, as others have talked with it: {slug}")
        return True

    def _agreed(self, question: str, yes: bool) -> bool:
        return yes or input(f"{question} [y/N] ").strip().lower() == "y"
