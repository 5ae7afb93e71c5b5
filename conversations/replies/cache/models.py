"""A reply that is kept to answer its question again."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from pgvector.django import VectorField


class CachedReply(models.Model):
    """What a question was answered; without a ``text``, that the reply ``leader`` is being made to answer it, and
    without either, that until ``expires_at`` each who asks it is to ask a model.

    ``key`` is a hash of the question and of all that its answer depends on; ``near`` of all that must be equal where
    another question means the same, ``vector`` what it means. Neither the question nor a person is in it. The table
    is unlogged: after a crash of the database it is empty, which loses nothing.
    """

    key = models.CharField(primary_key=True, max_length=64)
    near = models.CharField(max_length=64)
    vector = VectorField(null=True)
    persona_version = models.ForeignKey("personas.PersonaVersion", on_delete=models.CASCADE, related_name="+")
    leader = models.UUIDField(null=True)
    text = models.TextField(blank=True)
    model = models.CharField(_("model"), max_length=200, blank=True)
    source = models.CharField(max_length=12, blank=True)
    citations = models.JSONField(default=list)
    answered_at = models.DateTimeField(_("answered"))
    expires_at = models.DateTimeField(_("expires"))

    class Meta:
        verbose_name = _("cached reply")
        verbose_name_plural = _("cached replies")
        indexes: ClassVar = [
            models.Index(fields=["near"], name="cached_reply_near"),  # questions that may mean the same
            models.Index(fields=["answered_at"], name="cached_reply_age"),  # which go first where there are too many
            models.Index(fields=["expires_at"], name="cached_reply_expiry"),  # which are over
        ]

    def __str__(self) -> str:
        return self.key
