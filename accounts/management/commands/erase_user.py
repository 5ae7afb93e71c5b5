"""``manage.py erase_user``: shows what erasing somebody would do, or does it."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User, normalise_address
from accounts.privacy import erasures
from accounts.privacy.erasing import plan
from accounts.retention.holds import is_held
from chatbot_project.lib.errors import ApplicationError

LONGEST = 600.0  # seconds; what is left then, the timetable goes on with


class Command(BaseCommand):
    help = (
        "Erases a person: --dry-run shows what would go, --apply does it at once and prints the receipt, --grace "
        "closes the account and leaves them the time in which they can cancel it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="the person's address")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--dry-run", action="store_true", help="change nothing, show what would go")
        what.add_argument("--apply", action="store_true", help="erase at once: nothing brings it back")
        what.add_argument("--grace", action="store_true", help="as if they had asked for it themselves")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it. Raises CommandError where there is nobody with that address, or the last admin has it."""
        user = User.objects.filter(email=normalise_address(options["email"])).first()
        if user is None:
            raise CommandError("Nobody has this address.")
        if options["dry_run"]:
            for each in plan(user):
                self.stdout.write(f"{each.erasure:10} {each.rows:8}  {each.label}")
            return
        try:
            request = erasures.request_erasure(user=user, at_once=options["apply"], by_operator=True)
        except ApplicationError as error:
            raise CommandError(error.detail) from error
        if options["grace"]:
            self.stdout.write(f"The account is closed, and will be erased on {request.due_at:%Y-%m-%d %H:%M} UTC.")
            return
        done = erasures.complete_erasure(request.pk, seconds=LONGEST)
        if done is None:
            why = "It is under a legal hold" if is_held(user) else "Another process is at it"
            raise CommandError(f"{why}: the account is closed, and the rest is done in the background.")
        self.stdout.write(json.dumps(done.receipt, indent=1))
