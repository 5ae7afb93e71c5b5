"""The shapes of requests and answers about conversations and messages.

What an answer holds is said in conversations/transcript.py, for the page, the socket and the API alike; the fields here
describe it for the API's schema.
"""

from typing import TYPE_CHECKING, Any

import msgspec
from rest_framework import serializers

from conversations.models import Conversation, Message
from conversations.transcript import conversation_info, message_info, usage_info

# The framework's own classes take no type at run time; the stubs' do.
if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
    ConversationBase = serializers.Serializer[Conversation]
    MessageBase = serializers.Serializer[Message]
else:
    AnySerializer = ConversationBase = MessageBase = serializers.Serializer

ROLES = ["user", "assistant"]


class ConversationSerializer(ConversationBase):
    """A conversation. Made from one whose persona_version and persona were selected with it."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    persona = serializers.CharField(help_text="The persona's slug.")
    persona_name = serializers.CharField()
    persona_emoji = serializers.CharField()
    pinned = serializers.BooleanField()
    archived = serializers.BooleanField()
    deleted = serializers.BooleanField()
    metadata = serializers.DictField(child=serializers.CharField(), help_text="A program's own names for it.")
    active_leaf = serializers.UUIDField(
        allow_null=True, help_text="The message in which the branch that is shown ends; null before the first question."
    )
    revision = serializers.IntegerField(help_text="Rises with every change.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(help_text="The last activity.")
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When it is removed for good; such a conversation is in no list. Null: it is kept."
    )

    def to_representation(self, instance: Conversation) -> dict[str, Any]:
        """Queries nothing."""
        return {
            **msgspec.to_builtins(conversation_info(instance)),
            "metadata": instance.metadata or {},
            "active_leaf": instance.active_leaf_id,
            "created_at": instance.created_at,
            "expires_at": instance.expires_at,
        }


class CitationSerializer(AnySerializer):
    number = serializers.IntegerField(help_text="The reply's mark for it: 1 for `[1]`.")
    faq = serializers.UUIDField(allow_null=True, help_text="Null where it no longer exists.")
    question = serializers.CharField()


class OfferSerializer(AnySerializer):
    kind = serializers.CharField(help_text="`rephrase`, `contact` or `handover`.")
    text = serializers.CharField(allow_blank=True)
    done = serializers.BooleanField()


class UsageSerializer(AnySerializer):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    estimated = serializers.BooleanField(help_text="Whether the model did not say.")


class MessageSerializer(MessageBase):
    """A question or a reply. What is beside it (siblings, feedback, citations) is told of messages that
    ``transcript.load_shown`` has read."""

    id = serializers.UUIDField()
    conversation = serializers.UUIDField()
    parent = serializers.UUIDField(  # type: ignore[assignment]
        allow_null=True, help_text="The message that it follows."
    )
    role = serializers.ChoiceField(choices=ROLES)
    status = serializers.ChoiceField(choices=Message.Status.choices)
    text = serializers.CharField(allow_blank=True)
    html = serializers.CharField(allow_blank=True, help_text="Safe to show; empty before a reply has ended.")
    epoch = serializers.IntegerField()
    seq = serializers.IntegerField(help_text="The length of the text in code points.")
    siblings = serializers.ListField(
        child=serializers.UUIDField(), help_text="The branches at this point in order of creation, itself included."
    )
    created_at = serializers.DateTimeField()
    feedback = serializers.ChoiceField(choices=[-1, 0, 1])
    feedback_comment = serializers.CharField(allow_blank=True)
    finish_reason = serializers.CharField(allow_blank=True)
    code = serializers.CharField(allow_blank=True, help_text="Why a reply failed or was interrupted.")
    model = serializers.CharField(allow_blank=True, help_text="The one that answered, as `provider/name`.")
    client_id = serializers.CharField(allow_blank=True)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=Message.Source.choices, allow_blank=True, help_text="What a reply came from where the FAQ was asked."
    )
    citations = CitationSerializer(many=True)
    offers = OfferSerializer(many=True)
    cached_at = serializers.DateTimeField(
        allow_null=True, help_text="When a model gave this reply to the same question before; null: it was made anew."
    )
    usage = UsageSerializer(allow_null=True)

    def to_representation(self, instance: Message) -> dict[str, Any]:
        """Queries nothing."""
        usage = usage_info(instance)
        return {
            **msgspec.to_builtins(message_info(instance)),
            "conversation": instance.conversation_id,
            "usage": msgspec.to_builtins(usage),
        }
