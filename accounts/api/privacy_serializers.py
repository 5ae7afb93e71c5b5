"""The shapes of requests and answers about one's own data."""

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from accounts.models import Consent, DataRequest, Purpose
from accounts.privacy.registry import Erasure

if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
    RequestSerializer = serializers.ModelSerializer[DataRequest]
else:
    AnySerializer = serializers.Serializer
    RequestSerializer = serializers.ModelSerializer

MAX_VERSION = 999_999


class PolicySerializer(AnySerializer):
    """What one is asked to agree to."""

    purpose = serializers.ChoiceField(choices=Purpose.choices)
    version = serializers.IntegerField()
    language = serializers.CharField(help_text="Of the text: the caller's where there is one.")
    title = serializers.CharField()
    text = serializers.CharField(help_text="Markdown.")
    text_hash = serializers.CharField(help_text="SHA-256 of title and text, as the ledger keeps it.")


class StandingSerializer(PolicySerializer):
    """A policy and one's own last word on it."""

    granted = serializers.BooleanField(help_text="Whether one agrees to this version, so that it holds.")
    is_open = serializers.BooleanField(help_text="Whether one is still to be asked: never, or under an older version.")
    decided_version = serializers.IntegerField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    decided_in = serializers.ChoiceField(
        choices=Consent.Source.choices, allow_null=True, help_text="Where one was asked."
    )


class DecisionSerializer(AnySerializer):
    granted = serializers.BooleanField()
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_VERSION,
        help_text="The version whose text was shown. Needed to agree, not to withdraw.",
    )


class SignUpDecisionSerializer(AnySerializer):
    purpose = serializers.ChoiceField(choices=Purpose.choices)
    granted = serializers.BooleanField()
    version = serializers.IntegerField(min_value=1, max_value=MAX_VERSION)


class DataCopySerializer(RequestSerializer):
    """A copy of one's data that was asked for."""

    state = serializers.ChoiceField(choices=["waiting", "ready", "used", "expired"])

    class Meta:
        model = DataRequest
        fields = ("id", "state", "created_at", "finished_at", "expires_at", "size")
        read_only_fields = fields


class ErasureSerializer(RequestSerializer):
    """An erasure that was asked for."""

    state = serializers.ChoiceField(choices=["waiting", "running"])

    class Meta:
        model = DataRequest
        fields = ("id", "state", "created_at", "due_at")
        read_only_fields = fields


class PlannedSerializer(AnySerializer):
    """What erasure does with one kind of rows."""

    model = serializers.CharField(source="label")
    about = serializers.CharField()
    erasure = serializers.ChoiceField(choices=[each.value for each in Erasure])
    rows = serializers.IntegerField()


class RestrictionSerializer(AnySerializer):
    """Whether the processing of one's data is paused."""

    restricted = serializers.BooleanField()
    since = serializers.DateTimeField(allow_null=True)
    by_staff = serializers.BooleanField(help_text="Then only staff lift it.")
    ends_at = serializers.DateTimeField(
        allow_null=True, help_text="From when on staff lift it, as they announced; one may have that at once."
    )


class CancelSerializer(AnySerializer):
    email = serializers.CharField(max_length=254)
    password = serializers.CharField(write_only=True, trim_whitespace=False, max_length=1024)
