"""What the endpoints of conversations take."""

import re
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from chatbot_project.lib.text import clean_text
from conversations.keeping import MAX_TITLE

if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
else:
    AnySerializer = serializers.Serializer

MAX_NAMES = 16
MAX_NAME = 64
MAX_VALUE = 512
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAME}}}")


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": MAX_NAMES,
        "propertyNames": {"pattern": f"^{_NAME.pattern}$"},
        "additionalProperties": {"type": "string", "maxLength": MAX_VALUE},
        "description": "A program's own names for it.",
    }
)
class MetadataField(serializers.Field):  # type: ignore[type-arg]
    """``{name: text}``, bounded. A text is kept as ``clean_text`` leaves it."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict):
            raise serializers.ValidationError(_("This is an object of names and texts."))
        if len(data) > MAX_NAMES:
            raise serializers.ValidationError(_("At most %(most)d names.") % {"most": MAX_NAMES})
        if not all(_NAME.fullmatch(name) for name in data):
            detail = _("A name has 1 to %(most)d letters, digits, “_”, “.” or “-”.") % {"most": MAX_NAME}
            raise serializers.ValidationError(detail)
        if not all(isinstance(value, str) and len(value) <= MAX_VALUE for value in data.values()):
            raise serializers.ValidationError(_("Each is a text of at most %(most)d characters.") % {"most": MAX_VALUE})
        return {name: clean_text(value) for name, value in data.items()}

    def to_representation(self, value: dict[str, str]) -> dict[str, str]:
        return value


class ListQuerySerializer(AnySerializer):
    archived = serializers.BooleanField(required=False, default=False, help_text="The archive instead of the list.")
    persona = serializers.SlugField(required=False, max_length=64, help_text="Only those with this persona.")
    search = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="Only those with all these words in their title.",
    )


class NewConversationSerializer(AnySerializer):
    persona = serializers.SlugField(
        required=False, allow_null=True, max_length=64, help_text="A persona's slug. Null: the first there is."
    )
    title = serializers.CharField(
        required=False, max_length=MAX_TITLE, help_text="Without one it gets the first question's."
    )
    metadata = MetadataField(required=False)


class ChangeConversationSerializer(AnySerializer):
    """All that can be set: with PUT the whole, with PATCH any of it."""

    title = serializers.CharField(max_length=MAX_TITLE)
    pinned = serializers.BooleanField(help_text="At the top of the list.")
    archived = serializers.BooleanField(help_text="In the archive instead of the list.")
    metadata = MetadataField(help_text="Replaces all there is.")


class ClearSerializer(AnySerializer):
    archived = serializers.BooleanField(required=False, default=False, help_text="Only those in the archive.")


class ClearedSerializer(AnySerializer):
    deleted = serializers.IntegerField(help_text="How many there were.")


class BranchSerializer(AnySerializer):
    message = serializers.UUIDField(help_text="Any message of the branch; its newest end is shown.")
