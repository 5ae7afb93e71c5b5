"""How staff read what people wrote: only with a reason, and the record of it comes first."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.text import clean_text
from conversations.models import Conversation, Message

MIN_REASON = 10
PAGE = 200


@dataclass(frozen=True, slots=True)
class OpenedText:
    """Messages of all branches, oldest first; ``more`` where there are older ones."""

    conversation: Conversation
    messages: list[Message]
    more: bool


def open_text(*, actor: User, conversation_id: UUID, reason: str, before: UUID | None = None) -> OpenedText:
    """The newest 200 messages of any conversation, or of those older than ``before``.

    That ``actor`` read them, and why, is recorded in the same transaction. Raises ApplicationError ``not_allowed``,
    ``reason_too_short``; NotFound.
    """
    reason = " ".join(clean_text(reason).split())[:500]
    if not actor.has_perm("conversations.read_text"):
        raise ApplicationError("not_allowed", _("You may not read what people wrote."), status=403)
    if len(reason) < MIN_REASON:
        detail = _("Give a reason of at least %(count)d characters.") % {"count": MIN_REASON}
        raise ApplicationError("reason_too_short", detail)
    with transaction.atomic():
        conversation = Conversation.objects.select_related("owner").filter(pk=conversation_id).first()
        if conversation is None:
            raise NotFound
        rows = (
            conversation.messages.select_related("feedback").prefetch_related("citations").order_by("-pk")
        )  # ids are in the order of time
        found = list((rows.filter(pk__lt=before) if before else rows)[: PAGE + 1])
        messages, more = found[:PAGE][::-1], len(found) > PAGE
        record_audit(
            actor=actor,
            action="conversation.read",
            obj=conversation,
            reason=reason,
            details={"messages": len(messages)},
        )
    return OpenedText(conversation, messages, more)
