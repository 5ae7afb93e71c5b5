"""Replies that people judge, and what they found. What was said stays with the message: once that is gone, a judged
item is a verdict on a version of a persona on some day, and leads to nobody."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatbot_project.lib.ids import uuid7


class Stratum(models.TextChoices):
    """Why a reply was drawn. Accuracy is told from RANDOM alone: the others are chosen for being doubtful."""

    RANDOM = "random", _("by chance")
    UNSURE = "unsure", _("unsure of its sources")
    DISLIKED = "disliked", _("found not helpful")


class Answer(models.TextChoices):
    """What may be said of a criterion."""

    YES = "yes", _("yes")
    PARTLY = "partly", _("partly")
    NO = "no", _("no")
    CANNOT_TELL = "unclear", _("cannot tell")


class QualityDraw(models.Model):
    """That a stratum of a day was drawn, which is done once: ``drawn`` replies of ``population``."""

    day = models.DateField(_("day"))
    stratum = models.CharField(_("drawn"), max_length=8, choices=Stratum)
    population = models.PositiveIntegerField()
    drawn = models.PositiveIntegerField()
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("sample of replies")
        verbose_name_plural = _("samples of replies")
        constraints: ClassVar = [models.UniqueConstraint(fields=["day", "stratum"], name="quality_draw_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.stratum}"


class QualityItem(models.Model):
    """A reply that was drawn. ``day`` is the organisation's on which it was asked for. The chances are with what
    probability each stratum drew it; null where that stratum did not.

    ``verdict`` is what two people say of its correctness, once ``state`` is settled.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        SETTLED = "settled", _("settled")
        DISPUTED = "disputed", _("disputed")  # three people, three answers

    #: The field of each stratum.
    CHANCES: ClassVar = {
        Stratum.RANDOM: "chance_random",
        Stratum.UNSURE: "chance_unsure",
        Stratum.DISLIKED: "chance_disliked",
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.OneToOneField(
        "conversations.Message", on_delete=models.SET_NULL, null=True, related_name="quality_item"
    )
    day = models.DateField(_("day"))
    persona = models.UUIDField()
    version = models.UUIDField()
    chance_random = models.FloatField(null=True)
    chance_unsure = models.FloatField(null=True)
    chance_disliked = models.FloatField(null=True)
    needed = models.PositiveSmallIntegerField(default=2)  # people; three once two disagree
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.OPEN)
    verdict = models.CharField(_("correct"), max_length=7, choices=Answer, blank=True)

    class Meta:
        verbose_name = _("reply under review")
        verbose_name_plural = _("replies under review")
        indexes: ClassVar = [
            # What is handed out next.
            models.Index(fields=["day"], name="quality_open", condition=models.Q(state="open")),
            models.Index(fields=["day", "persona"], name="quality_of_days"),  # figures
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.pk}"

    @property
    def strata(self) -> list[Stratum]:
        return [stratum for stratum, field in self.CHANCES.items() if getattr(self, field) is not None]


class QualityReview(models.Model):
    """One person's turn at an item: theirs until ``lease_until``, then anybody's unless ``done_at``. ``slot`` is which
    of the item's turns it is, so that the database itself lets no more people in than are needed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    item = models.ForeignKey(QualityItem, on_delete=models.CASCADE, related_name="reviews", db_index=False)
    slot = models.PositiveSmallIntegerField()
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    lease_until = models.DateTimeField()
    done_at = models.DateTimeField(_("judged"), null=True)
    correct = models.CharField(_("Correct"), max_length=7, choices=Answer, blank=True)
    grounded = models.CharField(_("Grounded in its sources"), max_length=7, choices=Answer, blank=True)
    complete = models.CharField(_("Complete"), max_length=7, choices=Answer, blank=True)
    clear = models.CharField(_("Polite and clear"), max_length=7, choices=Answer, blank=True)
    safe = models.CharField(_("Safe"), max_length=7, choices=Answer, blank=True)

    class Meta:
        verbose_name = _("review of a reply")
        verbose_name_plural = _("reviews of replies")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["item", "slot"], name="quality_slot_once"),
            models.UniqueConstraint(fields=["item", "reviewer"], name="quality_nobody_twice"),
            models.CheckConstraint(condition=models.Q(slot__gte=1, slot__lte=3), name="quality_three_at_most"),
        ]

    def __str__(self) -> str:
        return f"{self.item_id} {self.slot}"


class QualityComment(models.Model):
    """What a reviewer wrote about a reply. It may repeat what was said, so it goes with the reply."""

    review = models.OneToOneField(QualityReview, on_delete=models.CASCADE, related_name="comment", primary_key=True)
    message = models.ForeignKey("conversations.Message", on_delete=models.CASCADE, related_name="+")
    text = models.CharField(_("comment"), max_length=2000)

    class Meta:
        verbose_name = _("comment on a reply")
        verbose_name_plural = _("comments on replies")

    def __str__(self) -> str:
        return str(self.review_id)


class QualityOpinion(models.Model):
    """One time that a model was asked about an item: what it said, or the code of why it said nothing. Never a part of
    a verdict, of accuracy or of the agreement between people."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    item = models.ForeignKey(QualityItem, on_delete=models.CASCADE, related_name="opinions")
    model = models.CharField(_("model"), max_length=200)
    prompt_version = models.PositiveSmallIntegerField()
    asked_at = models.DateTimeField(_("asked"), default=timezone.now, editable=False)
    error_code = models.CharField(_("error"), max_length=64, blank=True)
    correct = models.CharField(_("Correct"), max_length=7, choices=Answer, blank=True)
    grounded = models.CharField(_("Grounded in its sources"), max_length=7, choices=Answer, blank=True)
    complete = models.CharField(_("Complete"), max_length=7, choices=Answer, blank=True)
    clear = models.CharField(_("Polite and clear"), max_length=7, choices=Answer, blank=True)
    safe = models.CharField(_("Safe"), max_length=7, choices=Answer, blank=True)

    class Meta:
        verbose_name = _("model's opinion")
        verbose_name_plural = _("models' opinions")
        indexes: ClassVar = [models.Index(fields=["asked_at"], name="quality_opinion_asked")]  # the day's bound
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["item", "model", "prompt_version"],
                name="quality_opinion_once",
                condition=models.Q(error_code=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.item_id}"
