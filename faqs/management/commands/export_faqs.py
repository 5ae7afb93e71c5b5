from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from faqs.transfer import export_faqs


class Command(BaseCommand):
    help = "Write all FAQs, drafts and archived ones too, as CSV or JSON for import_faqs (docs/faqs.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="where to write; the standard output if left out")
        parser.add_argument("--format", choices=["csv", "json"], help="by the file's name if left out, else csv")

    def handle(self, *args: Any, file: Path | None, format: str | None, **options: Any) -> None:
        is_json = format == "json" or (format is None and file is not None and file.suffix.lower() == ".json")
        text = export_faqs(format="json" if is_json else "csv")
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            file.write_bytes(text.encode())  # line ends as they are, whatever the system's
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
