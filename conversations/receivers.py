"""What conversations do when something happens to a person, or to a reply."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.dispatch import receiver

from accounts.models import User
from accounts.retention import holds
from accounts.signals import guest_merged, people_leaving, processing_restricted
from conversations.models import Conversation, Message
from conversations.purging import counted_times, hand_over_counted, purge_people
from conversations.replies.background import after_dislike
from conversations.services import stop_replies
from conversations.signals import figures_changed, reply_disliked


@receiver(guest_merged)
def hand_over_conversations(sender: Any, guest: User, user: User, **kwargs: Any) -> None:
    """A guest signed in to an account: what they wrote as a guest is the account's now.

    ``client_id`` is unique per person; a guest's are random, so none meets the account's own.
    """
    with transaction.atomic():
        figures_changed.send(Message, times=counted_times(guest))
        Conversation.objects.filter(owner=guest).update(owner=user)
        Message.objects.filter(owner=guest).update(owner=user)
        hand_over_counted(guest=guest, user=user)
        holds.hand_over(guest=guest, user=user)


@receiver(processing_restricted)
def stop_what_is_under_way(sender: Any, user: User, **kwargs: Any) -> None:
    """Replies that wait end here, those that stream by their worker; doorbells ring after the commit."""
    transaction.on_commit(partial(stop_replies, user=user))


@receiver(people_leaving)
def purge_conversations(sender: Any, people: Sequence[UUID], **kwargs: Any) -> None:
    """Before guests' rows go: by cascade, the figures would lose what they had."""
    purge_people(people)


@receiver(reply_disliked)
def note_what_did_not_help(sender: Any, reply: UUID, **kwargs: Any) -> None:
    """What people found not helpful is what an editor should look at."""
    after_dislike(reply)
