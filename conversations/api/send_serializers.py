"""What ``chat/send`` takes and gives."""

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from conversations.api.replying import MAX_WAIT
from conversations.api.serializers import ConversationSerializer, MessageSerializer
from conversations.events import MAX_TEXT

if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
else:
    AnySerializer = serializers.Serializer


class ClientIdField(serializers.RegexField):
    """As ``client_id`` of the chat protocol."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "Made by the client: sent again, the request has its effect once.")
        super().__init__(r"^[A-Za-z0-9_-]+$", min_length=1, max_length=64, required=False, **options)


class WaitField(serializers.IntegerField):
    """For how many seconds the answer may wait for the reply's end."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "Seconds to wait for the reply's end; 0 answers at once.")
        super().__init__(min_value=0, max_value=MAX_WAIT, default=MAX_WAIT, **options)


class SendSerializer(AnySerializer):
    text = serializers.CharField(max_length=MAX_TEXT, trim_whitespace=False)
    conversation = serializers.UUIDField(required=False, allow_null=True, help_text="Null begins a new one.")
    persona = serializers.SlugField(
        max_length=64, required=False, allow_null=True, help_text="With whom a new one begins; null: the first."
    )
    parent = serializers.UUIDField(  # type: ignore[assignment]  # a field's name, which the metaclass takes out
        required=False, allow_null=True, help_text="The reply it follows; null: the end of the branch that is shown."
    )
    bypass_cache = serializers.BooleanField(
        default=False, help_text="Ask the model, also where it has answered the same question before."
    )
    client_id = ClientIdField()
    wait = WaitField()


class ExchangeSerializer(AnySerializer):
    conversation = ConversationSerializer()
    message = MessageSerializer(help_text="The question.")
    reply = MessageSerializer()
