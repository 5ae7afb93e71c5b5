"""``manage.py replay_erasures``: after a backup was restored, erases again whom the log of erasures knows of."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.privacy import erasure_log, erasures


class Command(BaseCommand):
    help = (
        "Erases again, after a backup of the database was restored, everybody who was erased since it was made. Run it "
        "before serving: /readyz refuses until then. --check only says whether it is needed, by its exit code."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="change nothing; fail where erasures are to be replayed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay, or raise CommandError where ``--check`` finds something to replay or the log cannot be read."""
        try:
            if options["check"]:
                if waiting := len(erasure_log.unreplayed()):
                    raise CommandError(f"{waiting} to be replayed: run manage.py replay_erasures")
                return
            for line, people in erasures.replay():
                self.stdout.write(f"{line.id}: {people} erased again.")
        except erasure_log.LogUnreadable as error:
            raise CommandError(str(error)) from error
