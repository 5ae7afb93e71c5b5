"""How the knowledge is found: vectors of the phrasings, and what was learned from them. All of it can be made anew."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from pgvector.django import VectorField

from chatbot_project.lib.ids import uuid7
from faqs.models.catalog import Phrasing


class EmbeddingModel(models.Model):
    """A model that makes vectors, ``provider/name``; the embedded one is ``embedded/wordllama``.

    Its vectors have an HNSW index of their own, partial on this row's id, so that one model is filled while another
    serves.
    """

    id = models.SmallAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=200, unique=True)
    dimensions = models.PositiveIntegerField(_("dimensions"))
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("embedding model")
        verbose_name_plural = _("embedding models")

    def __str__(self) -> str:
        return self.name


class Embedding(models.Model):
    """The vector of one phrasing by one model, of length 1. Valid only while ``text_hash`` is the phrasing's."""

    id = models.BigAutoField(primary_key=True)
    phrasing = models.ForeignKey(Phrasing, on_delete=models.CASCADE, related_name="embeddings")
    model = models.ForeignKey(EmbeddingModel, on_delete=models.CASCADE, related_name="embeddings", db_index=False)
    text_hash = models.CharField(max_length=64)
    vector = VectorField()

    class Meta:
        verbose_name = _("embedding")
        verbose_name_plural = _("embeddings")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["phrasing", "model"], name="faqs_embedding_once"),
        ]
        indexes: ClassVar = [
            # The cache: a text that was embedded before is not sent again.
            models.Index(fields=["model", "text_hash"], name="faqs_embedding_cache"),
        ]

    def __str__(self) -> str:
        return f"{self.phrasing_id} {self.model_id}"


class TrainedMatcher(models.Model):
    """A matcher that was trained: its arrays, and on what. ``revision`` is the knowledge's revision that it knows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(EmbeddingModel, on_delete=models.CASCADE, related_name="+")
    revision = models.PositiveBigIntegerField()
    arrays = models.BinaryField()
    faq_count = models.PositiveIntegerField()
    phrasing_count = models.PositiveIntegerField()
    seconds = models.FloatField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("trained matcher")
        verbose_name_plural = _("trained matchers")
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"r{self.revision}"


class KnowledgeState(models.Model):
    """One row: what is in force. ``revision`` rises with every change of what may be answered, in the same
    transaction."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    revision = models.PositiveBigIntegerField(default=1)
    model = models.ForeignKey(EmbeddingModel, on_delete=models.PROTECT, null=True, related_name="+")
    matcher = models.ForeignKey(TrainedMatcher, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        verbose_name = _("knowledge state")
        verbose_name_plural = _("knowledge state")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(id=1), name="faqs_one_state"),
        ]

    def __str__(self) -> str:
        return f"r{self.revision}"
