"""The chain: each event's hash covers the one before it, so that no event can be changed, moved or taken out unseen.

Events are put into the chain after their transactions have committed, by one sealer at a time. Were they chained as
they are recorded, every transaction would wait for the commit of the one before (docs/adr/0009-audit-chain.md).
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AuditEvent, AuditLink, AuditWaiting

BEGINNING = bytes(32)  # stands before the first link
SEALER_LOCK = 0x6E6F6E6F_61756474  # PostgreSQL's advisory lock of whoever seals
BATCH = 1000


def payload(number: int, event: AuditEvent) -> dict[str, Any]:
    """What the hash of link ``number`` covers, beside the hash before it."""
    return {
        "number": number,
        "id": event.pk,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": str(event.actor_id) if event.actor_id else None,
        "subject": str(event.subject_id) if event.subject_id else None,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "reason": base64.b64encode(bytes(event.sealed_reason)).decode(),
        "details": event.details,
    }


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def link_hash(before: bytes, number: int, event: AuditEvent) -> bytes:
    """SHA-256 over the hash before and the canonical payload."""
    return hashlib.sha256(before + canonical(payload(number, event))).digest()


def seal(*, batches: int = 100) -> int:
    """Put what waits into the chain, in the order of ids, 1000 events a transaction. Returns how many went in.

    Does nothing while another process seals. An event whose transaction commits late is put in when it does.
    """
    total = 0
    for _ in range(batches):
        count = _seal_batch()
        total += count
        if count < BATCH:
            break
    return total


def _seal_batch() -> int:
    with transaction.atomic():
        if not _take_lock():
            return 0
        waiting = list(AuditWaiting.objects.order_by("event_id").values_list("event_id", flat=True)[:BATCH])
        # One that waits and is gone was removed by force: it goes on waiting, and verify_audit names it.
        events = list(AuditEvent.objects.filter(pk__in=waiting).order_by("pk"))
        _append(events)
        AuditWaiting.objects.filter(pk__in=[event.pk for event in events]).delete()
    return len(events)


def _take_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEALER_LOCK])
        return bool(cursor.fetchone()[0])


def _append(events: Sequence[AuditEvent]) -> None:
    last = AuditLink.objects.order_by("-number").first()
    number, before = (last.number, bytes(last.hash)) if last else (0, BEGINNING)
    now, links = timezone.now(), []
    for event in events:
        number += 1
        before = link_hash(before, number, event)
        links.append(AuditLink(number=number, event_id=event.pk, hash=before, sealed_at=now))
    AuditLink.objects.bulk_create(links)
