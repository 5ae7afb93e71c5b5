"""How long data of a class is kept: the admin's word, else the setting's. One table says which classes there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.expressions import RawSQL
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit.recording import record_audit
from accounts.models import RetentionPolicy, User
from chatbot_project.lib.errors import ApplicationError

Class = RetentionPolicy.Class


@dataclass(frozen=True, slots=True)
class Policy:
    """The ``setting`` with the days of a class, and whether they may be 0: kept for good."""

    setting: str
    for_good: bool = False


#: Every class whose time is a number of days. What has none is kept as long as what it hangs on, or for good.
POLICIES: Mapping[str, Policy] = {
    Class.CONTENT: Policy("RETENTION_CONTENT_DAYS", for_good=True),
    Class.DELETED: Policy("RETENTION_DELETED_DAYS"),
    Class.PASSING: Policy("RETENTION_PASSING_DAYS"),
    Class.MODERATION: Policy("RETENTION_MODERATION_DAYS", for_good=True),
    Class.VERDICT: Policy("RETENTION_VERDICT_DAYS", for_good=True),
    Class.QUESTION: Policy("RETENTION_QUESTION_DAYS", for_good=True),
    Class.ACCOUNT: Policy("GUEST_DAYS"),
    Class.UNCONFIRMED: Policy("RETENTION_UNCONFIRMED_DAYS", for_good=True),
    Class.SIGN_UP: Policy("RETENTION_SIGN_UP_DAYS"),
    Class.SESSION: Policy("RETENTION_SESSION_DAYS"),
    Class.EXPORT: Policy("RETENTION_EXPORT_DAYS"),
    Class.MAIL: Policy("RETENTION_MAIL_DAYS"),
    Class.RECORD: Policy("RETENTION_RECORD_DAYS", for_good=True),
}


def days_of(data_class: str) -> int:
    """How many days; 0 for good. One query."""
    set_here = RetentionPolicy.objects.filter(data_class=data_class).values_list("days", flat=True).first()
    return default_days(data_class) if set_here is None else set_here


def default_days(data_class: str) -> int:
    """As the settings say."""
    days: int = getattr(settings, POLICIES[data_class].setting)
    return days


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds for a class: ``days`` (0: for good), and whether an admin has set it rather than ``setting``."""

    label: str
    days: int
    setting: str
    is_set: bool


def in_force() -> list[InForce]:
    """Of every class. One query."""
    rows = RetentionPolicy.objects.values_list("data_class", "days")
    set_here = {data_class: days for data_class, days in rows if days is not None}
    return [
        InForce(
            label=str(Class(data_class).label),
            days=set_here.get(data_class, default_days(data_class)),
            setting=policy.setting,
            is_set=data_class in set_here,
        )
        for data_class, policy in POLICIES.items()
    ]


def period_of(data_class: str) -> timedelta:
    """The same for a class that is never kept for good."""
    return timedelta(days=days_of(data_class))


def over_since(data_class: str, as_of: datetime) -> datetime | None:
    """What is older than this is over at ``as_of``; ``None`` where all is kept for good. One query."""
    days = days_of(data_class)
    return as_of - timedelta(days=days) if days else None


def days_sql(data_class: str) -> str:
    """SQL for how many days: for a statement that asks other things as well."""
    return (
        f"COALESCE((SELECT days FROM {RetentionPolicy._meta.db_table} WHERE data_class = '{data_class}'), "  # noqa: S608
        f"{default_days(data_class):d})"
    )


def kept_since_sql(data_class: str) -> str:
    """SQL for the moment before which nothing of the class is shown any more: a policy holds from its commit on.

    It reads a table of a few rows once per statement.
    """
    days = days_sql(data_class)
    return f"COALESCE(statement_timestamp() - NULLIF({days}, 0) * interval '1 day', '-infinity'::timestamptz)"


def kept_since(data_class: str) -> RawSQL:
    """The same for querysets."""
    return RawSQL(kept_since_sql(data_class), ())  # noqa: S611  a text of ours


def set_policy(*, actor: User, data_class: str, days: int | None, reason: str) -> RetentionPolicy:
    """Keep data of the class for ``days`` from now on; ``None``: as the settings say. Recorded with its reason.

    Raises ApplicationError ``forbidden`` (403) for who is no admin, ``retention_too_short`` (400) for 0 where nothing
    is kept for good, ``retention_too_long`` (400).
    """
    if not actor.has_perm("accounts.change_retentionpolicy"):
        raise ApplicationError("forbidden", _("You may not change how long data is kept."), status=403)
    if days == 0 and not POLICIES[data_class].for_good:
        raise ApplicationError("retention_too_short", _("This is kept for a day at least, and not for good."))
    if days is not None and days > settings.RETENTION_MOST_DAYS:
        most = settings.RETENTION_MOST_DAYS
        detail = _("At most %(days)d days; 0 keeps it for good, where that may be.") % {"days": most}
        raise ApplicationError("retention_too_long", detail)
    with transaction.atomic():
        before = days_of(data_class)
        policy, _made = RetentionPolicy.objects.update_or_create(
            data_class=data_class, defaults={"days": days, "changed_at": timezone.now()}
        )
        details = {"data_class": data_class, "from": before, "to": days_of(data_class)}
        record_audit(actor=actor, action="retention.policy_set", obj=RetentionPolicy, reason=reason, details=details)
    return policy
