"""One's own conversations and messages by their ids. Another's answer as absent ones, and that is recorded."""

from uuid import UUID

from accounts.models import User
from chatbot_project.lib.errors import NotFound
from conversations.models import Conversation, Message
from conversations.refusals import recorded
from conversations.transcript import load_shown


@recorded
def find_conversation(*, user: User, conversation_id: UUID) -> Conversation:
    """The person's conversation with its persona. Raises NotFound."""
    visible = Conversation.objects.visible_to(user).select_related("persona_version__persona")
    found = visible.filter(pk=conversation_id).first()
    if found is None:
        raise NotFound
    return found


@recorded
def find_message(*, user: User, message_id: UUID, conversation_id: UUID | None = None) -> Message:
    """The person's message, of ``conversation_id`` where that is given. Raises NotFound."""
    found = Message.objects.visible_to(user).select_related("feedback").filter(pk=message_id).first()
    if found is None or conversation_id not in (None, found.conversation_id):
        raise NotFound
    return found


def read_message(*, user: User, message_id: UUID) -> Message:
    """The same as ``transcript.message_info`` takes it: with what is told beside it. Up to three queries."""
    message = find_message(user=user, message_id=message_id)
    load_shown(message.conversation_id, [message])
    return message
