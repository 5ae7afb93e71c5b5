"""The shapes of requests and answers about personas. What a field may hold is said by the models and services."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from accounts.api.serializers import AnySerializer
from accounts.audience import Visibility
from chatbot_project.lib import markdown
from personas.models import CONTENT_FIELDS, Persona, PersonaVersion
from personas.validators import CATEGORY_SLUG, MAX_CATEGORIES, MAX_SUGGESTION_LENGTH, MAX_SUGGESTIONS, OFFERS

if TYPE_CHECKING:
    VersionModelSerializer = serializers.ModelSerializer[PersonaVersion]
else:
    VersionModelSerializer = serializers.ModelSerializer

STATES = ("draft", "published", "archived")
MAX_POSITION = 2**31 - 1
_ONLY_STAFF = "Only for staff."


class PublicPersonaSerializer(AnySerializer):
    """Someone to talk to, as people are told."""

    id = serializers.UUIDField()
    slug = serializers.SlugField()
    name = serializers.CharField(help_text="The slug where nothing is published.")
    description = serializers.CharField()
    emoji = serializers.CharField()
    colour = serializers.CharField()
    greeting = serializers.CharField(help_text="Markdown, shown above an empty conversation.")
    suggestions = serializers.ListField(child=serializers.CharField(), help_text="First questions to choose from.")
    version = serializers.IntegerField(allow_null=True, help_text="Null where it was never published.")
    published_at = serializers.DateTimeField(allow_null=True)


class PersonaSerializer(PublicPersonaSerializer):
    """Someone to talk to, as a list shows it; with more for staff."""

    state = serializers.ChoiceField(choices=STATES, required=False, help_text=_ONLY_STAFF)
    visibility = serializers.ChoiceField(
        choices=Visibility.choices, required=False, allow_null=True, help_text=_ONLY_STAFF
    )
    position = serializers.IntegerField(required=False, help_text=_ONLY_STAFF)
    has_draft = serializers.BooleanField(required=False, help_text=_ONLY_STAFF)
    archived_at = serializers.DateTimeField(required=False, allow_null=True, help_text=_ONLY_STAFF)


class PersonaDetailSerializer(PersonaSerializer):
    """One persona."""

    greeting_html = serializers.CharField(help_text="The greeting as safe HTML.")


def persona_bodies(personas: Iterable[Persona], *, for_staff: bool) -> list[dict[str, Any]]:
    """Personas of ``with_published`` as lists show them; for staff also of ``with_has_draft``."""
    shown = [_told(persona) | (_for_staff(persona) if for_staff else {}) for persona in personas]
    return list((PersonaSerializer if for_staff else PublicPersonaSerializer)(shown, many=True).data)


def persona_detail(persona: Persona, *, for_staff: bool) -> dict[str, Any]:
    """The same of one, with the greeting as HTML."""
    (body,) = persona_bodies([persona], for_staff=for_staff)
    return body | {"greeting_html": markdown.render(body["greeting"])}


def _told(persona: Persona) -> dict[str, Any]:
    version = persona.published
    shown = {name: getattr(version, name) if version else "" for name in ("description", "emoji", "colour", "greeting")}
    return shown | {
        "id": persona.pk,
        "slug": persona.slug,
        "name": version.name if version else persona.slug,
        "suggestions": version.suggestions if version else [],
        "version": version.number if version else None,
        "published_at": version.published_at if version else None,
    }


def _for_staff(persona: Any) -> dict[str, Any]:
    is_out = persona.published is not None
    return {
        "state": "archived" if persona.archived_at else "published" if is_out else "draft",
        "visibility": persona.published.visibility if is_out else None,
        "position": persona.position,
        "has_draft": persona.has_draft,
        "archived_at": persona.archived_at,
    }


class ContentSerializer(VersionModelSerializer):
    """What makes up a version."""

    suggestions = serializers.ListField(
        child=serializers.CharField(max_length=MAX_SUGGESTION_LENGTH), max_length=MAX_SUGGESTIONS, required=False
    )
    faq_categories = serializers.ListField(
        child=serializers.RegexField(rf"^{CATEGORY_SLUG.pattern}$"),
        max_length=MAX_CATEGORIES,
        required=False,
        help_text="Slugs, each with all that stands below it. None means all.",
    )
    unknown_offers = serializers.ListField(
        child=serializers.ChoiceField(choices=OFFERS), max_length=len(OFFERS), required=False
    )

    class Meta:
        model = PersonaVersion
        fields = CONTENT_FIELDS


class NewPersonaSerializer(ContentSerializer):
    """A new persona with its first draft."""

    slug = serializers.SlugField(max_length=60, help_text="Stands in addresses and files and never changes.")
    position = serializers.IntegerField(
        min_value=0, max_value=MAX_POSITION, required=False, help_text="Lower numbers stand first."
    )

    class Meta(ContentSerializer.Meta):
        fields = ("slug", "position", *CONTENT_FIELDS)  # type: ignore[assignment]


class PersonaFilterSerializer(AnySerializer):
    """Which personas a list holds."""

    state = serializers.ChoiceField(
        choices=[*STATES, "any"],
        required=False,
        help_text="For staff: all personas of that state, whoever may chat with them. Without it, those that the "
        "caller may chat with.",
    )


class PlaceSerializer(AnySerializer):
    position = serializers.IntegerField(min_value=0, max_value=MAX_POSITION, help_text="Lower numbers stand first.")


class VersionLineSerializer(AnySerializer):
    """A version in the history."""

    number = serializers.IntegerField(allow_null=True, help_text="Null for the draft.")
    name = serializers.CharField()
    author = serializers.CharField(source="author.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    published_at = serializers.DateTimeField(allow_null=True)


class VersionSerializer(VersionLineSerializer):
    """A version with all that it holds."""

    description = serializers.CharField()
    emoji = serializers.CharField()
    colour = serializers.CharField()
    greeting = serializers.CharField()
    suggestions = serializers.ListField(child=serializers.CharField())
    system_prompt = serializers.CharField()
    model = serializers.CharField()
    temperature = serializers.FloatField()
    max_reply_tokens = serializers.IntegerField()
    context_budget = serializers.IntegerField()
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    faq_mode = serializers.CharField()
    faq_categories = serializers.ListField(child=serializers.CharField())
    unknown_offers = serializers.ListField(child=serializers.CharField())
    contact = serializers.CharField()
    personal_data = serializers.CharField()
    flag_from = serializers.FloatField()
    block_from = serializers.FloatField()
    cache_hours = serializers.IntegerField()


class RollBackSerializer(AnySerializer):
    number = serializers.IntegerField(min_value=1, max_value=MAX_POSITION, help_text="An earlier version.")
