"""Personas and their versions. A published version never changes: conversations pin one and rely on it."""

import math
from collections.abc import Iterable
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.audience import Visibility, visibilities_for
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.llm.providers import goes_outside
from chatbot_project.lib.llm.tokens import estimate_tokens
from faqs.models import Category
from personas.validators import (
    validate_categories,
    validate_emoji,
    validate_line,
    validate_model_ref,
    validate_offers,
    validate_suggestions,
    validate_text,
)


class Colour(models.TextChoices):
    """A palette instead of free values: each has a readable pair for light and dark, and needs no inline style."""

    SLATE = "slate", _("Slate")
    RED = "red", _("Red")
    AMBER = "amber", _("Amber")
    GREEN = "green", _("Green")
    TEAL = "teal", _("Teal")
    BLUE = "blue", _("Blue")
    VIOLET = "violet", _("Violet")
    PINK = "pink", _("Pink")


class FAQMode(models.TextChoices):
    """What a persona does with the FAQ."""

    OFF = "off", _("Off: the model answers by itself")
    CONTEXT = "context", _("Context: the model answers from approved answers and cites them")
    DIRECT = "direct", _("Direct: an approved answer that surely fits is given as it is")


class PersonalData(models.TextChoices):
    """Which models are sent placeholders for what is found of personal data in a conversation."""

    OUTSIDE = "outside", _("Not sent to outside models: placeholders stand for it")
    ALWAYS = "always", _("Sent to no model: placeholders stand for it")
    NEVER = "never", _("Sent as it was written")


#: What makes up a version: edited, published, copied, compared and written to files together.
CONTENT_FIELDS = (
    "name", "description", "emoji", "colour", "greeting", "suggestions", "system_prompt",
    "model", "temperature", "max_reply_tokens", "context_budget", "visibility",
    "faq_mode", "faq_categories", "unknown_offers", "contact", "personal_data", "flag_from", "block_from",
    "cache_hours",
)  # fmt: skip
MOST_CACHE_HOURS = 24 * 30
#: Tokens of the context budget that must be left beside the system prompt: room for a question.
ROOM_FOR_A_QUESTION = 128
#: And where it answers from the FAQ: room for how to do that and for one short approved answer.
ROOM_FOR_SOURCES = 512


class PersonaQuerySet(models.QuerySet["Persona"]):
    def visible_to(self, user: Any) -> Self:
        """Published personas that ``user`` may start a conversation with; archived ones are for nobody."""
        return self.meant_for(visibilities_for(user))

    def meant_for(self, visibilities: Iterable[str]) -> Self:
        """Published personas of these visibilities that are not archived."""
        return self.filter(
            archived_at__isnull=True, published__isnull=False, published__visibility__in=list(visibilities)
        )

    def with_published(self) -> Self:
        """Each persona with its published version, in one query."""
        return self.select_related("published")

    def with_has_draft(self) -> Self:
        """Each persona with ``has_draft``, whether it has one."""
        return self.annotate(has_draft=Exists(PersonaVersion.objects.drafts().filter(persona=OuterRef("pk"))))


class Persona(models.Model):
    """Someone to talk to. What it says and how stands in its versions."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    position = models.PositiveIntegerField(_("position"), default=0, help_text=_("Lower numbers stand first."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True, editable=False)
    published = models.OneToOneField(
        "PersonaVersion",
        verbose_name=_("published version"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="published_as",
    )

    objects = PersonaQuerySet.as_manager()

    class Meta:
        verbose_name = _("persona")
        verbose_name_plural = _("personas")
        ordering = ["position", "slug"]
        permissions = [("publish_persona", _("Can publish, roll back and archive personas"))]

    def __str__(self) -> str:
        return self.slug


class PersonaVersionQuerySet(models.QuerySet["PersonaVersion"]):
    def published(self) -> Self:
        """Versions that are or were in force."""
        return self.filter(published_at__isnull=False)

    def drafts(self) -> Self:
        """Versions that still may change: at most one of each persona."""
        return self.filter(published_at__isnull=True)


class PersonaVersion(models.Model):
    """A persona's words and settings at one time. Draft until ``published_at`` is set, immutable from then on.

    ``number`` counts a persona's published versions from 1 and is null for the draft. Token figures are the
    model's tokens: ``context_budget`` bounds prompt and history, ``max_reply_tokens`` the reply.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    persona = models.ForeignKey(Persona, verbose_name=_("persona"), on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(_("number"), null=True, blank=True, editable=False)
    name = models.CharField(_("name"), max_length=60, validators=[validate_line])
    description = models.CharField(_("description"), max_length=200, blank=True, validators=[validate_line])
    emoji = models.CharField(_("emoji"), max_length=16, blank=True, validators=[validate_emoji])
    colour = models.CharField(_("colour"), max_length=10, choices=Colour.choices, default=Colour.SLATE.value)
    greeting = models.TextField(
        _("greeting"),
        blank=True,
        validators=[validate_text, MaxLengthValidator(2000)],
        help_text=_("Shown above an empty conversation. Markdown."),
    )
    suggestions = models.JSONField(
        _("suggested first questions"), default=list, blank=True, validators=[validate_suggestions]
    )
    system_prompt = models.TextField(
        _("system prompt"),
        validators=[validate_text, MaxLengthValidator(20_000)],
        help_text=_("Goes before every conversation. Write no secret into it: a model can be made to repeat it."),
    )
    model = models.CharField(
        _("model"),
        max_length=200,
        blank=True,
        validators=[validate_model_ref],
        help_text=_("provider/name; empty means this installation's default model."),
    )
    temperature = models.FloatField(
        _("temperature"), default=0.7, validators=[MinValueValidator(0.0), MaxValueValidator(2.0)]
    )
    max_reply_tokens = models.PositiveIntegerField(
        _("longest reply (tokens)"), default=512, validators=[MinValueValidator(16), MaxValueValidator(131_072)]
    )
    context_budget = models.PositiveIntegerField(
        _("context budget (tokens)"),
        default=3072,
        validators=[MinValueValidator(256), MaxValueValidator(2_000_000)],
        help_text=_("How much of the prompt and the conversation goes to the model."),
    )
    visibility = models.CharField(
        _("visible to"), max_length=10, choices=Visibility.choices, default=Visibility.GUESTS.value
    )
    faq_mode = models.CharField(
        _("FAQ"),
        max_length=10,
        choices=FAQMode.choices,
        default=FAQMode.OFF.value,
        help_text=_("Only FAQs that everyone who may see this persona may read are used."),
    )
    faq_categories = models.JSONField(
        _("FAQ categories"),
        default=list,
        blank=True,
        validators=[validate_categories],
        help_text=_("With all that stands below them. None means all."),
    )
    unknown_offers = models.JSONField(
        _("offers where the FAQ has no answer"), default=list, blank=True, validators=[validate_offers]
    )
    contact = models.CharField(
        _("contact"),
        max_length=200,
        blank=True,
        validators=[validate_line],
        help_text=_("An address or a link, shown with the offer to get in touch."),
    )
    personal_data = models.CharField(
        _("personal data"),
        max_length=10,
        choices=PersonalData.choices,
        default=PersonalData.OUTSIDE.value,
        help_text=_(
            "E-mail addresses, telephone numbers, cards, accounts, identity numbers, IP addresses and keys that are "
            "found in a conversation. Readers see them as they were written."
        ),
    )
    flag_from = models.FloatField(
        _("flag from"),
        default=0.5,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text=_(
            "The moderation endpoint's score, from 0 to 1, from which on moderators look at a message. Only where an "
            "endpoint is configured."
        ),
    )
    block_from = models.FloatField(
        _("block from"),
        default=0.9,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text=_("The same, from which on it is blocked, and somebody in distress is told where to find help."),
    )
    cache_hours = models.PositiveSmallIntegerField(
        _("give replies again (hours)"),
        default=0,
        validators=[MaxValueValidator(MOST_CACHE_HOURS)],
        help_text=_(
            "For so long a reply to the first question of a conversation also answers others who ask the same. 0: "
            "every question is put to the model. Questions with personal data always are."
        ),
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("author"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    published_at = models.DateTimeField(_("published"), null=True, blank=True, editable=False)

    objects = PersonaVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("persona version")
        verbose_name_plural = _("persona versions")
        ordering = ["persona", F("number").desc(nulls_first=True)]
        constraints = [
            models.UniqueConstraint(fields=["persona", "number"], name="personas_version_number_once"),
            models.UniqueConstraint(
                fields=["persona"], condition=Q(published_at__isnull=True), name="personas_one_draft"
            ),
            models.CheckConstraint(
                condition=Q(number__isnull=True, published_at__isnull=True)
                | Q(number__gte=1, published_at__isnull=False),
                name="personas_number_when_published",
            ),
            models.CheckConstraint(
                condition=Q(temperature__gte=0, temperature__lte=2), name="personas_temperature_range"
            ),
            models.CheckConstraint(
                condition=Q(visibility__in=["guests", "users", "staff"]), name="personas_visibility_known"
            ),
            models.CheckConstraint(
                condition=Q(faq_mode__in=["off", "context", "direct"]), name="personas_faq_mode_known"
            ),
            models.CheckConstraint(
                condition=Q(flag_from__gte=0, block_from__gte=F("flag_from"), block_from__lte=1),
                name="personas_thresholds_in_order",
            ),
            models.CheckConstraint(
                condition=Q(personal_data__in=["outside", "always", "never"]), name="personas_personal_data_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.label})"

    @property
    def is_draft(self) -> bool:
        return self.published_at is None

    @property
    def label(self) -> str:
        """How people name this version: its number, or that it is the draft."""
        return str(_("draft")) if self.number is None else f"v{self.number}"

    @property
    def content(self) -> dict[str, Any]:
        """The fields that make up this version, by name."""
        return {name: getattr(self, name) for name in CONTENT_FIELDS}

    @property
    def answers_from_faqs(self) -> bool:
        return self.faq_mode != FAQMode.OFF

    def takes_out_personal_data(self, asked: Iterable[str]) -> bool:
        """Whether any of the models ``asked`` (``provider/name``) must see placeholders only."""
        if self.personal_data == PersonalData.OUTSIDE:
            return goes_outside(asked, settings.LLM_PROVIDERS)
        return self.personal_data == PersonalData.ALWAYS

    def clean(self) -> None:
        """What the validators of single fields cannot tell. Raises ValidationError by field.

        Asks the database where FAQ categories are named: each has to exist.
        """
        problems: dict[str, str] = {}
        if not isinstance(self.suggestions, list):
            problems["suggestions"] = gettext("Give a list of questions.")
        if isinstance(self.temperature, float) and math.isnan(self.temperature):
            problems["temperature"] = gettext("Give a number.")
        needed = estimate_tokens(self.system_prompt) + ROOM_FOR_A_QUESTION
        needed += ROOM_FOR_SOURCES if self.answers_from_faqs else 0
        if isinstance(self.context_budget, int) and needed > self.context_budget:
            problems["context_budget"] = gettext(
                "The system prompt and a question need about %(needed)d tokens of context."
            ) % {"needed": needed}
        are_numbers = isinstance(self.flag_from, float) and isinstance(self.block_from, float)
        if are_numbers and not self.flag_from <= self.block_from:  # so neither is NaN
            problems["block_from"] = gettext("This must not be less than “flag from”.")
        problems |= self._knowledge_problems()
        if problems:
            raise ValidationError(problems)

    def _knowledge_problems(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        if not isinstance(self.faq_categories, list):
            problems["faq_categories"] = gettext("Give a list of categories.")
        elif missing := missing_categories(self.faq_categories):
            problems["faq_categories"] = gettext("There is no FAQ category “%(slugs)s”.") % {
                "slugs": "”, “".join(missing)
            }
        if not isinstance(self.unknown_offers, list):
            problems["unknown_offers"] = gettext("Give a list of offers.")
        elif "contact" in self.unknown_offers and not self.contact:
            problems["contact"] = gettext("Say what the contact is, or do not offer it.")
        return problems

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises ApplicationError ``version_published`` (409) where the stored row is published already."""
        self._refuse_if_published()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raises ApplicationError ``version_published`` (409) where the stored row is published already."""
        self._refuse_if_published()
        return super().delete(*args, **kwargs)

    def _refuse_if_published(self) -> None:
        # The stored row decides, not this object, which may be older. A trigger guards what does not come this way.
        if PersonaVersion.objects.filter(pk=self.pk).published().exists():
            raise ApplicationError("version_published", gettext("A published version cannot be changed."), status=409)


def missing_categories(slugs: list[Any]) -> list[str]:
    """Those of ``slugs`` that are no FAQ category. Asks the database only where there are any."""
    wanted = [slug for slug in slugs if isinstance(slug, str)]
    if not wanted:
        return []
    known = set(Category.objects.filter(slug__in=wanted).values_list("slug", flat=True))
    return [slug[:80] for slug in wanted if slug not in known]
