"""``manage.py measure_near_questions FILE``: which questions in other words the cache of replies takes for the same."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversations.replies.cache.measuring import measure
from faqs.evaluation_files import BadEvaluationFile, read_rows
from faqs.languages import LANGUAGES

THRESHOLDS = (0.85, 0.9, 0.93, 0.95, 0.97, 0.99)


class Command(BaseCommand):
    help = (
        "How many questions in other words would get the same reply (RESPONSE_CACHE_NEAR), and how many wrongly, by a "
        "CSV file in UTF-8 with the columns text and label (or category): questions with the same label mean the same. "
        "Nothing is stored."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--language", default="en", choices=LANGUAGES)
        parser.add_argument("--least", type=float, nargs="+", default=THRESHOLDS, metavar="COSINE")
        parser.add_argument("--wrong", action="store_true", help="print the pairs whose labels differ as well")

    def handle(self, *args: Any, file: Path, language: str, least: list[float], wrong: bool, **options: Any) -> None:
        """Print a line for each threshold. Raises CommandError for a file that will not do."""
        try:
            rows = read_rows(file)
        except BadEvaluationFile as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{len(rows)} questions, {len({row.label for row in rows})} labels")
        self.stdout.write("cosine  pairs  questions  wrong | cosine alone: pairs  wrong")
        for each in measure(rows, language, least):
            pairs, mistaken = each.cosine_alone
            self.stdout.write(
                f"{each.least:6.2f}  {each.pairs:5}  {each.questions:9}  {len(each.wrong):5} | {pairs:19}  {mistaken:5}"
            )
            for pair in each.wrong if wrong else ():
                self.stdout.write(f"        {pair[0]} | {pair[1]}")
