"""The trail as people may read it: with names where they are known still, and reasons where their key is there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, User


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One event. ``actor`` is a username; "" is the system, somebody unknown, or somebody who was forgotten.

    ``role`` is the actor's when it happened, where it was recorded. ``own`` says that the person asked about did it.
    """

    id: int
    at: datetime
    action: str
    actor: str
    role: str
    own: bool
    object_type: str
    object_id: str
    reason: str
    details: dict[str, Any]


def events_about(person: User, *, actions: "list[str] | None" = None, most: int | None = None) -> list[AuditEntry]:
    """What was done to ``person`` or by them, newest first; nothing once they are forgotten. One query.

    ``actions`` names those wanted, ``most`` bounds how many come back.
    """
    events = _events_of(person)
    if actions is not None:
        events = events.filter(action__in=actions)
    return [_entry(event, person) for event in events[:most]]


def _events_of(person: User) -> "models.QuerySet[AuditEvent]":
    events = AuditEvent.objects.with_people().filter(Q(subject__person=person) | Q(actor__person=person))
    return events.order_by("-id")


def _entry(event: AuditEvent, person: User) -> AuditEntry:
    actor = event.actor.person if event.actor else None
    own = actor == person
    return AuditEntry(
        id=event.pk,
        at=event.at,
        action=event.action,
        actor=actor.username if actor else "",
        role=str(event.details.get("role", "")),
        own=own,
        object_type=event.object_type,
        object_id=event.object_id,
        reason=reason_of(event),
        details=event.details,
    )
