"""Erasures: asked for, with a time in which they can be cancelled, and then done.

From the moment it is asked for, nothing signs in to the account; the right address and password, or the mailed link,
lead to where it can be cancelled. Once it has begun nothing stops it: a run that dies is completed by the next.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from time import monotonic, sleep
from uuid import UUID

import structlog
from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import services
from accounts.audit.recording import record_audit
from accounts.models import DataRequest, ErasureEntry, LegalHold, OutgoingMail, User
from accounts.privacy import erasure_log
from accounts.privacy.erasing import Held, erase_everywhere, erase_row, plan, refuse_if_held
from accounts.privacy.registry import Erasure
from accounts.retention.holds import is_held, let_none_in
from chatbot_project.lib.db import named_lock

log = structlog.get_logger(__name__)

State, Kind = DataRequest.State, DataRequest.Kind
_SALT = "accounts.privacy.erasure"


def request_erasure(*, user: User, at_once: bool = False, by_operator: bool = False) -> DataRequest:
    """Close the account, and have it erased after ERASURE_GRACE_DAYS; a guest's at once, as nobody could come back to
    it. The open request where there is one; ``at_once`` then hastens it. Recorded as the person's own wish, unless
    it comes ``by_operator``, from the command line, which then does it itself (``complete_erasure``).

    Raises ApplicationError ``last_admin`` (409).
    """
    days = 0 if at_once or user.is_guest else settings.ERASURE_GRACE_DAYS
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        now = timezone.now()
        found = open_erasure(user)
        if found is not None:
            if days == 0 and found.state == State.WAITING:
                found.due_at = min(found.due_at, now)
                found.save(update_fields=["due_at"])
            return found
        due_at = now + timedelta(days=days)
        made = DataRequest.objects.create(user=user, kind=Kind.ERASURE, due_at=due_at, reopens=user.is_active)
        services.deactivate(user=user, by_operator=by_operator)
        actor = None if by_operator else user
        record_audit(actor=actor, action="erasure.requested", obj=made, subject=user, details={"days": days})
        if user.email and days:
            services.queue_mail(kind=OutgoingMail.Kind.ERASURE_BEGUN, to=user.email, user=user)
        if not days and not by_operator:
            transaction.on_commit(partial(_queue, made.pk))
    return made


def open_erasure(user: User) -> DataRequest | None:
    """The erasure of ``user`` that is asked for or has begun."""
    return DataRequest.objects.filter(user=user, kind=Kind.ERASURE, state__in=DataRequest.OPEN).first()


def cancel_erasure(request_id: UUID) -> User | None:
    """Open the account again, unless the person is suspended. ``None`` where there is nothing to cancel (any more). API
    keys stay revoked."""
    with transaction.atomic():
        found = (
            DataRequest.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(pk=request_id, kind=Kind.ERASURE, state=State.WAITING)
            .first()
        )
        if found is None:
            return None
        found.state, found.finished_at = State.CANCELLED, timezone.now()
        found.save(update_fields=["state", "finished_at"])
        user = found.user
        if found.reopens:
            user.is_active = True
            user.save(update_fields=["is_active"])
        record_audit(actor=user, action="erasure.cancelled", obj=found, subject=user)
    return user


def cancel_token(request: DataRequest) -> str:
    """The last part of the link by which an erasure is cancelled."""
    return signing.dumps(str(request.pk), salt=_SALT)


def read_cancel_token(token: str) -> DataRequest | None:
    """The erasure that a link cancels; ``None`` for a forged one and where there is nothing to cancel (any more)."""
    try:
        request_id = UUID(signing.loads(token, salt=_SALT))
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        return None
    return DataRequest.objects.filter(pk=request_id, kind=Kind.ERASURE, state=State.WAITING).first()


def due_erasures() -> list[UUID]:
    """Those to be begun or gone on with, the oldest first. What is under a legal hold waits until it is released: the
    account is closed meanwhile."""
    found = _due().filter(user__legal_holds=None)
    return list(found.order_by("due_at").values_list("pk", flat=True)[:100])


def note_held() -> int:
    """Note which of those that are due a legal hold keeps waiting, and log each once; forget it of those that can go
    on. How many are newly held."""
    _due().exclude(held_since=None).filter(user__legal_holds=None).update(held_since=None)
    waiting = _due().filter(held_since=None).exclude(user__legal_holds=None)
    return sum(_note_held(request_id) for request_id in waiting.values_list("pk", flat=True)[:100])


def run_erasure(request_id: UUID, *, seconds: float = float("inf")) -> bool:
    """Do an erasure that is due, or go on with one, for so long at most. False where there is none, another process is
    at it, a legal hold keeps it, or the time was not enough.

    Raises what keeps it from going on, such as RedisError: it is left as it is, and the next run goes on.
    """
    with named_lock(f"erasure {request_id}") as is_mine:
        user = _begin(request_id) if is_mine else None
        if user is None:
            return False
        try:
            return _finish(user, ErasureEntry.objects.get(pk=request_id), monotonic() + seconds)
        except Held:  # placed while it ran
            _note_held(request_id)
            return False


def complete_erasure(request_id: UUID, *, seconds: float) -> ErasureEntry | None:
    """Do an erasure that is due, or wait for the process that is at it, for so long at most; its entry. ``None`` where
    a legal hold keeps it, or it is not done by then.

    Raises as ``run_erasure``.
    """
    until = monotonic() + seconds
    while True:
        run_erasure(request_id, seconds=until - monotonic())
        if done := ErasureEntry.objects.filter(pk=request_id, done_at__isnull=False).first():
            return done
        if monotonic() > until or DataRequest.objects.filter(pk=request_id, user__legal_holds__isnull=False).exists():
            return None
        sleep(0.2)


def erase_again(user: User) -> None:
    """Erase somebody who was erased before the database was restored. May be run again."""
    with transaction.atomic():
        LegalHold.objects.filter(person=user).delete()  # it had been released before they were erased
        User.objects.filter(pk=user.pk).update(is_active=False, auth_epoch=user.auth_epoch + 1)
    for _step in erase_everywhere(user):
        pass
    with transaction.atomic():
        erase_row(user)


def replay() -> Iterator[tuple[erasure_log.Line, int]]:
    """Do again what the log knows of and the database does not; each with how many people it found. Raises as
    ``run_erasure``, and LogUnreadable."""
    for line in erasure_log.unreplayed():
        people = list(erasure_log.people_of(line))
        for user in people:
            erase_again(user)
        now = timezone.now()
        ErasureEntry.objects.get_or_create(
            pk=line.id,
            defaults={
                "person_hash": line.person,
                "address_hash": line.address,
                "begun_at": line.begun_at,
                "done_at": now,
            },
        )
        record_audit(
            actor=None, action="erasure.replayed", obj=ErasureEntry(pk=line.id), details={"people": len(people)}
        )
        yield line, len(people)


# --- Parts


def _begin(request_id: UUID) -> User | None:
    """From here on nothing cancels it: in the log before anything is gone."""
    with transaction.atomic():
        found = (
            DataRequest.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(pk=request_id, kind=Kind.ERASURE, due_at__lte=timezone.now())
            .filter(state__in=(State.WAITING, State.RUNNING))
            .first()
        )
        if found is None:
            return None
        let_none_in()
        if is_held(found.user):
            return None
        entry = erasure_log.note_begun(found.pk, found.user)
        if found.held_since is not None:
            found.held_since = None
            found.save(update_fields=["held_since"])
        if found.state == State.WAITING:
            entry.receipt = {
                "erased": {each.label: each.rows for each in plan(found.user) if each.erasure != Erasure.KEEP}
            }
            entry.save(update_fields=["receipt"])
            found.state = State.RUNNING
            found.save(update_fields=["state"])
            User.objects.filter(pk=found.user_id).update(is_active=False, auth_epoch=found.user.auth_epoch + 1)
    return found.user


def _due() -> QuerySet[DataRequest]:
    open_ones = DataRequest.objects.filter(kind=Kind.ERASURE, state__in=(State.WAITING, State.RUNNING))
    return open_ones.filter(due_at__lte=timezone.now())


def _note_held(request_id: UUID) -> bool:
    """Whether it was not noted yet."""
    is_new = DataRequest.objects.filter(pk=request_id, held_since=None).update(held_since=timezone.now())
    if is_new:
        log.warning("erasure.waits_for_hold", request_id=str(request_id))
    return bool(is_new)


def _finish(user: User, entry: ErasureEntry, until: float) -> bool:
    """Whether there was time for all of it."""
    for _step in erase_everywhere(user):
        if monotonic() > until:
            return False
    now = timezone.now()
    with transaction.atomic():
        refuse_if_held(user)
        counts = (entry.receipt or {}).get("erased", {})  # as they were when it began
        entry.receipt = erasure_log.sign_receipt(entry, counts=counts, at=now)
        entry.done_at = now
        entry.save(update_fields=["receipt", "done_at"])
        # The last that is known of them goes with this mail; where mail is only written to a log, none is.
        if user.email and not settings.EMAIL_BACKEND.endswith("console.EmailBackend"):
            services.queue_mail(kind=OutgoingMail.Kind.ERASURE_DONE, to=user.email)
            OutgoingMail.objects.filter(to_address=user.email, user=None).update(language=user.language)
        erase_row(user)
        record_audit(actor=None, action="erasure.done", obj=entry, details={"rows": sum(counts.values())})
    log.info("erasure.done", erasure_id=str(entry.pk))
    return True


def _queue(request_id: UUID) -> None:
    from accounts.privacy.tasks import erase_soon  # which leads here

    erase_soon(request_id)
