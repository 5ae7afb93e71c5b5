"""Copies of a person's data: asked for, made in the background, fetched once.

A copy is made in one transaction, which reads one state of the database and stores all of the copy's encrypted pieces:
a worker that dies half-way leaves nothing behind, and the next run makes it whole.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.core import signing
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone, translation

from accounts.audit.recording import record_audit
from accounts.models import DataRequest, ExportChunk, OutgoingMail, User
from accounts.privacy.archive import archive
from accounts.privacy.sealing import pieces_of, seal, unseal
from accounts.retention.policies import Class, kept_since, period_of

log = structlog.get_logger(__name__)

State, Kind = DataRequest.State, DataRequest.Kind
#: How long a copy that was fetched stays, for the transfer to end.
FETCHING = timedelta(hours=1)
_SALT = "accounts.privacy.export"
_LOCK = 0x70726976  # "priv": the first of two keys, a space of its own among advisory locks


def request_export(*, user: User) -> DataRequest:
    """Have a copy made; the open request where there is one. One that is ready and was not fetched is open still."""
    try:
        with transaction.atomic():
            open_request = _open(user)
            if open_request is not None:
                return open_request
            language = user.language or translation.get_language() or ""
            made = DataRequest.objects.create(user=user, kind=Kind.EXPORT, language=language)
            record_audit(actor=user, action="export.requested", obj=made, subject=user)
            transaction.on_commit(partial(_queue, made.pk))
            return made
    except IntegrityError:  # asked twice in this very moment
        found = _open(user)
        if found is None:
            raise
        return found


def make_export(request_id: UUID) -> bool:
    """Make the copy that was asked for. False where there is nothing to make, or another worker is at it. May be run
    any number of times."""
    with transaction.atomic():
        if not connection.savepoint_ids:  # not within a transaction of somebody else's
            _read_one_state()
        if not _lock(request_id):
            return False
        request = (
            DataRequest.objects.select_related("user")
            .filter(pk=request_id, kind=Kind.EXPORT, state=State.WAITING)
            .first()
        )
        if request is None:
            return False
        now = timezone.now()
        with translation.override(request.user.language or request.language or settings.LANGUAGE_CODE):
            size = _store_pieces(request, now)
        request.state, request.finished_at, request.size = State.READY, now, size
        request.expires_at = now + period_of(Class.EXPORT)
        request.save(update_fields=["state", "finished_at", "expires_at", "size"])
        record_audit(actor=None, action="export.made", obj=request, subject=request.user, details={"bytes": size})
        if request.user.email:
            from accounts.services import queue_mail  # which leads here by way of the letters

            queue_mail(kind=OutgoingMail.Kind.EXPORT_READY, to=request.user.email, user=request.user)
    log.info("export.made", request_id=str(request_id), bytes=size)
    return True


def ready_export(user: User) -> DataRequest | None:
    """The copy of ``user`` that can be fetched."""
    return _live(user).first()


def export_token(request: DataRequest) -> str:
    """The last part of the link to a copy. Whose it is shows only whoever is signed in."""
    return signing.dumps(str(request.pk), salt=_SALT)


def find_export(*, user: User, token: str) -> DataRequest | None:
    """The copy that a link leads to: ``None`` for a forged one, another's, and one that was used or has expired."""
    try:
        request_id = UUID(signing.loads(token, salt=_SALT))
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        return None
    found = ready_export(user)
    return found if found is not None and found.pk == request_id else None


class Fetching(Iterator[bytes]):
    """The bytes of a copy that is being fetched, piece by piece. Closed before its end, as when a connection breaks, it
    gives the copy back, to be fetched again until it would have expired."""

    def __init__(self, user: User, request: DataRequest, count: int) -> None:
        self._user, self._request, self._count, self._next = user, request, count, 0

    def __next__(self) -> bytes:
        number = self._next
        self._next = min(number + 1, self._count + 1)  # beyond the count once more is asked for: the last was sent
        if number >= self._count:
            raise StopIteration
        sealed = ExportChunk.objects.values_list("data", flat=True).get(request=self._request, number=number)
        return unseal(self._request.pk, number, bytes(sealed), is_last=number == self._count - 1)

    def close(self) -> None:
        """Say that no more is read."""
        if self._next > self._count:
            return
        self._next = self._count + 1
        used = DataRequest.objects.filter(pk=self._request.pk, state=State.USED, expires_at__gt=timezone.now())
        with suppress(IntegrityError), transaction.atomic():  # they have asked for another meanwhile
            if used.update(state=State.READY, expires_at=self._request.expires_at):
                record_audit(actor=self._user, action="export.cut_off", obj=self._request, subject=self._user)


def take_export(*, user: User, request_id: UUID) -> Fetching | None:
    """Use the copy up and give its bytes; ``None`` where it is not there (any more) or another's. Of any number of
    tries at once, one gets it."""
    with transaction.atomic():
        now = timezone.now()
        request = _live(user).filter(pk=request_id).select_for_update().first()
        if request is None:
            return None
        DataRequest.objects.filter(pk=request.pk).update(state=State.USED, expires_at=now + FETCHING)
        record_audit(actor=user, action="export.fetched", obj=request, subject=user)
        return Fetching(user, request, ExportChunk.objects.filter(request=request).count())


def waiting_exports() -> list[UUID]:
    """What is still to be made, the oldest first."""
    waiting = DataRequest.objects.filter(kind=Kind.EXPORT, state=State.WAITING).order_by("due_at")
    return list(waiting.values_list("pk", flat=True)[:100])


def clear_exports() -> int:
    """Remove copies that were fetched or have expired; how many. The requests stay, as a record."""
    now = timezone.now()
    over = DataRequest.objects.filter(kind=Kind.EXPORT).filter(
        Q(expires_at__lte=now) | Q(finished_at__lte=now - period_of(Class.EXPORT))
    )
    over.filter(state=State.READY).update(state=State.EXPIRED)
    kept = over.filter(chunks__isnull=False).distinct().values_list("pk", flat=True)
    removed = 0
    for pk in list(kept[:1000]):
        ExportChunk.objects.filter(request=pk).delete()
        removed += 1
    return removed


def _live(user: User) -> QuerySet[DataRequest]:
    """The copies that can be fetched: neither past their own time nor past what the policy says by now."""
    found = DataRequest.objects.filter(user=user, kind=Kind.EXPORT, state=State.READY, expires_at__gt=timezone.now())
    return found.filter(finished_at__gt=kept_since(Class.EXPORT))


def _open(user: User) -> DataRequest | None:
    found = DataRequest.objects.filter(user=user, kind=Kind.EXPORT, state__in=DataRequest.OPEN)
    found.filter(state=State.READY).exclude(pk__in=_live(user).values("pk")).update(state=State.EXPIRED)
    return found.first()


def _store_pieces(request: DataRequest, now: datetime) -> int:
    size = 0
    for number, (piece, is_last) in enumerate(pieces_of(archive(request.user, at=now))):
        sealed = seal(request.pk, number, piece, is_last=is_last)
        ExportChunk.objects.create(request=request, number=number, data=sealed)
        size += len(piece)
    return size


def _read_one_state() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _lock(request_id: UUID) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, str(request_id)])
        return bool(cursor.fetchone()[0])


def _queue(request_id: UUID) -> None:
    from accounts.privacy.tasks import make_export_soon  # which leads here

    make_export_soon(request_id)
