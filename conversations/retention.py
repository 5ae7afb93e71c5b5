"""When conversations and what was decided about them are over, and whose a held one is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from accounts.models import User
from accounts.retention.holds import set_owner_lookup
from accounts.retention.policies import Class, over_since
from accounts.retention.sweeps import Rows, Sweep, declare_sweep, older
from conversations.models import Conversation
from conversations.purging import purge
from conversations.safety.models import ModerationItem

BATCH = 200


def _deleted(as_of: datetime) -> Rows:
    """Deleted by their person, and not to be had back any more."""
    return older(Conversation.objects.all(), "deleted_at", Class.DELETED, as_of)


def _asked_in_passing(as_of: datetime) -> Rows:
    """Each row is of one sweep: one that is over as a deleted one is not over again here."""
    since = over_since(Class.DELETED, as_of)
    is_over_already = Q(pk=None) if since is None else Q(deleted_at__lt=since)
    return Conversation.objects.filter(expires_at__lt=as_of).exclude(is_over_already)


def _unused(as_of: datetime) -> Rows:
    rows = Conversation.objects.filter(deleted_at=None, expires_at=None)
    return older(rows, "updated_at", Class.CONTENT, as_of)


def _decided(as_of: datetime) -> Rows:
    """Decided so long ago that they are over and count no more in their person's score."""
    counted = as_of - timedelta(days=settings.MODERATION_SCORE_DAYS)
    items = ModerationItem.objects.exclude(state=ModerationItem.State.OPEN).filter(decided_at__lt=counted)
    return older(items, "decided_at", Class.MODERATION, as_of)


def _remove_items(keys: Sequence[UUID]) -> None:
    ModerationItem.objects.filter(pk__in=keys).delete()


def _owner(conversation: UUID) -> User | None:
    found = Conversation.objects.select_related("owner").filter(pk=conversation).first()
    return found.owner if found else None


set_owner_lookup(_owner)
declare_sweep(
    Sweep(
        "moderation_items",
        Class.MODERATION,
        _decided,
        _remove_items,
        person="message__owner",
        conversation="message__conversation",
    ),
    Sweep(
        "deleted_conversations",
        Class.DELETED,
        _deleted,
        purge,
        person="owner",
        conversation="pk",
        batch=BATCH,
    ),
    Sweep(
        "asked_in_passing",
        Class.PASSING,
        _asked_in_passing,
        purge,
        person="owner",
        conversation="pk",
        batch=BATCH,
    ),
    Sweep("unused_conversations", Class.CONTENT, _unused, purge, person="owner", conversation="pk", batch=BATCH),
)
