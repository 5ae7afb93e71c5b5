"""``manage.py prepare``: the database as this version needs it, before any of its processes starts."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from chatbot_project.embedded.bootstrap import has_knowledge, has_personas, migrate, pending_migrations
from chatbot_project.lib.db import named_lock
from chatbot_project.lib.postgres.base import MIGRATION_LOCK_SECONDS


class Command(BaseCommand):
    help = (
        "Brings the database's tables to this version and, where there are none, loads the starter personas and FAQs. "
        "Run it once before the processes of a new version start; again, it changes nothing. Fails while erasures are "
        "to be done again, as after another tool restored a backup: run replay_erasures then."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where another one is at it, a table that has to be changed is in use all the time, or
        erasures are to be replayed."""
        with named_lock("prepare") as is_mine:
            if not is_mine:
                raise CommandError("Another `manage.py prepare` is at it. Wait for its end, then run this again.")
            self._prepare()

    def _prepare(self) -> None:
        if pending := pending_migrations():
            try:
                migrate()
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
                raise CommandError(
                    f"Somebody used a table for more than {MIGRATION_LOCK_SECONDS:g} s, mostly by a long query. "
                    "A migration gave up and has changed nothing: run this again, it goes on from there."
                ) from error
            self.stdout.write(f"{pending} migrations applied.")
        # Compose starts nothing where this fails: as deploy/k8s/base/served.yaml, on this version's tables.
        call_command("replay_erasures", check=True)
        base = Path(settings.BASE_DIR)
        if not has_personas():
            call_command("load_personas", str(base / "personas" / "starters.yaml"), stdout=self.stdout)
        if not has_knowledge():
            starters = str(base / "faqs" / "starters.json")
            call_command("import_faqs", starters, publish=True, create_categories=True, stdout=self.stdout)
        self.stdout.write("The database is as this version needs it.")
