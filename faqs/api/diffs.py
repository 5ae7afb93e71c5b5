"""How the API shows what changed from one version to another, of FAQs and of personas."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from accounts.api.serializers import AnySerializer


class DiffLineSerializer(AnySerializer):
    kind = serializers.ChoiceField(choices=["same", "added", "removed"])
    text = serializers.CharField(allow_blank=True)


class FieldDiffSerializer(AnySerializer):
    """A field that differs, line by line."""

    name = serializers.CharField()
    lines = DiffLineSerializer(many=True)


class DiffSerializer(AnySerializer):
    """What changed from ``old`` to ``new``, by the names that these have in addresses."""

    old = serializers.CharField()
    new = serializers.CharField()
    changes = FieldDiffSerializer(many=True)


def diff_body(old: str, new: str, changes: Iterable[Any]) -> dict[str, Any]:
    """The answer: ``changes`` are named tuples of name and lines, a line of kind and text."""
    shown = [{"name": field.name, "lines": [line._asdict() for line in field.lines]} for field in changes]
    return {"old": old, "new": new, "changes": shown}
