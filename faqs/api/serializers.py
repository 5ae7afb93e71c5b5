"""The shapes of FAQs in answers. Readers are told what the help pages show, editors also how it stands."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from accounts.api.serializers import AnySerializer
from accounts.audience import Visibility
from chatbot_project.lib import markdown
from faqs.models import FAQ
from faqs.phrasings import phrasings_of

_ONLY_EDITORS = "Only for those who may see drafts."


class PublicFAQSerializer(AnySerializer):
    """An FAQ as its readers are told."""

    id = serializers.UUIDField()
    question = serializers.CharField()
    answer = serializers.CharField(help_text="Markdown.")
    language = serializers.CharField()
    category = serializers.CharField(source="category.slug", default=None, allow_null=True, help_text="Its slug.")
    tags = serializers.ListField(child=serializers.CharField())
    version = serializers.IntegerField()
    updated_at = serializers.DateTimeField()


class FAQSerializer(PublicFAQSerializer):
    """An FAQ as a list shows it; with more for editors."""

    status = serializers.ChoiceField(choices=FAQ.Status.choices, required=False, help_text=_ONLY_EDITORS)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False, help_text=_ONLY_EDITORS)
    valid_from = serializers.DateTimeField(required=False, allow_null=True, help_text=_ONLY_EDITORS)
    valid_until = serializers.DateTimeField(required=False, allow_null=True, help_text=_ONLY_EDITORS)
    published_at = serializers.DateTimeField(required=False, allow_null=True, help_text=_ONLY_EDITORS)
    owner = serializers.CharField(source="owner.username", required=False, allow_null=True, help_text=_ONLY_EDITORS)
    drafted_by = serializers.CharField(
        required=False, help_text=f"The model that wrote it, until a person has published it. {_ONLY_EDITORS}"
    )


class TranslationSerializer(AnySerializer):
    """The same FAQ in another language."""

    id = serializers.UUIDField()
    language = serializers.CharField()
    question = serializers.CharField()
    status = serializers.ChoiceField(choices=FAQ.Status.choices, required=False, help_text=_ONLY_EDITORS)


class FAQDetailSerializer(FAQSerializer):
    """One FAQ."""

    answer_html = serializers.CharField(help_text="The answer as safe HTML.")
    translations = TranslationSerializer(many=True)
    phrasings = serializers.ListField(
        child=serializers.CharField(), required=False, help_text=f"Other ways to ask it. {_ONLY_EDITORS}"
    )


class MatchSerializer(AnySerializer):
    """An FAQ that may answer the question."""

    id = serializers.UUIDField(source="faq")
    question = serializers.CharField()
    answer = serializers.CharField(help_text="Markdown.")
    language = serializers.CharField()
    category = serializers.CharField(allow_null=True, help_text="Its slug.")
    version = serializers.IntegerField()
    score = serializers.FloatField(min_value=0, max_value=1, help_text="Meaning and words fused.")
    confidence = serializers.FloatField(
        min_value=0, max_value=1, help_text="The probability that this FAQ answers the question."
    )
    phrasing = serializers.CharField(help_text="The way to ask it that is nearest.")


class FoundSerializer(AnySerializer):
    """What a search found, the best first."""

    items = MatchSerializer(many=True)
    language = serializers.CharField(help_text="The one that was asked for, or the question's.")
    outside = serializers.FloatField(min_value=0, max_value=1, help_text="The probability that no FAQ answers.")
    below_floor = serializers.BooleanField(help_text="Whether a persona would say that it does not know.")


def faq_detail(faq: FAQ, translations: Iterable[FAQ], *, for_editor: bool) -> dict[str, Any]:
    """One FAQ with those ``translations`` that the reader may know of. For editors one query, for the phrasings."""
    names = ("id", "language", "question", *(["status"] if for_editor else []))
    shape = FAQSerializer if for_editor else PublicFAQSerializer
    body: dict[str, Any] = shape(faq).data | {
        "answer_html": markdown.render(faq.answer),
        "translations": [{name: str(getattr(other, name)) for name in names} for other in translations],
    }
    return body | {"phrasings": phrasings_of(faq)} if for_editor else body
