"""What can be over, and how it is removed. Each app declares its own; a run goes through all of them in this order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.db import models, transaction

from accounts.models import BrowserSession, ExportChunk, RefreshFamily, SignUp, User
from accounts.retention.holds import not_held
from accounts.retention.policies import Class, days_of
from accounts.signals import people_leaving
from accounts.tokens import SIGN_UP_SECONDS

Rows = models.QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows of one kind whose time can be over.

    ``expired`` gives those that are over at a moment; ``person`` and ``conversation`` are the fields by which a legal
    hold finds them ("" for rows that are of nobody); ``remove`` removes rows that are locked, and says how many rows of
    the sweep went with what hung on them. ``batch`` bounds one transaction.
    """

    key: str
    expired: Callable[[datetime], Rows]
    remove: Callable[[Sequence[Any]], object]
    person: str = ""
    conversation: str = ""
    batch: int = 500

    def due(self, as_of: datetime) -> Rows:
        """What is over at ``as_of`` and not held."""
        rows = self.expired(as_of)
        return not_held(rows, person=self.person, conversation=self.conversation) if self.person else rows

    def remove_batch(self, as_of: datetime, after: Any = None, *, only: Any = None) -> list[Any]:
        """Remove the first of those behind ``after``, or ``only`` one, that nobody is at work on; their keys, in order.

        In the caller's transaction. Rows that are locked by others are passed over.
        """
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
    return list(_sweeps.values())


def sweep_now(key: str, as_of: datetime, *, batches: int) -> int:
    """Remove what is over of one sweep, in a few batches, between the runs that go through all; how many rows went."""
    gone, after = 0, None
    for _batch in range(batches):
        with transaction.atomic():
            keys = _sweeps[key].remove_batch(as_of, after)
        gone += len(keys)
        if not keys:
            break
        after = keys[-1]
    return gone


def _idle_guests(as_of: datetime) -> Rows:
    return User.objects.idle_guests(as_of - timedelta(days=days_of(Class.ACCOUNT)))


def _remove_guests(keys: Sequence[Any]) -> None:
    people_leaving.send(sender=User, people=keys)
    User.objects.filter(pk__in=keys).delete()


def _old_log(as_of: datetime) -> Rows:
    days = days_of(Class.RECORD)
    rows = LogEntry.objects.filter(action_time__lt=as_of - timedelta(days=days))
    return rows if days else rows.none()


def _remover(model: type[models.Model]) -> Callable[[Sequence[Any]], object]:
    return lambda keys: model._default_manager.filter(pk__in=keys).delete()


declare_sweep(
    Sweep("guests", _idle_guests, _remove_guests, person="pk", batch=100),
    Sweep(
        "sign_ups",
        lambda as_of: SignUp.objects.filter(created_at__lt=as_of - timedelta(seconds=SIGN_UP_SECONDS)),
        _remover(SignUp),
    ),
    Sweep(
        "sessions",
        lambda as_of: BrowserSession.objects.filter(expire_date__lt=as_of),
        _remover(BrowserSession),
    ),
    # One that was revoked stays until its tokens would have run out: until then it is known that it was.
    Sweep(
        "program_sign_ins", lambda as_of: RefreshFamily.objects.filter(expires_at__lt=as_of), _remover(RefreshFamily)
    ),
    # Copies of their data that people asked for; the request stays, as a record.
    Sweep(
        "exports",
        lambda as_of: ExportChunk.objects.filter(request__expires_at__lt=as_of),
        _remover(ExportChunk),
        batch=50,
    ),
    Sweep("admin_log", _old_log, _remover(LogEntry), person="user"),
)
