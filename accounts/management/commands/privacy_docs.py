"""``manage.py privacy_docs``: writes docs/privacy.md from what the apps declare."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.privacy.record import record_page


class Command(BaseCommand):
    help = "Writes docs/privacy.md, the record of processing, from what the apps declare; --check only compares it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail where the page is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the page, or raise CommandError where ``--check`` finds it out of date."""
        path, text = settings.BASE_DIR / "docs" / "privacy.md", record_page()
        if not options["check"]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            raise CommandError("docs/privacy.md is out of date: run manage.py privacy_docs")
