"""Keyset paging of the conversation list: a cursor names the last line shown, so that new ones shift nothing."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from chatbot_project.lib.errors import ApplicationError
from conversations.models import Conversation, ConversationQuerySet


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in the order of the list; ``cursor`` leads to the next page and is empty on the last one."""

    conversations: list[Conversation]
    cursor: str


def read_page(found: ConversationQuerySet, *, cursor: str, size: int) -> Page:
    """The ``size`` lines behind ``cursor`` ("" is the start) of ``found``, which is in the list's order. One query.

    Raises ApplicationError ``bad_cursor`` where it is not one of ours.
    """
    if cursor:
        found = found.filter(_behind(*_decode(cursor)))
    rows = list(found.select_related("persona_version__persona")[: size + 1])
    last = rows[size - 1] if len(rows) > size else None
    return Page(rows[:size], _encode(last) if last else "")


def _behind(pinned: bool, updated_at: datetime, pk: UUID) -> Q:
    """What stands after this line: pinned first, then the newest activity, then the id."""
    older = Q(updated_at__lt=updated_at) | Q(updated_at=updated_at, id__lt=pk)
    within = Q(pinned=pinned) & older
    return within | Q(pinned=False) if pinned else within


def _encode(line: Conversation) -> str:
    words = f"{int(line.pinned)} {line.updated_at.isoformat()} {line.pk.hex}"
    return base64.urlsafe_b64encode(words.encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[bool, datetime, UUID]:
    try:
        words = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        pinned, updated_at, pk = words.split(" ")
        when = datetime.fromisoformat(updated_at)
        if pinned not in ("0", "1") or when.tzinfo is None:
            raise ValueError(words)
        return pinned == "1", when, UUID(pk)
    except (ValueError, OverflowError, binascii.Error):
        raise ApplicationError("bad_cursor", _("That page of the list does not exist.")) from None
