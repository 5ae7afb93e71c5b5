from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from personas.files import write_personas
from personas.models import Persona


class Command(BaseCommand):
    help = (
        "Write the personas in force as YAML, for load_personas. Drafts, past versions and archived ones are left out."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="where to write; the standard output if left out")

    def handle(self, *args: Any, file: Path | None, **options: Any) -> None:
        personas = Persona.objects.filter(archived_at=None, published__isnull=False).with_published()
        text = write_personas(personas)
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
