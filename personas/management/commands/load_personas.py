from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from personas.files import BadPersonaFile, read_personas
from personas.loading import Loaded, load_personas


class Command(BaseCommand):
    help = (
        "Publish the personas of a YAML file. A persona whose content is in force already gets no new version; "
        "personas that the file does not name stay as they are. A mistake in the file changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="as written by dump_personas; see personas/starters.yaml")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, file: Path, dry_run: bool, **options: Any) -> None:
        try:
            specs = read_personas(file.read_bytes())
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
        except BadPersonaFile as error:
            raise CommandError("\n".join(f"{file}:{line}" for line in str(error).splitlines())) from None
        for loaded in load_personas(specs=specs, actor=None, dry_run=dry_run):
            self.stdout.write(f"{loaded.slug}: {_said(loaded)}")
        if dry_run:
            self.stdout.write("Nothing was changed: this was a dry run.")


def _said(loaded: Loaded) -> str:
    if loaded.is_new:
        return "created"
    return "unchanged" if loaded.number is None else f"version {loaded.number} published"
