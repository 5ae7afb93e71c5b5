"""``manage.py make_exports``: makes the copies that people have asked for, as the background work does."""

from typing import Any

from django.core.management.base import BaseCommand

from accounts.privacy.tasks import tend_requests


class Command(BaseCommand):
    help = "Makes copies of people's data that wait to be made, and removes those that are over."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{tend_requests()} made.")
