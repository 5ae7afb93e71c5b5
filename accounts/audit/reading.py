"""The trail as people may read it: with names where they are known still, and reasons where their key is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, AuditIdentity, User


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


def events_about(
    person: User, *, actions: Sequence[str] | None = None, others: bool = False, most: int | None = None
) -> list[AuditEntry]:
    """What was done to ``person`` or by them, newest first; nothing once they are forgotten. Two queries.

    ``actions`` names those wanted; ``others`` leaves out what they did themselves; ``most`` bounds how many come back.
    """
    pseudonym = AuditIdentity.objects.filter(person=person).values_list("pseudonym", flat=True).first()
    if pseudonym is None:
        return []
    events = AuditEvent.objects.with_people().order_by("-id")
    if others:
        events = events.filter(subject=pseudonym).exclude(actor=pseudonym)
    else:
        events = events.filter(Q(subject=pseudonym) | Q(actor=pseudonym))
    if actions is not None:
        events = events.filter(action__in=actions)
    return [_entry(event, person) for event in events[:most]]


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
