from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatbot_project.lib.errors import ApplicationError
from faqs.transfer import MAX_BYTES, ImportReport, Outcome, RowReport, import_faqs


class Command(BaseCommand):
    help = (
        "Create and change FAQs as a CSV or JSON file says (docs/faqs.md). FAQs that the file does not name stay as "
        "they are. A mistake in any row changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="CSV or JSON, as written by export_faqs")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument("--publish", action="store_true", help="publish the rows that name no status")
        parser.add_argument("--create-categories", action="store_true", help="make categories that are not there")

    def handle(
        self, *args: Any, file: Path, dry_run: bool, publish: bool, create_categories: bool, **options: Any
    ) -> None:
        try:
            report = import_faqs(
                data=_read(file), actor=None, dry_run=dry_run, publish=publish, create_categories=create_categories
            )
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
        except ApplicationError as error:
            raise CommandError(f"{file}: {error.detail}") from None
        self._tell(report, every_row=dry_run)
        if report.refused:
            raise CommandError("Nothing was changed: correct the rows that are refused.")
        if dry_run:
            self.stdout.write("Nothing was changed: this was a dry run.")

    def _tell(self, report: ImportReport, *, every_row: bool) -> None:
        for path in report.categories:
            self.stdout.write(f"new category: {path}")
        for row in report.rows if every_row else report.refused:
            self.stdout.write(_said(row))
        self.stdout.write(", ".join(f"{count} {outcome}" for outcome, count in report.counts.items()))


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)  # what is larger is refused anyway


def _said(row: RowReport) -> str:
    if row.outcome is Outcome.REFUSED:
        return f"line {row.line}: refused: {row.reason}"
    fields = f" ({', '.join(row.fields)})" if row.fields else ""
    return f"line {row.line}: {row.outcome}{fields}: {row.question}"
