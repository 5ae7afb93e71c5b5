"""What the endpoints of messages take, and what they give beside messages."""

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from conversations.api.send_serializers import ClientIdField, WaitField
from conversations.events import MAX_TEXT

if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
else:
    AnySerializer = serializers.Serializer

MAX_COMMENT = 2000


class EditSerializer(AnySerializer):
    text = serializers.CharField(max_length=MAX_TEXT, trim_whitespace=False)
    client_id = ClientIdField()
    wait = WaitField()


class AnewSerializer(AnySerializer):
    client_id = ClientIdField()
    wait = WaitField()


class FeedbackSerializer(AnySerializer):
    value = serializers.ChoiceField(choices=[1, -1], help_text="1 is helpful, -1 is not.")
    comment = serializers.CharField(required=False, default="", allow_blank=True, max_length=MAX_COMMENT)
