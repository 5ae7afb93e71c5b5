"""Measure how often mood is told right, on sentences labelled by hand."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.moods.accuracy import measure, read_labelled

HELD_OUT = Path(__file__).parents[2] / "tests" / "moods"


class Command(BaseCommand):
    help = (
        "How often the word lists tell the mood of a sentence right. FILES are named <language>.tsv and hold lines of "
        "label (negative, neutral, positive), tab and sentence; by default those of the repository that the lists were "
        "not written from."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE")

    def handle(self, *args: Any, files: list[Path], **options: Any) -> None:
        for path in files or sorted(HELD_OUT.glob("??.tsv")):
            try:
                seen = measure(read_labelled(path), path.name.partition(".")[0])
            except (OSError, ValueError) as error:
                raise CommandError(str(error)) from error
            self.stdout.write(
                f"{path.name}: {seen.right} of {seen.sentences} right; {seen.left_alone} of {seen.without_feeling} "
                f"without a feeling left alone; {seen.found} of {seen.with_feeling} feelings found; "
                f"{seen.found} of {seen.told} that were told are right"
            )
