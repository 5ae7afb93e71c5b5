"""What is kept: numbers of a week, each of five people or more together. Written by counting.py alone, once a week."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from analytics.moods.sentiment import Sentiment


class MoodWeek(models.Model):
    """A week (from Monday, in ``time_zone``) that was counted. It is never counted again: what two counts differ by,
    before and after somebody left, would be that person's.

    ``is_demo``: of made-up conversations (analytics/demo), beside what is counted of real ones.
    """

    start = models.DateTimeField(_("from"))
    time_zone = models.CharField(_("time zone"), max_length=64)
    is_sample = models.BooleanField(_("sample"), default=False)  # there were more conversations than are looked at
    is_demo = models.BooleanField(_("demo data"), default=False)
    counted_at = models.DateTimeField(_("counted"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("week of moods and topics")
        verbose_name_plural = _("weeks of moods and topics")
        constraints: ClassVar = [models.UniqueConstraint(fields=["start", "is_demo"], name="mood_week_once")]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d}"


class Mood(models.Model):
    """How many conversations of a week had this persona, topic and sentiment. The rows of a week share nothing, and
    each is of five people or more (grouping.py): so is whatever can be had by adding and subtracting them.

    ``persona`` null: several together. ``topic`` is a category of FAQs; null: several, or none.
    """

    week = models.ForeignKey(MoodWeek, on_delete=models.CASCADE, db_index=False, related_name="moods")
    persona = models.UUIDField(null=True)
    topic = models.UUIDField(null=True)
    sentiment = models.CharField(max_length=10, choices=Sentiment)
    conversations = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("mood and topic")
        verbose_name_plural = _("moods and topics")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["week", "persona", "topic", "sentiment"], name="mood_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.week_id} {self.sentiment}"
