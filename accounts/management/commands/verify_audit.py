import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit.checkpoints import Checkpoint, default_file, read_file
from accounts.audit.verifying import verify


class Command(BaseCommand):
    help = (
        "Check that no audit event was changed, moved, taken out or cut off (docs/audit.md). "
        "Ends with 1 and names the first bad place if one was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--checkpoint", type=Path, action="append", default=[],
            help="checkpoints kept elsewhere; may be repeated. VAR_DIR/audit/checkpoints.jsonl if left out",
        )  # fmt: skip

    def handle(self, *args: Any, checkpoint: list[Path], **options: Any) -> None:
        outside: list[Checkpoint] = []
        files = checkpoint if checkpoint or not default_file().exists() else [default_file()]
        for file in files:
            try:
                outside += read_file(file)
            except OSError as error:
                raise CommandError(f"{file}: {error.strerror}") from None
            except ValueError as error:
                raise CommandError(str(error)) from None
        verdict = verify(outside)
        for note in verdict.notes:
            self.stdout.write(f"note: {note}")
        for problem in verdict.problems:
            self.stderr.write(f"BAD: {problem}")
        counts = f"{verdict.links} links, {verdict.waiting} events to be sealed, {verdict.checkpoints} checkpoints"
        if not verdict.is_whole:
            self.stderr.write(f"The audit trail is NOT whole. Good up to link {verdict.links}.")
            sys.exit(1)
        self.stdout.write(f"The audit trail is whole: {counts}, {len(outside)} of them in files.")
