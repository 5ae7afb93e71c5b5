"""How staff read what people wrote: only with a reason, for a while, and the record of it comes first."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.text import clean_text
from conversations.models import Conversation, Message

MIN_REASON = 10
PAGE = 200
ACCESS = timedelta(minutes=15)  # for which one reason opens a conversation
SALT = "conversations.moderation.access"


@dataclass(frozen=True, slots=True)
class OpenedText:
    """Messages of all branches, oldest first; ``more`` where there are older ones, which ``access`` opens until
    ``ends_at``."""

    conversation: Conversation
    messages: list[Message]
    more: bool
    access: str
    ends_at: datetime


def open_text(*, actor: User, conversation_id: UUID, reason: str) -> OpenedText:
    """The newest 200 messages of any conversation. That ``actor`` read them, and why, is recorded in the same
    transaction, and shown to the owner.

    Raises ApplicationError ``not_allowed``, ``reason_too_short``; NotFound.
    """
    reason = " ".join(clean_text(reason).split())[:500]
    _refuse_others(actor)
    if len(reason) < MIN_REASON:
        detail = _("Give a reason of at least %(count)d characters.") % {"count": MIN_REASON}
        raise ApplicationError("reason_too_short", detail)
    given = {"actor": str(actor.pk), "conversation": str(conversation_id), "reason": reason, "at": int(time.time())}
    return _open(actor, given, None)


def open_earlier(*, actor: User, conversation_id: UUID, access: str, before: UUID) -> OpenedText:
    """Those of the messages older than ``before``, for the reason given when the conversation was opened. Recorded.

    Raises ApplicationError ``access_ended`` where that was 15 minutes ago, or not this person and conversation;
    ``not_allowed``; NotFound.
    """
    _refuse_others(actor)
    try:
        given = signing.loads(access, salt=SALT, max_age=ACCESS)
    except signing.BadSignature:
        given = {}
    whose = given.get("actor"), given.get("conversation")
    if whose != (str(actor.pk), str(conversation_id)) or _ends_at(given) <= timezone.now():
        detail = _("Your access to this conversation has ended. Give a reason anew.")
        raise ApplicationError("access_ended", detail, status=409)
    return _open(actor, given, before)


def _refuse_others(actor: User) -> None:
    if not actor.has_perm("conversations.read_text"):
        raise ApplicationError("not_allowed", _("You may not read what people wrote."), status=403)


def _ends_at(given: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(given["at"], UTC) + ACCESS


def _open(actor: User, given: dict[str, Any], before: UUID | None) -> OpenedText:
    with transaction.atomic():
        conversation = Conversation.objects.select_related("owner").filter(pk=given["conversation"]).first()
        if conversation is None:
            raise NotFound
        rows = (
            conversation.messages.select_related("feedback", "moderation_item")
            .prefetch_related("citations")
            .order_by("-pk")
        )  # ids are in the order of time
        found = list((rows.filter(pk__lt=before) if before else rows)[: PAGE + 1])
        messages, more = found[:PAGE][::-1], len(found) > PAGE
        record_audit(
            actor=actor,
            action="conversation.read",
            obj=conversation,
            subject=conversation.owner,
            reason=given["reason"],
            details={"messages": len(messages), "role": str(actor.role)},
        )
    return OpenedText(conversation, messages, more, signing.dumps(given, salt=SALT), _ends_at(given))
