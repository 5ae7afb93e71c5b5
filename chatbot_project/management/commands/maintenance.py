"""``manage.py maintenance on|off``: pages rest and say so, running replies end, staff still come in."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.services import record_audit
from chatbot_project.lib.maintenance import LOOK_SECONDS
from chatbot_project.models import Maintenance

LONGEST = 300  # characters of a message


class Command(BaseCommand):
    help = (
        "Begins or ends maintenance: pages answer 503 with a page that says so, new questions are refused, replies "
        "that run end. Staff still come in. Without “on” or “off” it tells how things are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("state", nargs="?", choices=["on", "off"])
        parser.add_argument("--until", default="", help="when it is to end: 2026-12-01T18:00, or minutes from now")
        parser.add_argument("--message", default="", help="what people are told, instead of a general sentence")

    def handle(self, *args: Any, **options: Any) -> None:
        """Store it. Raises CommandError for a time that is none or is past."""
        if options["state"] is None:
            self.stdout.write(told(Maintenance.objects.filter(is_on=True).first()))
            return
        is_on = options["state"] == "on"
        values: dict[str, Any] = {"is_on": is_on, "until": None, "message": ""}
        if is_on:
            values |= {"until": when(options["until"]), "message": options["message"].strip()}
        if len(values["message"]) > LONGEST:
            raise CommandError(f"--message may have {LONGEST} characters.")
        with transaction.atomic():
            row, _made = Maintenance.objects.update_or_create(pk=1, defaults=values)
            record_audit(actor=None, action=f"maintenance.{options['state']}", obj=row, reason=row.message)
        self.stdout.write(told(row if is_on else None))
        self.stdout.write(f"Every web process knows within {LOOK_SECONDS:g} s.")


def when(text: str) -> datetime | None:
    """A time of the server's zone, or so many minutes from now; ``None`` for no text. Raises CommandError."""
    if not text:
        return None
    try:
        at = timezone.now() + timedelta(minutes=int(text)) if text.isdecimal() else parse_datetime(text)
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise CommandError("--until is a time such as 2026-12-01T18:00, or minutes from now.")
    at = timezone.make_aware(at) if timezone.is_naive(at) else at
    if at <= timezone.now():
        raise CommandError("--until is past.")
    return at


def told(maintenance: Maintenance | None) -> str:
    if maintenance is None:
        return "Maintenance is off."
    until = f" until {maintenance.until:%Y-%m-%d %H:%M %Z}" if maintenance.until else ""
    return f"Maintenance is on{until}.{f' People are told: {maintenance.message}' if maintenance.message else ''}"
