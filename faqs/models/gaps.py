"""What people asked and the FAQ could not answer well: the editors' list of what to write next."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pgvector.django import VectorField

from chatbot_project.lib.ids import uuid7
from faqs.models.catalog import FAQ, MAX_QUESTION
from faqs.models.index import EmbeddingModel


class Gap(models.Model):
    """Questions that ask much the same and found no good answer. ``question`` is the one that stands for them."""

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        DRAFTED = "drafted", _("FAQ drafted")
        ANSWERED = "answered", _("answered")
        DISMISSED = "dismissed", _("dismissed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    question = models.CharField(_("question"), max_length=MAX_QUESTION)
    language = models.CharField(_("language"), max_length=7)
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.OPEN, editable=False)
    count = models.PositiveIntegerField(_("times asked"), default=0, editable=False)
    # The mean of its questions' vectors, of length 1, by ``model``: what new questions are compared with.
    vector = VectorField(null=True, editable=False)
    model = models.ForeignKey(EmbeddingModel, on_delete=models.SET_NULL, null=True, editable=False, related_name="+")
    faq = models.ForeignKey(
        FAQ, verbose_name=_("FAQ"), on_delete=models.SET_NULL, null=True, editable=False, related_name="gaps"
    )
    reason = models.CharField(_("reason of dismissal"), max_length=300, blank=True, editable=False)
    first_seen_at = models.DateTimeField(_("first asked"), default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(_("last asked"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("gap")
        verbose_name_plural = _("gaps")
        ordering: ClassVar = ["-count", "-last_seen_at", "id"]
        indexes: ClassVar = [
            # The editors' list: open ones, most asked first.
            models.Index(fields=["status", "-count", "-last_seen_at"], name="faqs_gap_list"),
        ]

    def __str__(self) -> str:
        return self.question


class GapQuestion(models.Model):
    """One question of a gap, with personal data taken out. ``source_id`` is the reply or the FAQ feedback it came
    from, which it counts once."""

    class Source(models.TextChoices):
        BELOW_FLOOR = "below_floor", _("no good match")
        THUMBS_DOWN = "thumbs_down", _("thumbs down")
        DID_NOT_HELP = "did_not_help", _("did not help")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    gap = models.ForeignKey(Gap, on_delete=models.CASCADE, related_name="questions")
    text = models.CharField(_("question"), max_length=MAX_QUESTION)
    source = models.CharField(_("source"), max_length=12, choices=Source)
    source_id = models.UUIDField(null=True)
    # Who asked, for the rights of the person; never shown.
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    # The FAQ that was shown and did not help.
    faq = models.ForeignKey(FAQ, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("question of a gap")
        verbose_name_plural = _("questions of gaps")
        ordering: ClassVar = ["-created_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["source", "source_id"], name="faqs_gap_source_once", condition=Q(source_id__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.text
