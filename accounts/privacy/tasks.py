"""Background work on what people asked for by right. Every task may run twice, or die half-way."""

from uuid import UUID

import structlog
from celery import shared_task
from django.db import OperationalError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from accounts import restriction
from accounts.privacy import erasures, exports

log = structlog.get_logger(__name__)


@shared_task(ignore_result=True)
def make_export(request_id: str) -> bool:
    """Make one copy that was asked for. Returns whether it was made here and now."""
    return exports.make_export(UUID(request_id))


@shared_task(ignore_result=True)
def tend_requests() -> int:
    """Make copies that were not begun or whose worker died, remove those that are over, lift pauses whose end was
    announced, and go on with erasures that are due. How many copies were made."""
    made = 0
    for request_id in exports.waiting_exports():
        try:
            made += exports.make_export(request_id)
        except OperationalError:  # somebody wrote at the same time: the next run
            log.warning("export.not_made", request_id=str(request_id), exc_info=True)
    exports.clear_exports()
    restriction.lift_due()
    for request_id in erasures.due_erasures():
        try:
            erasures.run_erasure(request_id)
        except Exception:  # one must not keep the others waiting; the next run goes on with it
            log.exception("erasure.not_done", request_id=str(request_id))
    return made


@shared_task(ignore_result=True)
def erase(request_id: str) -> bool:
    """Do one erasure that is due. Returns whether it was done here and now."""
    return erasures.run_erasure(UUID(request_id))


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
