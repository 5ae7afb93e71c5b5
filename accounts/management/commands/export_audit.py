from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit.checkpoints import make_checkpoint, read_file, write_missing
from accounts.audit.exporting import Format, export_events
from accounts.models import AuditEvent
from accounts.services import record_audit


class Command(BaseCommand):
    help = (
        "Write the audit trail, oldest first, as JSON Lines or CSV, or its signed checkpoints for verify_audit "
        "(docs/audit.md). Recorded in the trail."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="where to write; - for the standard output")
        parser.add_argument("--format", choices=["jsonl", "csv"], help="by the file's name if left out, else jsonl")
        parser.add_argument(
            "--names", action="store_true", help="with names and reasons, which no erasure takes out of the file"
        )
        parser.add_argument(
            "--checkpoints", action="store_true", help="sign how far the chain has come, and write all checkpoints only"
        )

    def handle(
        self, *args: Any, file: Path, format: str | None, names: bool, checkpoints: bool, **options: Any
    ) -> None:
        try:
            if checkpoints:
                make_checkpoint()
                count = write_missing(file)
                self.stdout.write(f"{count} checkpoints added, {len(read_file(file))} in all.")
                return
            is_csv = format == "csv" or (format is None and file.suffix.lower() == ".csv")
            if str(file) == "-":
                self._export(lambda part: self.stdout.write(part, ending=""), is_csv, names)
            else:
                with file.open("w", encoding="utf-8", newline="") as out:
                    self._export(out.write, is_csv, names)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
        except ValueError as error:
            raise CommandError(str(error)) from None

    def _export(self, write: Callable[[str], Any], is_csv: bool, names: bool) -> None:
        events = (AuditEvent.objects.with_people() if names else AuditEvent.objects.all()).order_by("pk")
        kind: Format = "csv" if is_csv else "jsonl"
        for part in export_events(events.iterator(chunk_size=1000), format=kind, names=names):
            write(part)
        record_audit(actor=None, action="audit.exported", obj=AuditEvent, details={"format": kind, "names": names})
