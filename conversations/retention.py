"""When conversations are over, and whose a held one is."""

from datetime import datetime, timedelta
from uuid import UUID

from accounts.models import User
from accounts.retention.holds import set_owner_lookup
from accounts.retention.policies import Class, days_of
from accounts.retention.sweeps import Rows, Sweep, declare_sweep
from conversations.models import Conversation
from conversations.purging import purge

PURGE_AFTER = timedelta(days=1)  # until then a deletion can be taken back
BATCH = 200


def _unused(as_of: datetime) -> Rows:
    days = days_of(Class.CONTENT)
    rows = Conversation.objects.filter(deleted_at=None, expires_at=None, updated_at__lt=as_of - timedelta(days=days))
    return rows if days else rows.none()


def _owner(conversation: UUID) -> User | None:
    found = Conversation.objects.select_related("owner").filter(pk=conversation).first()
    return found.owner if found else None


set_owner_lookup(_owner)
declare_sweep(
    Sweep(
        "deleted_conversations",
        lambda as_of: Conversation.objects.filter(deleted_at__lt=as_of - PURGE_AFTER),
        purge,
        person="owner",
        conversation="pk",
        batch=BATCH,
    ),
    Sweep(
        "asked_in_passing",
        lambda as_of: Conversation.objects.filter(expires_at__lt=as_of),
        purge,
        person="owner",
        conversation="pk",
        batch=BATCH,
    ),
    Sweep("unused_conversations", _unused, purge, person="owner", conversation="pk", batch=BATCH),
)
