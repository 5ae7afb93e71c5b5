"""The shapes of what editors and readers send about FAQs. What a text may be is said by ``faqs.content``."""

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from accounts.api.serializers import AnySerializer
from accounts.audience import Visibility
from faqs.content import MAX_PHRASINGS, MAX_TAG, MAX_TAGS
from faqs.models import FAQ, Category
from faqs.models.catalog import MAX_ANSWER, MAX_QUESTION
from faqs.owners import owners

# The framework's own class takes no type at run time; the stubs' does.
if TYPE_CHECKING:
    AnySlugRelatedField = serializers.SlugRelatedField[Any]
else:
    AnySlugRelatedField = serializers.SlugRelatedField

MAX_NUMBER = 2**31 - 1
LANGUAGE = r"^[A-Za-z]{2}([-_][A-Za-z]{2,4})?$"


class NamedField(AnySlugRelatedField):
    """A row by its unique name. An empty text names none, and does not stand for null."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data == "":
            self.fail("does_not_exist", slug_name=self.slug_field, value=data)
        return super().run_validation(data)


class NewFAQSerializer(AnySerializer):
    """An FAQ as editors write it."""

    question = serializers.CharField(max_length=MAX_QUESTION, help_text="With at least one letter or digit.")
    answer = serializers.CharField(max_length=MAX_ANSWER, trim_whitespace=False, help_text="Markdown.")
    language = serializers.RegexField(LANGUAGE, default="en")
    category = NamedField(
        slug_field="slug", queryset=Category.objects.all(), default=None, allow_null=True, help_text="Its slug."
    )
    tags = serializers.ListField(child=serializers.CharField(max_length=MAX_TAG), max_length=MAX_TAGS, default=list)
    visibility = serializers.ChoiceField(choices=Visibility.choices, default=Visibility.GUESTS.value)
    valid_from = serializers.DateTimeField(default=None, allow_null=True)
    valid_until = serializers.DateTimeField(default=None, allow_null=True, help_text="Later than `valid_from`.")
    owner = NamedField(
        slug_field="username", queryset=owners(), default=None, allow_null=True, help_text="Username of staff."
    )
    phrasings = serializers.ListField(
        child=serializers.CharField(max_length=MAX_QUESTION),
        max_length=MAX_PHRASINGS,
        default=list,
        help_text="Other ways to ask it: all of them.",
    )
    note = serializers.CharField(
        max_length=200, allow_blank=True, default="", help_text="What this change is about, for the history."
    )


class PhrasingTextSerializer(AnySerializer):
    text = serializers.CharField(max_length=MAX_QUESTION, help_text="With at least one letter or digit.")


class VersionNumberSerializer(AnySerializer):
    number = serializers.IntegerField(min_value=1, max_value=MAX_NUMBER, help_text="An earlier version.")


class OpinionSerializer(AnySerializer):
    """Whether an FAQ helped."""

    helpful = serializers.BooleanField()
    comment = serializers.CharField(max_length=1000, allow_blank=True, default="", help_text="What was missing.")


class GivenOpinionSerializer(AnySerializer):
    """What one said of an FAQ; the last word counts."""

    helpful = serializers.BooleanField()
    comment = serializers.CharField()
    version = serializers.IntegerField(help_text="Of the FAQ.")
    created_at = serializers.DateTimeField()


class FAQFilterSerializer(AnySerializer):
    """Which FAQs are meant."""

    category = serializers.SlugField(max_length=80, required=False, help_text="A slug: in it and all below.")
    language = serializers.RegexField(LANGUAGE, required=False, help_text="With all its regional variants.")
    tag = serializers.CharField(max_length=MAX_TAG, required=False)
    status = serializers.ChoiceField(
        choices=[*FAQ.Status.values, "any"],
        required=False,
        help_text="For moderators: all FAQs of that status, whoever may read them and when. Without it, those that "
        "the caller may read now.",
    )


class SearchSerializer(AnySerializer):
    """What is asked, and among which FAQs."""

    q = serializers.CharField(max_length=1000, help_text="The question, as somebody asks it.")
    language = serializers.RegexField(
        LANGUAGE, required=False, help_text="FAQs in it come first; without it, those in the question's language."
    )
    category = serializers.SlugField(max_length=80, required=False, help_text="A slug: only in it and all below.")
    limit = serializers.IntegerField(min_value=1, max_value=20, default=5)


def own_fields(data: dict[str, Any]) -> dict[str, Any]:
    """The validated ``data`` with the language as FAQs have it."""
    return data | ({"language": data["language"].lower().replace("_", "-")} if "language" in data else {})
