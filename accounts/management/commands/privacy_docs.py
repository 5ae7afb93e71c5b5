"""``manage.py privacy_docs``: writes docs/privacy.md and docs/export.schema.json from what the apps declare."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.privacy.archive import json_schema
from accounts.privacy.record import record_page


class Command(BaseCommand):
    help = "Writes docs/privacy.md and docs/export.schema.json from what the apps declare; --check only compares them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files, or raise CommandError where ``--check`` finds one out of date."""
        schema = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
        for name, text in {"privacy.md": record_page(), "export.schema.json": schema}.items():
            path = settings.BASE_DIR / "docs" / name
            if not options["check"]:
                path.write_text(text)
            elif not path.exists() or path.read_text() != text:
                raise CommandError(f"docs/{name} is out of date: run manage.py privacy_docs")
