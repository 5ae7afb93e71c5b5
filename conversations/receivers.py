"""What conversations do when something happens to a person."""

from typing import Any

from django.db import transaction
from django.dispatch import receiver

from accounts.models import User
from accounts.signals import guest_merged
from conversations.models import Conversation, Message


@receiver(guest_merged)
def hand_over_conversations(sender: Any, guest: User, user: User, **kwargs: Any) -> None:
    """A guest signed in to an account: what they wrote as a guest is the account's now.

    ``client_id`` is unique per person; a guest's are random, so none meets the account's own.
    """
    with transaction.atomic():
        Conversation.objects.filter(owner=guest).update(owner=user)
        Message.objects.filter(owner=guest).update(owner=user)
