"""``manage.py empty_response_cache``: no reply that a model gave before is given again."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversations.replies.cache.emptying import empty_cache
from personas.models import Persona


class Command(BaseCommand):
    help = "Empties the cache of replies: the next question of each kind is put to a model."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--persona", default="", metavar="SLUG", help="only what this persona said")

    def handle(self, *args: Any, persona: str, **options: Any) -> None:
        """Empty it. Raises CommandError for a persona that there is not."""
        if persona and not Persona.objects.filter(slug=persona).exists():
            raise CommandError(f"There is no persona {persona}.")
        self.stdout.write(f"{empty_cache(actor=None, persona=persona)} replies are not given again.")
