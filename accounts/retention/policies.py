"""How long data of a class is kept: the admin's word, else the setting's. 0 is for good."""

from collections.abc import Mapping

from django.conf import settings
from django.db import transaction
from django.db.models.expressions import RawSQL
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit.recording import record_audit
from accounts.models import RetentionPolicy, User
from chatbot_project.lib.errors import ApplicationError

Class = RetentionPolicy.Class
#: The setting of each class, in days.
SETTINGS: Mapping[str, str] = {
    Class.CONTENT: "RETENTION_CONTENT_DAYS",
    Class.ACCOUNT: "GUEST_DAYS",
    Class.RECORD: "RETENTION_RECORD_DAYS",
}


def days_of(data_class: str) -> int:
    """How many days; 0 for good. One query."""
    set_here = RetentionPolicy.objects.filter(data_class=data_class).values_list("days", flat=True).first()
    return default_days(data_class) if set_here is None else set_here


def default_days(data_class: str) -> int:
    """As the settings say."""
    days: int = getattr(settings, SETTINGS[data_class])
    return days


def kept_since_sql(data_class: str) -> str:
    """SQL for the moment before which nothing of the class is shown any more: a policy holds from its commit on.

    It reads a table of a few rows once per statement.
    """
    days = (
        f"COALESCE((SELECT days FROM {RetentionPolicy._meta.db_table} WHERE data_class = '{data_class}'), "  # noqa: S608
        f"{default_days(data_class):d})"
    )
    return f"COALESCE(statement_timestamp() - NULLIF({days}, 0) * interval '1 day', '-infinity'::timestamptz)"


def kept_since(data_class: str) -> RawSQL:
    """The same for querysets."""
    return RawSQL(kept_since_sql(data_class), ())  # noqa: S611  a text of ours


def set_policy(*, actor: User, data_class: str, days: int | None, reason: str) -> RetentionPolicy:
    """Keep data of the class for ``days`` from now on; ``None``: as the settings say. Recorded with its reason.

    Raises ApplicationError ``forbidden`` (403) for who is no admin, ``retention_too_short`` (400): guests are kept a
    day at least, and not for good.
    """
    if not actor.has_perm("accounts.change_retentionpolicy"):
        raise ApplicationError("forbidden", _("You may not change how long data is kept."), status=403)
    if data_class == Class.ACCOUNT and days == 0:
        raise ApplicationError("retention_too_short", _("Guests are kept for a day at least."), status=400)
    with transaction.atomic():
        before = days_of(data_class)
        policy, _made = RetentionPolicy.objects.update_or_create(
            data_class=data_class, defaults={"days": days, "changed_at": timezone.now()}
        )
        details = {"data_class": data_class, "from": before, "to": days_of(data_class)}
        record_audit(actor=actor, action="retention.policy_set", obj=RetentionPolicy, reason=reason, details=details)
    return policy
