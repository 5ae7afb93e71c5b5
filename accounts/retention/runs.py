"""Going through all that can be over: what would be removed, and removing it.

One run at a time, in bounded batches, each its own transaction that also counts. A run that was killed is gone on with
by the next one, as of the same moment; when all is done it is recorded, once.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from accounts.audit.recording import record_audit
from accounts.models import RetentionRun
from accounts.retention.sweeps import Sweep, all_sweeps
from chatbot_project.lib.db import session_lock

logger = logging.getLogger(__name__)
LOCK = "accounts.retention"
LOCK_SECONDS = 2  # how long a batch waits for what hangs on its rows


class Busy(Exception):
    """Another run is at work."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would remove of one sweep: how many rows, and a fingerprint of which."""

    key: str
    count: int
    digest: str


def plan(as_of: datetime) -> list[Planned]:
    """What a run as of that moment removes, if nothing changes until then. Writes nothing."""
    return [_planned(sweep.key, sweep.due(as_of).order_by("pk").values_list("pk", flat=True)) for sweep in all_sweeps()]


def _planned(key: str, keys: Any) -> Planned:
    digest, count = hashlib.sha256(), 0
    for each in keys.iterator(chunk_size=10_000):
        digest.update(f"{each}\n".encode())
        count += 1
    return Planned(key, count, digest.hexdigest()[:16])


def apply(as_of: datetime | None = None, *, seconds: float = float("inf")) -> RetentionRun:
    """Go on with the run that is not finished, or begin one as of ``as_of`` (now), and remove all that is over.

    Returns it; unfinished where ``seconds`` were not enough. Raises Busy while another is at work.
    """
    with session_lock(LOCK) as is_mine:
        if not is_mine:
            raise Busy
        run = RetentionRun.objects.filter(finished_at=None).first() or RetentionRun.objects.create(
            as_of=as_of or timezone.now()
        )
        until = monotonic() + seconds
        if all(_go_through(run, sweep, until) for sweep in all_sweeps()):
            _finish(run)
        run.refresh_from_db()
        return run


def _go_through(run: RetentionRun, sweep: Sweep, until: float) -> bool:
    """Remove what is over of one sweep; whether there was time for all of it."""
    after = None
    while monotonic() <= until:
        try:
            keys = _batch(run, sweep, after)
        except (DatabaseError, ProtectedError) as error:
            logger.warning("retention_batch_failed", extra={"sweep": sweep.key, "error": type(error).__name__})
            keys = _one_by_one(run, sweep, after)
        if not keys:
            return True
        after = keys[-1]
    return False


def _batch(run: RetentionRun, sweep: Sweep, after: Any, *, only: Any = None) -> list[Any]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        keys = sweep.remove_batch(run.as_of, after, only=only)
        if keys:
            _count(run, sweep.key, len(keys))
    return keys


def _one_by_one(run: RetentionRun, sweep: Sweep, after: Any) -> list[Any]:
    """The next batch, each row by itself, passing over those that cannot go; the keys that were looked at."""
    rows = sweep.due(run.as_of).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    keys = list(rows.values_list("pk", flat=True)[: sweep.batch])
    for key in keys:
        try:
            _batch(run, sweep, None, only=key)
        except (DatabaseError, ProtectedError) as error:
            logger.warning(
                "retention_row_skipped", extra={"sweep": sweep.key, "row": str(key), "error": type(error).__name__}
            )
    return keys


def _count(run: RetentionRun, key: str, more: int) -> None:
    """In the transaction that removes, so that the sum is right whenever the process dies."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_retentionrun SET removed = "
            "jsonb_set(removed, ARRAY[%(key)s], to_jsonb(COALESCE((removed->>%(key)s)::bigint, 0) + %(more)s)) "
            "WHERE id = %(run)s",
            {"key": key, "more": more, "run": run.pk},
        )


def _finish(run: RetentionRun) -> None:
    left: Mapping[str, int] = {sweep.key: sweep.due(run.as_of).count() for sweep in all_sweeps()}
    with transaction.atomic():
        run.refresh_from_db()
        run.skipped = {key: count for key, count in left.items() if count}
        run.finished_at = timezone.now()
        run.save(update_fields=["skipped", "finished_at"])
        details = {"as_of": run.as_of.isoformat(), "removed": run.removed, "skipped": run.skipped}
        record_audit(actor=None, action="retention.applied", obj=run, details=details)
    if run.skipped:
        logger.warning("retention_rows_left", extra={"skipped": run.skipped})
