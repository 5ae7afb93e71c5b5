"""How staff see the figures of one person: only with a reason, for a while, and the record of it comes first. Everyone
sees their own."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core import signing
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.text import clean_text
from conversations.moderation import ACCESS, MIN_REASON
from conversations.refusals import record_refusal

PERMISSION = "analytics.view_person"
READ, REFUSED = "figures.read", "figures.refused"
SALT = "analytics.person.access"


@dataclass(frozen=True, slots=True)
class Opened:
    """``access`` opens other days of the same person until ``ends_at``."""

    access: str
    ends_at: datetime


def find_person(actor: User, person_id: UUID) -> User:
    """The person of that id, where they are ``actor`` or ``actor`` may ask for their figures. Raises NotFound for
    everybody else, as if there were no such person; that somebody reached for one is recorded."""
    if person_id == actor.pk:
        return actor
    person = User.objects.filter(pk=person_id).first()
    if person is not None and actor.has_perm(PERMISSION):
        return person
    if person is not None:
        record_refusal(actor, person, action=REFUSED)
    raise NotFound


def open_person(*, actor: User, person: User, reason: str) -> Opened:
    """Record that ``actor`` looks at the figures of ``person``, and why; the person is shown it.

    Raises ApplicationError ``not_allowed``, ``reason_too_short``.
    """
    reason = " ".join(clean_text(reason).split())[:500]
    if len(reason) < MIN_REASON:
        detail = _("Give a reason of at least %(count)d characters.") % {"count": MIN_REASON}
        raise ApplicationError("reason_too_short", detail)
    return _open(actor, person, {"actor": str(actor.pk), "person": str(person.pk), "reason": reason, "at": _now()})


def open_again(*, actor: User, person: User, access: str) -> Opened:
    """The same for the reason that was given before. Recorded.

    Raises ApplicationError ``access_ended`` where that was 15 minutes ago, or not by this person or of that one;
    ``not_allowed``.
    """
    try:
        given = signing.loads(access, salt=SALT, max_age=ACCESS)
    except signing.BadSignature:
        given = {}
    whose = given.get("actor"), given.get("person")
    if whose != (str(actor.pk), str(person.pk)) or _ends_at(given) <= timezone.now():
        detail = _("Your access to this person's figures has ended. Give a reason anew.")
        raise ApplicationError("access_ended", detail, status=409)
    return _open(actor, person, given)


def _now() -> int:
    return int(time.time())


def _ends_at(given: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(given["at"], UTC) + ACCESS


def _open(actor: User, person: User, given: dict[str, Any]) -> Opened:
    if not actor.has_perm(PERMISSION):
        raise ApplicationError("not_allowed", _("You may not see the figures of others."), status=403)
    record_audit(actor=actor, action=READ, obj=person, reason=given["reason"], details={"role": str(actor.role)})
    return Opened(signing.dumps(given, salt=SALT), _ends_at(given))
