"""Legal holds: what is under one stays, whatever its time. Placed and released by admins, each with a reason.

So does what belongs to a person whose processing is paused (accounts/restriction.py): Article 18 GDPR lets it be stored
and nothing else, and who asked for a pause may need just what would be removed. Erasure, which they ask for, goes on.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.audit.recording import record_audit
from accounts.models import LegalHold, User
from chatbot_project.lib.errors import ApplicationError

_LOCK = 0x6E6F6E6F_686F6C64  # PostgreSQL's advisory lock between what removes and what keeps

_lookups: list[Callable[[UUID], User | None]] = []


def set_owner_lookup(lookup: Callable[[UUID], User | None]) -> None:
    """Say how the owner of a conversation is found: the app that has conversations does."""
    _lookups[:] = [lookup]


def not_held(rows: "QuerySet[Any]", *, person: str, conversation: str = "") -> "QuerySet[Any]":
    """``rows`` without those under a hold. ``person`` and ``conversation`` are the fields that lead there."""
    which = Q(conversation=None) | Q(conversation=OuterRef(conversation)) if conversation else Q(conversation=None)
    if person == "pk":  # a person's own row also stays for each of their conversations
        which = Q()
    return rows.exclude(Exists(LegalHold.objects.filter(which, person=OuterRef(person))))


def not_paused(rows: "QuerySet[Any]", *, person: str) -> "QuerySet[Any]":
    """``rows`` without those of people whose processing is paused."""
    field = "restricted_at" if person == "pk" else f"{person}__restricted_at"
    return rows.exclude(**{f"{field}__isnull": False})


def let_none_in() -> None:
    """Until the caller's transaction ends, no hold or pause comes into force: whoever removes calls this before it asks
    what it may remove. What comes into force waits for that, and keeps all that is there then."""
    _lock("pg_advisory_xact_lock_shared")


def come_into_force() -> None:
    """Wait for what is being removed at this moment. In the transaction that makes the hold or the pause."""
    _lock("pg_advisory_xact_lock")


def _lock(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [_LOCK])


def is_held(person: User) -> bool:
    """Whether anything of ``person`` is under a hold."""
    return LegalHold.objects.filter(person=person).exists()


def hand_over(*, guest: User, user: User) -> None:
    """What was held of a guest is held of the account that takes them over."""
    for hold in LegalHold.objects.filter(person=guest):
        LegalHold.objects.get_or_create(person=user, conversation=hold.conversation)
        hold.delete()


def place(*, actor: User, person: User | None = None, conversation: UUID | None = None, reason: str) -> LegalHold:
    """Keep all data of ``person``, or a ``conversation``, until the hold is released. Recorded with its reason.

    Raises ApplicationError ``forbidden`` (403) for who is no admin, ``not_found`` (404) for an unknown conversation,
    ``held_already`` (409).
    """
    _must_be_admin(actor)
    try:
        with transaction.atomic():
            come_into_force()
            if conversation is not None:
                person = next((lookup(conversation) for lookup in _lookups), None)
            if person is None:
                raise ApplicationError("not_found", _("There is no such thing here."), status=404)
            hold = LegalHold.objects.create(person=person, conversation=conversation)
            _record(actor, "legal_hold.placed", hold, reason)
    except IntegrityError as error:
        raise ApplicationError("held_already", _("It is held already."), status=409) from error
    return hold


def release(*, actor: User, hold: LegalHold, reason: str) -> None:
    """End a hold; what is over is removed by the next run. Recorded with its reason. Raises ``forbidden`` (403)."""
    _must_be_admin(actor)
    with transaction.atomic():
        _record(actor, "legal_hold.released", hold, reason)
        hold.delete()


def _must_be_admin(actor: User) -> None:
    if not actor.has_perm("accounts.change_legalhold"):
        raise ApplicationError("forbidden", _("You may not place or release legal holds."), status=403)


def _record(actor: User, action: str, hold: LegalHold, reason: str) -> None:
    details = {"conversation": str(hold.conversation)} if hold.conversation else {}
    record_audit(actor=actor, action=action, obj=hold, subject=hold.person, reason=reason, details=details)
