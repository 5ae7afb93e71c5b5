"""How an event gets into the trail: one small insert, in the transaction of what it tells of."""

import json
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import models, transaction
from django.utils import timezone

from accounts.audit.reasons import seal_reason
from accounts.models import AuditEvent, User
from chatbot_project.lib.db import fetch_prepared

# Pseudonyms are looked up in the insert itself. Whoever has none (any more) leaves nothing behind.
_INSERT = """
INSERT INTO accounts_auditevent
  (at, actor_pseudonym, subject_pseudonym, action, object_type, object_id, sealed_reason, details)
SELECT %(at)s, actor.pseudonym, subject.pseudonym, %(action)s::text, %(object_type)s::text,
       COALESCE(%(object_id)s::text, subject.pseudonym::text, ''), %(sealed_reason)s, %(details)s::jsonb
FROM (VALUES (%(actor)s::uuid, %(subject)s::uuid)) AS people (actor, subject)
LEFT JOIN accounts_auditidentity actor ON actor.person_id = people.actor
LEFT JOIN accounts_auditidentity subject ON subject.person_id = people.subject
"""
_UNLESS_RECENT = """
WHERE NOT EXISTS (
  SELECT FROM accounts_auditevent recent WHERE recent.actor_pseudonym = actor.pseudonym
  AND recent.action = %(action)s::text AND recent.object_type = %(object_type)s::text
  AND recent.object_id = COALESCE(%(object_id)s::text, subject.pseudonym::text, '') AND recent.at > %(since)s
)
"""
INSERT = f"{_INSERT} RETURNING id, actor_pseudonym, subject_pseudonym, object_id"
INSERT_UNLESS_RECENT = _INSERT + _UNLESS_RECENT
READ_AGAIN = timedelta(hours=1)
KEYS = "SELECT person_id, key FROM accounts_auditidentity WHERE person_id = ANY(%s)"


def record_audit(
    *,
    actor: User | None,
    action: str,
    obj: models.Model | type[models.Model],
    reason: str = "",
    details: dict[str, Any] | None = None,
    subject: User | None = None,
) -> AuditEvent:
    """Add one event, in the caller's transaction: it stands if, and only if, what it tells of does.

    ``actor`` is ``None`` for what the system, or somebody unknown, does. ``action`` is a stable name such as
    ``user.suspended``. ``obj`` is what was acted on, or a class for all or none of its rows. ``subject`` is the person
    whom the event concerns, who is told of it and whose erasure makes it tell of nobody: where ``obj`` is a person,
    that one. ``details`` holds ids, names of fields and counts: never what people wrote, an address or a name, as
    nothing of it can be erased. ``reason`` is for free text; only an event about nobody keeps it in clear. One query,
    with a reason two.
    """
    values = _values(actor, action, obj, reason, details, subject)
    ((pk, actor_pseudonym, subject_pseudonym, object_id),) = fetch_prepared(INSERT, values)
    event = AuditEvent(
        id=pk,
        at=values["at"],
        actor_id=actor_pseudonym,
        subject_id=subject_pseudonym,
        action=action,
        object_type=values["object_type"],
        object_id=object_id,
        sealed_reason=values["sealed_reason"],
        details=json.loads(values["details"]),
    )
    event._state.adding = False
    return event


def record_audit_once(*, within: timedelta, actor: User, action: str, obj: models.Model | type[models.Model]) -> None:
    """As ``record_audit``, but not where the same was recorded of ``actor`` less than ``within`` ago, however many ask
    at once: the lock makes them take turns."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        same = AuditEvent.objects.by(actor).on(obj).filter(action=action, at__gt=timezone.now() - within)
        if not same.exists():
            record_audit(actor=actor, action=action, obj=obj)


def record_reading(*, actor: User, action: str, obj: models.Model | type[models.Model]) -> None:
    """That staff read what is others', in which role; once an hour for each kind and object, however often programs
    ask. Several at once may each be recorded. One query."""
    values = _values(actor, action, obj, "", {"role": str(actor.role)}, None)
    fetch_prepared(INSERT_UNLESS_RECENT, values | {"since": values["at"] - READ_AGAIN})


def _values(
    actor: User | None,
    action: str,
    obj: models.Model | type[models.Model],
    reason: str,
    details: dict[str, Any] | None,
    subject: User | None,
) -> dict[str, Any]:
    if isinstance(obj, User):
        subject = subject or obj
    details = dict(details or {})
    keys = _keys(actor, subject) if reason else _Keys(None, None)
    if reason and actor is None and subject is None:
        details["reason"] = reason
    return {
        "at": timezone.now(),
        "actor": actor.pk if actor else None,
        "subject": subject.pk if subject else None,
        "action": action,
        "object_type": obj._meta.label_lower,
        "object_id": _object_id(obj),
        "sealed_reason": seal_reason(reason, subject=keys.subject, actor=keys.actor),
        "details": json.dumps(details),
    }


class _Keys(NamedTuple):
    actor: bytes | None
    subject: bytes | None


def _keys(actor: User | None, subject: User | None) -> _Keys:
    people = [person.pk for person in (actor, subject) if person is not None]
    found = dict(fetch_prepared(KEYS, [people]))

    def key(person: User | None) -> bytes | None:
        return bytes(found[person.pk]) if person is not None and person.pk in found else None

    return _Keys(key(actor), key(subject))


def _object_id(obj: models.Model | type[models.Model]) -> str | None:
    """``None`` for a person, whose pseudonym stands for them."""
    if isinstance(obj, type):
        return ""
    return None if isinstance(obj, User) else str(obj.pk)
