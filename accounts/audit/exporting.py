"""The trail as a file: JSON Lines, from which anybody can compute the chain, and CSV for a spreadsheet.

With names and reasons, a file holds what erasure cannot reach.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal

from accounts.audit.chain import payload
from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, AuditIdentity, AuditLink
from chatbot_project.lib.cells import escape

Format = Literal["csv", "jsonl"]
CHUNK = 1000
COLUMNS = ("number", "id", "at", "actor", "actor_name", "action", "object_type", "object_id", "subject", "subject_name",
           "reason", "details", "hash")  # fmt: skip


def export_events(events: Iterable[AuditEvent], *, format: Format, names: bool) -> Iterator[str]:
    """Parts of the file of ``events``, which were read ``with_people`` where ``names`` asks for names and reasons.

    One query for every 1000 events, for their places in the chain; ``number`` is empty for one that has none yet.
    """
    entries = _entries(events, names)
    if format == "jsonl":
        for entry in entries:
            yield json.dumps(entry) + "\n"
        return
    yield _csv_line(COLUMNS)
    for entry in entries:
        event = entry["event"]
        flat = {**event, "number": entry["number"], "hash": entry["hash"], "reason": "", **entry.get("names", {})}
        flat["details"] = json.dumps(event["details"], ensure_ascii=False, sort_keys=True)
        yield _csv_line(["" if flat.get(name) is None else str(flat[name]) for name in COLUMNS])


def _entries(events: Iterable[AuditEvent], names: bool) -> Iterator[dict[str, Any]]:
    iterator = iter(events)
    while chunk := list(islice(iterator, CHUNK)):
        links = {link.event_id: link for link in AuditLink.objects.filter(event_id__in=[each.pk for each in chunk])}
        for event in chunk:
            link = links.get(event.pk)
            covered = payload(link.number if link else 0, event)
            entry: dict[str, Any] = {
                "number": link.number if link else None,
                "hash": bytes(link.hash).hex() if link else None,
                "event": covered,
            }
            if names:
                entry["names"] = {
                    "actor_name": _name(event.actor), "subject_name": _name(event.subject), "reason": reason_of(event),
                }  # fmt: skip
            yield entry


def _name(identity: AuditIdentity | None) -> str:
    return identity.person.username if identity else ""


def _csv_line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([escape(cell) for cell in cells])
    return out.getvalue()
