"""``manage.py reset_second_factor EMAIL --reason TEXT``: for the admin who lost the app and every recovery code."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import authenticators
from accounts.models import User, normalise_address
from chatbot_project.lib.errors import ApplicationError


class Command(BaseCommand):
    help = "Take the second factor of a person away; they set it up anew. Recorded, and told to them by mail."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--reason", required=True, help="Why; it is recorded.")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=normalise_address(options["email"])).first()
        if user is None:
            raise CommandError("Nobody has this address.")
        try:
            authenticators.reset(actor=None, user=user, reason=options["reason"])
        except ApplicationError as error:
            raise CommandError(error.detail) from error
        self.stdout.write("Their password alone signs in now, until they set the second factor up again.")
