"""When verdicts on replies are over."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from accounts.retention.policies import Class, over_since
from accounts.retention.sweeps import Rows, Sweep, declare_sweep
from analytics.quality.models import QualityItem
from analytics.rollups import reporting_zone


def verdicts_since(as_of: datetime) -> date | None:
    """The first day whose verdicts are not over at ``as_of``; None where they are kept for good. One query."""
    since = over_since(Class.VERDICT, as_of)
    return None if since is None else since.astimezone(reporting_zone()).date()


def _judged(as_of: datetime) -> Rows:
    since = verdicts_since(as_of)
    judged = QualityItem.objects.exclude(state=QualityItem.State.OPEN)
    return judged.none() if since is None else judged.filter(day__lt=since)


def _remove(keys: Sequence[UUID]) -> None:
    QualityItem.objects.filter(pk__in=keys).delete()


declare_sweep(
    Sweep(
        "verdicts",
        Class.VERDICT,
        _judged,
        _remove,
        person="message__owner",
        conversation="message__conversation",
    )
)
