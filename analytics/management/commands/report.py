import os
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from analytics.models import Report
from analytics.period import Period
from analytics.reports.files import Format, file_of
from analytics.reports.making import compute_report, make_report
from analytics.reports.periods import REPORTED, last_over, one_before, period_of
from personas.models import Persona


class Command(BaseCommand):
    help = (
        "Write the report of a day, week or month. One that is over and added up is kept, and is the same whenever it "
        "is written again; of one that is not, how things stand (final: false)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--period", choices=[str(grain) for grain in REPORTED], required=True)
        parser.add_argument("--date", metavar="YYYY-MM-DD", help="a day in it; the last one that is over if left out")
        parser.add_argument("--format", choices=[str(each) for each in Format], default=str(Format.JSON))
        parser.add_argument("--output", type=Path, metavar="FILE", help="where to write; else the standard output")
        parser.add_argument("--persona", metavar="SLUG", help="its figures alone")
        parser.add_argument("--language", choices=[code for code, _name in settings.LANGUAGES])

    def handle(self, **options: Any) -> None:
        """Raises CommandError."""
        grain = options["period"]
        period = self._period(grain, options["date"])
        persona = self._persona(options["persona"])
        report = make_report(grain, period, persona) or compute_report(grain, period, persona)
        file = file_of(report, Format(options["format"]), options["language"] or settings.LANGUAGE_CODE)
        if options["output"] is None:
            self._print(file.content)
        else:
            self._write(options["output"], file.content)
            self.stdout.write(f"{options['output']}: {_told(report, period)}")

    def _period(self, grain: str, day: str | None) -> Period:
        if not day:
            return last_over(grain, timezone.now())
        try:
            period = period_of(grain, date.fromisoformat(day))
            _before, start = one_before(grain, period).bounds[0], period.start  # as far as dates go
        except (ValueError, OverflowError) as error:
            raise CommandError(f"--date takes a day as YYYY-MM-DD: {error}.") from error
        if start > timezone.now():
            raise CommandError(f"{period.first} has not begun yet.")
        return period

    def _persona(self, slug: str | None) -> Persona | None:
        if not slug:
            return None
        persona = Persona.objects.with_published().filter(slug=slug).first()
        if persona is None:
            raise CommandError(f"There is no persona {slug!r}.")
        return persona

    def _print(self, content: bytes) -> None:
        """PDF is no text: it goes out as it is, where the standard output is a real one."""
        out = getattr(self.stdout._out, "buffer", None)
        if out is not None:
            out.write(content)
            out.flush()
        elif content.startswith(b"%PDF"):
            raise CommandError("A PDF needs --output.")
        else:
            self.stdout.write(content.decode("utf-8"), ending="")

    def _write(self, path: Path, content: bytes) -> None:
        """All of it or nothing: what stood there stays until the new file is whole."""
        try:
            with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as new:
                try:
                    new.write(content)
                    new.close()
                    os.chmod(new.name, 0o644)
                    os.replace(new.name, path)
                except BaseException:
                    os.unlink(new.name)
                    raise
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None


def _told(report: Report, period: Period) -> str:
    state = "kept" if report.pk else "not over or not added up yet"
    return f"{period.first} to {period.last}, {state}"
