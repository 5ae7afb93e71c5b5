"""What the organisation has approved: categories, FAQs, the ways to ask them, their history, and what readers say."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import MaxLengthValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.audience import Visibility, visibilities_for
from chatbot_project.lib.ids import uuid7

MAX_QUESTION = 500
MAX_ANSWER = 20_000
validate_language = RegexValidator(r"^[a-z]{2}(-[a-z]{2,4})?\Z", _("A language code such as en or pt-br."))


class Category(models.Model):
    """A node of the category tree. ``slug`` names it in persona files and addresses and never changes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    parent = models.ForeignKey(
        "self",
        verbose_name=_("parent"),
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
    )
    name = models.CharField(_("name"), max_length=100)
    slug = models.SlugField(_("slug"), max_length=80, unique=True)
    description = models.CharField(_("description"), max_length=300, blank=True)
    position = models.PositiveIntegerField(_("position"), default=0, help_text=_("Lower numbers stand first."))

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        ordering: ClassVar = ["position", "name", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(parent__isnull=True) | ~Q(parent=F("id")), name="faqs_category_not_its_own_parent"
            )
        ]

    def __str__(self) -> str:
        return self.name


class FAQQuerySet(models.QuerySet["FAQ"]):
    def in_force(self) -> Self:
        """Published and valid at this moment."""
        now = timezone.now()
        return self.filter(
            Q(valid_from__isnull=True) | Q(valid_from__lte=now),
            Q(valid_until__isnull=True) | Q(valid_until__gt=now),
            status=FAQ.Status.PUBLISHED,
        )

    def visible_to(self, user: Any) -> Self:
        """What ``user`` (a User or AnonymousUser) may read: in force and meant for them."""
        return self.meant_for(visibilities_for(user))

    def meant_for(self, visibilities: Iterable[str]) -> Self:
        """What is in force and has one of these visibilities."""
        return self.in_force().filter(visibility__in=list(visibilities))


class FAQ(models.Model):
    """An approved answer to a question. Its current content stands here; what it said before, in FAQVersion.

    ``translation_group`` is shared by the translations of one FAQ, at most one of each language.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("draft")
        PUBLISHED = "published", _("published")
        ARCHIVED = "archived", _("archived")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    category = models.ForeignKey(
        Category, verbose_name=_("category"), on_delete=models.PROTECT, null=True, blank=True, related_name="faqs"
    )
    question = models.CharField(_("question"), max_length=MAX_QUESTION)
    answer = models.TextField(_("answer"), validators=[MaxLengthValidator(MAX_ANSWER)], help_text=_("Markdown."))
    language = models.CharField(_("language"), max_length=7, default="en", validators=[validate_language])
    tags = ArrayField(models.CharField(max_length=40), verbose_name=_("tags"), default=list, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.DRAFT, editable=False)
    visibility = models.CharField(_("visible to"), max_length=10, choices=Visibility, default=Visibility.GUESTS)
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Who keeps this answer right."),
    )
    translation_group = models.UUIDField(default=uuid7, editable=False)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    # Where a model or a service drafted it, its name, until a person has published it.
    drafted_by = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("changed"), default=timezone.now, editable=False)
    published_at = models.DateTimeField(_("published"), null=True, editable=False)
    # Question, tags and answer in the language's configuration; the services keep it.
    search = SearchVectorField(null=True, editable=False)

    objects = FAQQuerySet.as_manager()

    class Meta:
        verbose_name = _("FAQ")
        verbose_name_plural = _("FAQs")
        ordering: ClassVar = ["question", "id"]
        permissions: ClassVar = [("publish_faq", _("Can publish and archive FAQs"))]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["translation_group", "language"],
                name="faqs_one_translation_a_language",
                condition=~Q(status="archived"),
            ),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True) | Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")),
                name="faqs_valid_until_after_from",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "published", "archived"]), name="faqs_status_known"
            ),
            models.CheckConstraint(
                condition=Q(visibility__in=["guests", "users", "staff"]), name="faqs_visibility_known"
            ),
        ]
        indexes: ClassVar = [
            # Search as you type in the help pages and in the admin.
            GinIndex(fields=["search"], name="faqs_search"),
            # A category's page.
            models.Index(fields=["category", "status"], name="faqs_of_category"),
            # The admin's list, newest change first.
            models.Index(fields=["-updated_at", "-id"], name="faqs_newest"),
        ]

    def __str__(self) -> str:
        return self.question

    def is_in_force(self) -> bool:
        """Published and valid at this moment."""
        now = timezone.now()
        return (
            self.status == FAQ.Status.PUBLISHED
            and (self.valid_from is None or self.valid_from <= now)
            and (self.valid_until is None or self.valid_until > now)
        )


class FAQVersion(models.Model):
    """What an FAQ said from one change to the next: ``content`` holds the fields of ``services.CONTENT_FIELDS`` and
    ``phrasings``, as JSON. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    faq = models.ForeignKey(FAQ, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("number"))
    content = models.JSONField()
    note = models.CharField(_("note"), max_length=200, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("author"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("time"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("FAQ version")
        verbose_name_plural = _("FAQ versions")
        ordering: ClassVar = ["faq", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["faq", "number"], name="faqs_version_number_once"),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"


class Phrasing(models.Model):
    """One way to ask an FAQ. Its own question is one of them, so that all are searched alike."""

    class Kind(models.TextChoices):
        QUESTION = "question", _("the question itself")
        PHRASING = "phrasing", _("another way to ask it")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    faq = models.ForeignKey(FAQ, on_delete=models.CASCADE, related_name="phrasings")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PHRASING, editable=False)
    text = models.CharField(_("wording"), max_length=MAX_QUESTION)
    # SHA-256 of the text, in hexadecimal: what its embedding is cached by.
    text_hash = models.CharField(max_length=64, editable=False)
    search = SearchVectorField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("phrasing")
        verbose_name_plural = _("phrasings")
        ordering: ClassVar = ["faq", "created_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["faq", "text_hash"], name="faqs_phrasing_once"),
            models.UniqueConstraint(fields=["faq"], name="faqs_one_question", condition=Q(kind="question")),
        ]
        indexes: ClassVar = [
            # First-stage retrieval by words.
            GinIndex(fields=["search"], name="faqs_phrasing_search"),
        ]

    def __str__(self) -> str:
        return self.text


class FAQFeedback(models.Model):
    """Whether an FAQ helped somebody: once per person, or per browser session of someone who is not signed in."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    faq = models.ForeignKey(FAQ, on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    # A keyed hash of the session where there is no user.
    visitor = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField()
    helpful = models.BooleanField(_("helpful"))
    comment = models.CharField(_("comment"), max_length=1000, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("FAQ feedback")
        verbose_name_plural = _("FAQ feedback")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["faq", "user"], name="faqs_feedback_per_person", condition=Q(user__isnull=False)
            ),
            models.UniqueConstraint(
                fields=["faq", "visitor"], name="faqs_feedback_per_visitor", condition=Q(user__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{'+' if self.helpful else '-'} {self.faq_id}"
