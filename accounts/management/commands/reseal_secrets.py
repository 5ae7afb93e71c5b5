"""``manage.py reseal_secrets``: after SECRET_KEY was changed, so that the old one can be thrown away."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import authenticators


class Command(BaseCommand):
    help = "Encrypt what lies in the database under the present SECRET_KEY. Then SECRET_KEY_FALLBACKS can be emptied."

    def handle(self, *args: Any, **options: Any) -> None:
        resealed, unreadable = authenticators.reseal_all()
        self.stdout.write(f"{resealed} secrets of authenticator apps are under the present SECRET_KEY.")
        if unreadable:
            people = ", ".join(str(device.user_id) for device in unreadable)
            raise CommandError(
                f"{len(unreadable)} are under a key that is neither SECRET_KEY nor in SECRET_KEY_FALLBACKS, of: "
                f"{people}. Put that key back, or reset their second factor."
            )
