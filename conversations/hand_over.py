"""Asking for a person where the assistant does not know, and dealing with what was asked."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations.keeping import touch_conversation
from conversations.models import Conversation, HandOver, Message
from conversations.refusals import recorded
from conversations.signals import figures_changed


@recorded
def request_person(*, user: User, reply_id: UUID) -> Conversation:
    """Ask for a person below a reply that offers it. Asking again changes nothing. Returns the conversation.

    Raises NotFound; ApplicationError ``not_offered`` (409) for any other reply.
    """
    with transaction.atomic():
        # The conversation first, as who asks on does: the other way round, the two could wait for each other.
        Conversation.objects.visible_to(user).select_for_update(of=("self",)).filter(messages=reply_id).first()
        replies = Message.objects.visible_to(user).replies().select_for_update(of=("self",))
        reply = replies.select_related("conversation__persona_version__persona").filter(pk=reply_id).first()
        if reply is None:
            raise NotFound
        if all(offer["kind"] != "handover" for offer in reply.offers or ()):
            raise ApplicationError("not_offered", _("This reply does not offer that."), status=409)
        _made, is_new = HandOver.objects.get_or_create(message=reply)
        if not is_new:
            return reply.conversation
        reply.offers = [
            offer | {"done": True} if offer["kind"] == "handover" else offer for offer in reply.offers or ()
        ]
        reply.save(update_fields=["offers"])
        figures_changed.send(Message, times=[reply.created_at])
        return touch_conversation(user=user, conversation_id=reply.conversation_id)


def resolve_hand_over(*, hand_over: HandOver, actor: User) -> HandOver:
    """Note that ``actor`` has dealt with a request. Where somebody has already, nothing changes.

    Raises ApplicationError ``not_allowed`` (403).
    """
    if not actor.has_perm("conversations.change_handover"):
        raise ApplicationError("not_allowed", _("You may not do that."), status=403)
    with transaction.atomic():
        hand_over = HandOver.objects.select_for_update(of=("self",)).get(pk=hand_over.pk)
        if hand_over.state == HandOver.State.OPEN:
            hand_over.state, hand_over.resolved_by = HandOver.State.DONE, actor
            hand_over.resolved_at = timezone.now()
            hand_over.save(update_fields=["state", "resolved_by", "resolved_at"])
            record_audit(actor=actor, action="hand_over.resolved", obj=hand_over)
        return hand_over
