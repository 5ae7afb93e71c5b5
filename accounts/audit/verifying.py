"""Whether the trail is whole: every event in its place, every link in the chain, every checkpoint kept."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from accounts.audit.chain import BEGINNING, link_hash
from accounts.audit.checkpoints import Checkpoint
from accounts.audit.guards import are_triggers_off, missing_guards, too_many_rights
from accounts.models import AuditCheckpoint, AuditEvent, AuditLink, AuditWaiting

CHUNK = 2000
SEALED_WITHIN = timedelta(hours=1)  # an event that waits for longer waits in vain


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problems``: what is wrong, the first bad place of the chain first; none if the trail is whole.

    ``notes`` say what is no sign of tampering and worth knowing.
    """

    links: int
    waiting: int
    checkpoints: int
    problems: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.problems


def verify(outside: Iterable[Checkpoint] = ()) -> Verdict:
    """Check the whole trail in one snapshot, against its own checkpoints and those kept ``outside``. Changes nothing.

    Reads every event once: some 10,000 a second.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        own = [Checkpoint.from_row(row) for row in AuditCheckpoint.objects.order_by("number")]
        outside = list(outside)
        vouched = {checkpoint.number: checkpoint for checkpoint in (*outside, *own) if checkpoint.is_signed}
        walk = _Walk(vouched)
        problems = [*walk.run(), *_problems_of_checkpoints(own, outside, walk)]
        problems += _unchained()
        problems += [f"trigger {each.name} on {each.table} is gone, disabled or changed" for each in missing_guards()]
        if are_triggers_off():
            problems.append("this role runs without triggers: session_replication_role is not origin")
        notes = [f"the application's role has too many rights on {each}" for each in too_many_rights()]
        waiting = AuditWaiting.objects.count()
    return Verdict(walk.last, waiting, len(own), problems, notes)


class _Walk:
    """From the first link to the last, up to the first that is wrong."""

    def __init__(self, vouched: dict[int, Checkpoint]) -> None:
        self.vouched = vouched
        self.last = 0
        self.hash = BEGINNING

    def run(self) -> list[str]:
        """The first bad place; nothing if all is well."""
        for link, event in _links():
            problem = self._problem(link, event)
            if problem:
                return [problem]
            self.last, self.hash = link.number, bytes(link.hash)
        return []

    def _problem(self, link: AuditLink, event: AuditEvent | None) -> str:
        expected = self.last + 1
        if link.number != expected:
            return f"gap: link {expected} is missing, the next is {link.number}"
        if event is None:
            return f"link {link.number}: event {link.event_id} is missing"
        if link_hash(self.hash, link.number, event) != bytes(link.hash):
            return f"link {link.number}: event {event.pk} was changed or moved"
        checkpoint = self.vouched.get(link.number)
        if checkpoint is not None and checkpoint.hash != bytes(link.hash):
            return f"link {link.number}: the chain was redone, a checkpoint of {checkpoint.at:%Y-%m-%d %H:%M} differs"
        return ""


def _links() -> Iterator[tuple[AuditLink, AuditEvent | None]]:
    """All links in order, each with its event, in chunks."""
    after = -(2**62)
    while True:
        links = list(AuditLink.objects.filter(number__gt=after).order_by("number")[:CHUNK])
        if not links:
            return
        events = AuditEvent.objects.in_bulk([link.event_id for link in links])
        for link in links:
            yield link, events.get(link.event_id)
        after = links[-1].number


def _problems_of_checkpoints(own: list[Checkpoint], outside: list[Checkpoint], walk: _Walk) -> list[str]:
    problems = [
        f"checkpoint {checkpoint.number} ({where}): no key of this installation signed it"
        for where, checkpoints in (("database", own), ("file", outside))
        for checkpoint in checkpoints
        if not checkpoint.is_signed
    ]
    last = AuditLink.objects.order_by("-number").values_list("number", flat=True).first() or 0
    beyond = [number for number in walk.vouched if number > last]
    if beyond:
        problems.append(f"cut tail: the chain ends at link {last}, a checkpoint vouches for {max(beyond)}")
    lost = {checkpoint.number for checkpoint in outside} - {checkpoint.number for checkpoint in own}
    if lost and not beyond:
        problems.append(f"checkpoint {min(lost)} is kept outside and missing in the database")
    return problems


def _unchained() -> list[str]:
    """Events without a link that do not wait for one, and what waits in vain."""
    problems = []
    unlinked = (
        "SELECT e.id FROM accounts_auditevent e"
        " LEFT JOIN accounts_auditlink l ON l.event_id = e.id LEFT JOIN accounts_auditwaiting w ON w.event_id = e.id"
        " WHERE l.event_id IS NULL AND w.event_id IS NULL ORDER BY e.id LIMIT 1"
    )
    vanished = (
        "SELECT w.event_id FROM accounts_auditwaiting w LEFT JOIN accounts_auditevent e ON e.id = w.event_id"
        " WHERE e.id IS NULL ORDER BY w.event_id LIMIT 1"
    )
    texts: list[tuple[str, Callable[[int], str]]] = [
        (unlinked, lambda pk: f"event {pk} is in no link: one was cut off, or it never waited for one"),
        (vanished, lambda pk: f"event {pk} was removed before it was sealed"),
    ]
    with connection.cursor() as cursor:
        for sql, text in texts:
            cursor.execute(sql)
            row = cursor.fetchone()
            if row:
                problems.append(text(row[0]))
    late = AuditWaiting.objects.filter(
        event_id__in=AuditEvent.objects.filter(at__lt=timezone.now() - SEALED_WITHIN).values("pk")
    ).count()
    if late:
        problems.append(f"{late} events wait to be sealed for more than an hour: is the Celery worker running?")
    return problems
