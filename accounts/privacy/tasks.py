"""Background work on what people asked for by right. Every task may run twice, or die half-way."""

from time import monotonic
from uuid import UUID

import structlog
from celery import shared_task
from django.db import OperationalError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from accounts import restriction
from accounts.privacy import erasures, exports

log = structlog.get_logger(__name__)

TENDING_SECONDS = 240
ERASING_SECONDS = 480
HANDED_OVER_SECONDS = 600  # waiting for a worker; tend_requests looks every minute


@shared_task(ignore_result=True, expires=HANDED_OVER_SECONDS)
def make_export(request_id: str) -> bool:
    """Make one copy that was asked for. Returns whether it was made here and now."""
    return exports.make_export(UUID(request_id))


@shared_task(ignore_result=True)
def tend_requests() -> int:
    """Make copies that were not begun or whose worker died, remove those that are over, lift pauses whose end was
    announced, and go on with erasures that are due. How many copies were made.

    Takes four minutes and one copy at most; what is left is the next run's. Raises what went wrong with a copy or an
    erasure, once all others had their turn, so that it is told as a failure.
    """
    until = monotonic() + TENDING_SECONDS
    made, failed = _make_copies(until)
    exports.clear_exports()
    restriction.lift_due()
    erasures.note_held()
    failed += _go_on_with_erasures(until)
    if failed:
        raise failed[0]
    return made


def _make_copies(until: float) -> tuple[int, list[Exception]]:
    """How many were made, and what went wrong."""
    made, failed = 0, list[Exception]()
    for request_id in exports.waiting_exports():
        if monotonic() > until:
            break
        try:
            made += exports.make_export(request_id)
        except OperationalError:  # somebody wrote at the same time: the next run
            log.warning("export.not_made", request_id=str(request_id), exc_info=True)
        except Exception as error:  # one must keep neither the others nor erasures waiting; the next run tries again
            log.exception("export.not_made", request_id=str(request_id))
            failed.append(error)
    return made, failed


def _go_on_with_erasures(until: float) -> list[Exception]:
    """What went wrong."""
    failed: list[Exception] = []
    for request_id in erasures.due_erasures():
        try:
            erasures.run_erasure(request_id, seconds=until - monotonic())
        except Exception as error:  # one must not keep the others waiting; the next run goes on with it
            log.exception("erasure.not_done", request_id=str(request_id))
            failed.append(error)
        if monotonic() > until:
            break
    return failed


@shared_task(ignore_result=True, expires=HANDED_OVER_SECONDS)
def erase(request_id: str) -> bool:
    """Do one erasure that is due, for eight minutes at most. Returns whether it was done here and now."""
    return erasures.run_erasure(UUID(request_id), seconds=ERASING_SECONDS)


def erase_soon(request_id: UUID) -> None:
    """Hand it to a worker; where the broker is away, ``tend_requests`` finds it."""
    try:
        erase.apply_async((str(request_id),), retry=False)
    except (KombuError, RedisError, OSError):
        log.warning("erasure.left_for_later", request_id=str(request_id))


def make_export_soon(request_id: UUID) -> None:
    """Hand it to a worker; where the broker is away, ``tend_requests`` finds it."""
    try:
        make_export.apply_async((str(request_id),), retry=False)
    except (KombuError, RedisError, OSError):
        log.warning("export.left_for_later", request_id=str(request_id))
