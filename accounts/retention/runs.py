"""Going through all that can be over: what would be removed, and removing it.

One run at a time, in bounded batches, each its own transaction that also counts. A run that was killed is gone on with
by the next one, as of the same moment; when all is done it is recorded, once.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from accounts.audit.recording import record_audit
from accounts.models import RetentionRun
from accounts.retention.sweeps import Sweep, all_sweeps, find_sweep
from chatbot_project.lib.db import named_lock

logger = logging.getLogger(__name__)
LOCK = "accounts.retention"
LOCK_SECONDS = 2  # how long a batch waits for what hangs on its rows


class Busy(Exception):
    """Another run is at work."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would remove of one sweep: how many rows, and a fingerprint of which. ``kept`` are over and stay, for
    a hold or a pause."""

    key: str
    count: int
    digest: str
    kept: int


def plan(as_of: datetime) -> list[Planned]:
    """What a run as of that moment removes, if nothing changes until then. Writes nothing."""
    return [_planned(sweep, as_of) for sweep in all_sweeps()]


def _planned(sweep: Sweep, as_of: datetime) -> Planned:
    digest, count = hashlib.sha256(), 0
    for each in sweep.due(as_of).order_by("pk").values_list("pk", flat=True).iterator(chunk_size=10_000):
        digest.update(f"{each}\n".encode())
        count += 1
    return Planned(sweep.key, count, digest.hexdigest()[:16], sweep.kept(as_of))


def apply(as_of: datetime | None = None, *, seconds: float = float("inf")) -> RetentionRun:
    """Go on with the run that is not finished, or begin one as of ``as_of`` (now), and remove all that is over.

    Returns it; unfinished where ``seconds`` were not enough. Raises Busy while another is at work.
    """
    with named_lock(LOCK) as is_mine:
        if not is_mine:
            raise Busy
        run = _unfinished() or RetentionRun.objects.create(as_of=as_of or timezone.now())
        until = monotonic() + seconds
        if all(_go_through(sweep, run.as_of, until, partial(_count, run, sweep.key)) for sweep in all_sweeps()):
            _finish(run)
        run.refresh_from_db()
        return run


def _unfinished() -> RetentionRun | None:
    """Waits for a batch of a killed process that is being committed still: the lock went with its connection."""
    with transaction.atomic():
        return RetentionRun.objects.select_for_update().filter(finished_at=None).first()


def sweep_now(key: str, *, seconds: float) -> int:
    """Remove what is over of one sweep, between the runs that go through all, for so long at most; how many rows went.

    Beside a run, or beside itself, it is harmless: each passes over what the other is at.
    """
    gone: list[int] = []
    _go_through(find_sweep(key), timezone.now(), monotonic() + seconds, gone.append)
    return sum(gone)


def _go_through(sweep: Sweep, as_of: datetime, until: float, count: Callable[[int], None]) -> bool:
    """Remove what is over of one sweep; whether there was time for all of it. ``count`` is told of each batch in the
    transaction that removes it."""
    after = None
    while monotonic() <= until:
        try:
            keys = _batch(sweep, as_of, after, count)
        except (DatabaseError, ProtectedError) as error:
            logger.warning("retention_batch_failed", extra={"sweep": sweep.key, "error": type(error).__name__})
            keys = _one_by_one(sweep, as_of, after, until, count)
        if not keys:
            return True
        after = keys[-1]
    return False


def _batch(sweep: Sweep, as_of: datetime, after: Any, count: Callable[[int], None], *, only: Any = None) -> list[Any]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        keys = sweep.remove_batch(as_of, after, only=only)
        if keys:
            count(len(keys))
    return keys


def _one_by_one(sweep: Sweep, as_of: datetime, after: Any, until: float, count: Callable[[int], None]) -> list[Any]:
    """The next batch, each row by itself, passing over those that cannot go, while there is time; the keys that were
    looked at."""
    rows = sweep.due(as_of).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    looked_at = []
    for key in list(rows.values_list("pk", flat=True)[: sweep.batch]):
        looked_at.append(key)
        try:
            _batch(sweep, as_of, None, count, only=key)
        except (DatabaseError, ProtectedError) as error:
            row = {} if sweep.person == "pk" else {"row": str(key)}  # no person's id in a log
            logger.warning("retention_row_skipped", extra={"sweep": sweep.key, "error": type(error).__name__, **row})
        if monotonic() > until:
            break
    return looked_at


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
    kept: Mapping[str, int] = {sweep.key: sweep.kept(run.as_of) for sweep in all_sweeps()}
    with transaction.atomic():
        run.refresh_from_db()
        run.skipped = {key: count for key, count in left.items() if count}
        run.kept = {key: count for key, count in kept.items() if count}
        run.finished_at = timezone.now()
        run.save(update_fields=["skipped", "kept", "finished_at"])
        details = {
            "as_of": run.as_of.isoformat(), "removed": run.removed, "skipped": run.skipped, "kept": run.kept
        }  # fmt: skip
        record_audit(actor=None, action="retention.applied", obj=run, details=details)
    if run.skipped:
        logger.warning("retention_rows_left", extra={"skipped": run.skipped})
