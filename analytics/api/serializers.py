"""The shapes of figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from accounts.models import User
from accounts.roles import Role
from analytics.selectors import Report
from conversations.models import Conversation

# The framework's own classes take no type at run time; the stubs' do.
if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
    PersonBase = serializers.ModelSerializer[User]
else:
    AnySerializer = serializers.Serializer
    PersonBase = serializers.ModelSerializer


class EndingsSerializer(AnySerializer):
    """Replies by how they ended."""

    completed = serializers.IntegerField()
    stopped = serializers.IntegerField(help_text="By the person.")
    interrupted = serializers.IntegerField(help_text="Cut, with the text they had.")
    failed = serializers.IntegerField()
    live = serializers.IntegerField(help_text="Not ended yet.")


class TokensSerializer(AnySerializer):
    prompt = serializers.IntegerField()
    completion = serializers.IntegerField()
    estimated = serializers.IntegerField(help_text="How many of both the provider did not count itself.")


class ThumbsSerializer(AnySerializer):
    """What people thought of these replies, whenever they said so."""

    helpful = serializers.IntegerField()
    not_helpful = serializers.IntegerField()


class SourcesSerializer(AnySerializer):
    """Replies for which the FAQ was asked, by what they came from."""

    model = serializers.IntegerField(help_text="A model, with approved answers beside it.")
    faq = serializers.IntegerField(help_text="An approved answer as it stands.")
    faq_offline = serializers.IntegerField(help_text="The same, as no model answered.")
    unknown = serializers.IntegerField(help_text="Nothing was known.")


class FirstTokenSerializer(AnySerializer):
    """Seconds from a reply's being queued to its first token."""

    replies = serializers.IntegerField(help_text="How many replies have one.")
    median = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)


class FiguresSerializer(AnySerializer):
    conversations = serializers.IntegerField(help_text="Begun.")
    questions = serializers.IntegerField()
    active_people = serializers.IntegerField(help_text="Who asked a question; everyone counts once.")
    replies = EndingsSerializer()
    tokens = TokensSerializer()
    feedback = ThumbsSerializer()
    sources = SourcesSerializer()
    first_token = FirstTokenSerializer()


class DayFiguresSerializer(AnySerializer):
    day = serializers.DateField()
    figures = FiguresSerializer()


class PersonaFiguresSerializer(AnySerializer):
    persona = serializers.CharField(help_text="Its slug.")
    name = serializers.CharField(allow_blank=True)
    figures = FiguresSerializer()


class ReportSerializer(AnySerializer):
    """``days`` holds every day of the period in order, ``personas`` those that were talked with."""

    to = serializers.DateField(help_text="The last day.")
    timezone = serializers.CharField(help_text="In which the days are counted.")
    totals = FiguresSerializer()
    days = DayFiguresSerializer(many=True)
    personas = PersonaFiguresSerializer(many=True)

    def get_fields(self) -> dict[str, Any]:
        # No class can declare a field of this name.
        return {"from": serializers.DateField(help_text="The first day."), **super().get_fields()}


class ShownPersonaSerializer(AnySerializer):
    persona = serializers.CharField(help_text="Its slug.")
    name = serializers.CharField(allow_blank=True)
    suppressed = serializers.BooleanField(help_text="Its figures may be of fewer than five people.")
    figures = FiguresSerializer(allow_null=True, help_text="Null where they are suppressed.")


class DashboardSerializer(ReportSerializer):
    """The same of all people, from rollups."""

    counted_until = serializers.DateTimeField(allow_null=True, help_text="How far figures go; null before the first.")
    personas = ShownPersonaSerializer(many=True)  # type: ignore[assignment]


class CountedPersonSerializer(PersonBase):
    role = serializers.ChoiceField(choices=Role.choices)

    class Meta:
        model = User
        fields = ("id", "username", "role", "is_guest", "created_at")
        read_only_fields = fields


class PersonReportSerializer(ReportSerializer):
    user = CountedPersonSerializer()


def report_body(report: Report) -> dict[str, Any]:
    """``report`` as its serializer takes it."""
    period = report.period
    return {
        "from": period.first,
        "to": period.last,
        "timezone": period.zone.key,
        "totals": report.totals,
        "days": report.days,
        "personas": report.personas,
    }


class OwnerSerializer(AnySerializer):
    id = serializers.UUIDField()
    username = serializers.CharField()


class ConversationFiguresSerializer(AnySerializer):
    """A conversation in figures: nothing of what was said."""

    id = serializers.UUIDField()
    user = OwnerSerializer()
    persona = serializers.CharField(help_text="Its slug.")
    persona_version = serializers.IntegerField(help_text="The number of the version that it is pinned to.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(help_text="The last activity.")
    questions = serializers.IntegerField()
    replies = EndingsSerializer()
    tokens = TokensSerializer()
    feedback = ThumbsSerializer()


def conversation_body(conversation: Conversation, counted: Mapping[str, Any]) -> dict[str, Any]:
    """``conversation`` with what ``selectors.conversation_figures`` counted of it, as its serializer takes it."""
    version = conversation.persona_version
    return {
        "id": conversation.pk,
        "user": conversation.owner,
        "persona": version.persona.slug,
        "persona_version": version.number,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        **counted,
    }
