"""What ended between a backup and its restore stays ended, as far as the database that is replaced can still say it.

Without this a restore would let in again whose account was closed, honour keys that were revoked, give back rights that
were taken, and forget that somebody withdrew a consent, paused processing or asked to be erased. Only what closes is
carried over, never what opens: no password, no key, no role that was given since.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import ApiKey, Consent, DataRequest, User
from accounts.privacy import consents
from accounts.roles import Role
from accounts.services import record_audit
from chatbot_project.backup.databases import connect

CLOSING, ROLE_CHANGED = ("user.suspended", "user.deactivated"), "user.role_changed"
_REASON = "It was so before a backup from before that was restored."
_RANKS = [Role.USER, Role.MODERATOR, Role.ADMIN]


@dataclass(frozen=True, slots=True)
class Endings:
    """What ended after a moment and has not begun again: keys that were revoked, accounts that were closed, roles that
    were changed, who has paused processing when and by whom, erasures that were asked for, consents that were
    withdrawn."""

    keys: list[UUID]
    closed: list[UUID]
    roles: dict[UUID, str]
    pauses: list[tuple[UUID, datetime, bool]]
    erasures: list[dict[str, Any]]
    withdrawn: list[tuple[UUID, str, int, str]]


_KEYS = "SELECT id FROM accounts_apikey WHERE revoked_at > %(since)s"
# People's rows do not say since when; the audit trail does.
_CHANGED = """
EXISTS (
  SELECT FROM accounts_auditidentity i JOIN accounts_auditevent e ON e.subject_pseudonym = i.pseudonym
  WHERE i.person_id = accounts_user.id AND e.at > %(since)s AND e.action = ANY(%(actions)s)
)
"""
_CLOSED = f"SELECT id FROM accounts_user WHERE NOT is_active AND {_CHANGED}"  # noqa: S608 - a constant of this module
_ROLES = f"SELECT id, role FROM accounts_user WHERE {_CHANGED}"  # noqa: S608
_PAUSES = "SELECT id, restricted_at, restricted_by_staff FROM accounts_user WHERE restricted_at > %(since)s"
_ERASURES = """
SELECT id, user_id, created_at, due_at, reopens, language FROM accounts_datarequest
WHERE kind = 'erasure' AND state IN ('waiting', 'running') AND created_at > %(since)s
"""
_CONSENTS = """
SELECT user_id, purpose, version, source FROM (
  SELECT DISTINCT ON (user_id, purpose) * FROM accounts_consent ORDER BY user_id, purpose, id DESC
) last_words WHERE NOT granted AND at > %(since)s
"""


def read_endings(database: str, since: datetime) -> Endings:
    """Of the database that is replaced. Raises psycopg.Error where it cannot say: it is damaged, or of a version that
    kept them otherwise."""
    with connect(database) as session:
        session.read_only = True

        def rows(query: str, *actions: str) -> list[Any]:
            return session.execute(query, {"since": since, "actions": list(actions)}).fetchall()

        fields = ("id", "user_id", "created_at", "due_at", "reopens", "language")
        return Endings(
            keys=[key for (key,) in rows(_KEYS)],
            closed=[person for (person,) in rows(_CLOSED, *CLOSING)],
            roles=dict(rows(_ROLES, ROLE_CHANGED)),
            pauses=rows(_PAUSES),
            erasures=[dict(zip(fields, row, strict=True)) for row in rows(_ERASURES)],
            withdrawn=rows(_CONSENTS),
        )


def sign_everybody_out() -> None:
    """End all sign-ins but guests', who could not come back: which of them ended since the backup nobody can tell."""
    User.objects.filter(is_guest=False).update(auth_epoch=F("auth_epoch") + 1)


def end_again(endings: Endings) -> dict[str, int]:
    """End in the database in use what ``endings`` tells of, all or nothing; how many of each. One active admin remains:
    where none would, admins are left as they are."""
    now = timezone.now()
    with transaction.atomic():
        done = {
            "keys": ApiKey.objects.filter(pk__in=endings.keys, revoked_at=None).update(revoked_at=now),
            **_close(endings),
            "pauses": sum(_pause(*each) for each in endings.pauses),
            "erasures": _ask_again(endings.erasures),
            "consents": sum(_withdraw(*each) for each in endings.withdrawn),
        }
    return {name: count for name, count in done.items() if count}


def _close(endings: Endings) -> dict[str, int]:
    closed = set(endings.closed)
    lowered = {
        person: old
        for person, role in User.objects.exclude(role=Role.USER).values_list("pk", "role")
        if (old := endings.roles.get(person)) and _RANKS.index(Role(old)) < _RANKS.index(Role(role))
    }
    admins = set(User.objects.filter(role=Role.ADMIN, is_active=True).values_list("pk", flat=True))
    if admins and not admins - closed - set(lowered):
        closed, lowered = closed - admins, {pk: role for pk, role in lowered.items() if pk not in admins}
    for user in User.objects.filter(pk__in=lowered):
        details = {"from": user.role, "to": lowered[user.pk]}
        User.objects.filter(pk=user.pk).update(role=lowered[user.pk])
        record_audit(actor=None, action=ROLE_CHANGED, obj=user, reason=_REASON, details=details)
    closing = list(User.objects.filter(pk__in=closed, is_active=True))
    for user in closing:
        User.objects.filter(pk=user.pk).update(is_active=False)
        record_audit(actor=None, action=CLOSING[0], obj=user, reason=_REASON)
    return {"accounts": len(closing), "roles": len(lowered)}


def _pause(person: UUID, at: datetime, by_staff: bool) -> int:
    found = User.objects.filter(pk=person, restricted_at=None)
    return found.update(restricted_at=at, restricted_by_staff=by_staff)


def _ask_again(erasures: list[dict[str, Any]]) -> int:
    """As waiting: one that had begun is in the log of erasures and done already."""
    people = set(User.objects.filter(pk__in=[each["user_id"] for each in erasures]).values_list("pk", flat=True))
    kind = DataRequest.Kind.ERASURE
    open_ones = DataRequest.objects.filter(user__in=people, kind=kind, state__in=DataRequest.OPEN)
    lacking = people - set(open_ones.values_list("user_id", flat=True))
    made = [DataRequest(**each, kind=kind) for each in erasures if each["user_id"] in lacking]
    return len(DataRequest.objects.bulk_create(made))


def _withdraw(person: UUID, purpose: str, version: int, source: str) -> int:
    last = Consent.objects.filter(user=person, purpose=purpose).order_by("-id").first()
    if last is None or not last.granted:
        return 0
    user = User.objects.get(pk=person)
    consents.decide(user=user, purpose=purpose, granted=False, version=version, source=Consent.Source(source))
    return 1
