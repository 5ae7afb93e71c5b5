"""Maintenance: pages and new questions rest, replies that run end. One row of the database says so.

Each web process looks at it every LOOK_SECONDS (``keep_looking``); whoever asks here is answered from memory. While the
database is away, as it may be for the very sake of the maintenance, what was read last holds.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone
from django.utils.translation import gettext as _

from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
USUAL_WAIT = 300  # seconds after which to come back where no end is told
MOST_WAIT = 3600
_SELECT = "SELECT message, until FROM chatbot_project_maintenance WHERE is_on"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """That it is on: what staff say of it ("" for nothing), and when it is to end."""

    message: str = ""
    until: datetime | None = None

    @property
    def wait(self) -> int:
        """Seconds after which to come back: until the end that was told, at least half a minute and at most an hour."""
        if self.until is None:
            return USUAL_WAIT
        return max(30, min(MOST_WAIT, ceil((self.until - timezone.now()).total_seconds())))


_current: Maintenance | None = None


def current() -> Maintenance | None:
    """The maintenance that is on, as read last. No I/O."""
    return _current


def read() -> Maintenance | None:
    """Look at the database, and remember. One query; raises Django's database errors."""
    global _current
    with connection.cursor() as cursor:
        cursor.execute(_SELECT)
        row = cursor.fetchone()
    _current = None if row is None else Maintenance(*row)
    return _current


async def keep_looking() -> None:
    """Look every LOOK_SECONDS, for ever; run it as a task and cancel it."""
    while True:
        try:
            await run_db(read)
        except (DatabaseError, InterfaceError) as error:
            log.warning("maintenance.not_read", error=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


def refusal(maintenance: Maintenance) -> ApplicationError:
    """What is answered meanwhile."""
    detail = maintenance.message or _("The service is being worked on. Nothing is lost: come back in a while.")
    return ApplicationError("maintenance", detail, status=503, retry_after=maintenance.wait)


def refuse_if_on(user: Any) -> None:
    """Raise ApplicationError ``maintenance`` while it is on; staff go on, to see whether all is well again."""
    if _current is not None and not getattr(user, "is_staff", False):
        raise refusal(_current)
