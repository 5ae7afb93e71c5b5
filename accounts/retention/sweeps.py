"""What can be over, and how it is removed. Each app declares its own; a run goes through all of them in this order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.db import models

from accounts.models import (
    BrowserSession,
    DataRequest,
    ExportChunk,
    OutgoingMail,
    RefreshFamily,
    SignUp,
    User,
)
from accounts.retention.holds import let_none_in, not_held, not_paused
from accounts.retention.policies import Class, over_since
from accounts.roles import Role
from accounts.signals import people_leaving

Rows = models.QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows of one kind whose time can be over.

    ``policy`` says how long; ``expired`` gives those that are over at a moment; ``person`` and ``conversation`` are the
    fields by which a legal hold finds them ("" for rows that are of nobody); ``remove`` removes rows that are locked,
    and says how many rows of the sweep went with what hung on them. ``batch`` bounds one transaction.
    """

    key: str
    policy: str
    expired: Callable[[datetime], Rows]
    remove: Callable[[Sequence[Any]], object]
    person: str = ""
    conversation: str = ""
    batch: int = 500

    def due(self, as_of: datetime) -> Rows:
        """What is over at ``as_of``, not held, and of nobody whose processing is paused."""
        rows = self.expired(as_of)
        if not self.person:
            return rows
        return not_paused(not_held(rows, person=self.person, conversation=self.conversation), person=self.person)

    def kept(self, as_of: datetime) -> int:
        """How many rows are over at ``as_of`` and stay for a hold or a pause."""
        return self.expired(as_of).count() - self.due(as_of).count() if self.person else 0

    def remove_batch(self, as_of: datetime, after: Any = None, *, only: Any = None) -> list[Any]:
        """Remove the first of those behind ``after``, or ``only`` one, that nobody is at work on; their keys, in order.

        In the caller's transaction. Rows that are locked by others are passed over.
        """
        let_none_in()
        rows = self.due(as_of).order_by("pk").select_for_update(skip_locked=True, of=("self",))
        if after is not None:
            rows = rows.filter(pk__gt=after)
        if only is not None:
            rows = rows.filter(pk=only)
        keys = list(rows.values_list("pk", flat=True)[: self.batch])
        if keys:
            self.remove(keys)
        return keys


_sweeps: dict[str, Sweep] = {}


def declare_sweep(*sweeps: Sweep) -> None:
    """Add to what a run goes through. Raises ValueError for a key that is there already."""
    for sweep in sweeps:
        if sweep.key in _sweeps:
            raise ValueError(f"{sweep.key} is declared twice")
        _sweeps[sweep.key] = sweep


def all_sweeps() -> list[Sweep]:
    """All of them, people themselves last: what goes with a person was counted before, as what it is."""
    return sorted(_sweeps.values(), key=lambda sweep: sweep.person == "pk")


def find_sweep(key: str) -> Sweep:
    return _sweeps[key]


def older(rows: Rows, field: str, policy: str, as_of: datetime) -> Rows:
    """Those of ``rows`` whose ``field`` lies further back than the policy's days; none where they are kept for good."""
    since = over_since(policy, as_of)
    return rows.none() if since is None else rows.filter(**{f"{field}__lt": since})


def _idle_guests(as_of: datetime) -> Rows:
    since = over_since(Class.ACCOUNT, as_of)
    return _not_being_erased(User.objects.none() if since is None else User.objects.idle_guests(since))


def _unconfirmed(as_of: datetime) -> Rows:
    """Accounts that never showed whose their address is. One that did, however late, is none; nor are staff."""
    people = User.objects.filter(is_guest=False, role=Role.USER, email_verified_at=None)
    return _not_being_erased(older(people, "last_seen_at", Class.UNCONFIRMED, as_of))


def _not_being_erased(people: Rows) -> Rows:
    """An erasure takes them itself, and leaves a receipt."""
    begun = DataRequest.objects.filter(
        user=models.OuterRef("pk"), kind=DataRequest.Kind.ERASURE, state__in=DataRequest.OPEN
    )
    return people.exclude(models.Exists(begun))


def _remove_people(keys: Sequence[Any]) -> None:
    people_leaving.send(sender=User, people=keys)
    User.objects.filter(pk__in=keys).delete()


def _ended_or_unused(model: type[models.Model], end: str, used: str, policy: str) -> Callable[[datetime], Rows]:
    """Rows whose ``end`` has come, or that were last used, or made, too long ago."""

    def expired(as_of: datetime) -> Rows:
        since = over_since(policy, as_of)
        long_ago = models.Q(pk=None) if since is None else models.Q(**{f"{used}__lt": since})
        return model._default_manager.filter(models.Q(**{f"{end}__lt": as_of}) | long_ago)

    return expired


def _remover(model: type[models.Model]) -> Callable[[Sequence[Any]], object]:
    return lambda keys: model._default_manager.filter(pk__in=keys).delete()


declare_sweep(
    Sweep(
        "mails",
        Class.MAIL,
        lambda as_of: older(OutgoingMail.objects.all(), "created_at", Class.MAIL, as_of),
        _remover(OutgoingMail),
    ),
    Sweep(
        "sign_ups",
        Class.SIGN_UP,
        lambda as_of: older(SignUp.objects.all(), "created_at", Class.SIGN_UP, as_of),
        _remover(SignUp),
    ),
    Sweep(
        "sessions",
        Class.SESSION,
        _ended_or_unused(BrowserSession, "expire_date", "last_seen_at", Class.SESSION),
        _remover(BrowserSession),
    ),
    # One that was revoked stays until its tokens would have run out: until then it is known that it was.
    Sweep(
        "program_sign_ins",
        Class.SESSION,
        _ended_or_unused(RefreshFamily, "expires_at", "last_used_at", Class.SESSION),
        _remover(RefreshFamily),
    ),
    # Copies of their data that people asked for; the request stays, as a record.
    Sweep(
        "exports",
        Class.EXPORT,
        _ended_or_unused(ExportChunk, "request__expires_at", "request__finished_at", Class.EXPORT),
        _remover(ExportChunk),
        batch=50,
    ),
    Sweep(
        "admin_log",
        Class.RECORD,
        lambda as_of: older(LogEntry.objects.all(), "action_time", Class.RECORD, as_of),
        _remover(LogEntry),
        person="user",
    ),
    Sweep("guests", Class.ACCOUNT, _idle_guests, _remove_people, person="pk", batch=100),
    Sweep("unconfirmed_accounts", Class.UNCONFIRMED, _unconfirmed, _remove_people, person="pk", batch=100),
)
