"""What the operator is told of the background work."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskRecord(models.Model):
    """How one task ran last. One row a task; chatbot_project/task_records.py writes it and bounds how many there are.

    Of several runs at once the row tells of whichever began, and ended, last.
    """

    class Outcome(models.TextChoices):
        DONE = "done", _("done")
        AGAIN = "again", _("tried again later")
        FAILED = "failed", _("failed")

    name = models.CharField(_("task"), max_length=120, primary_key=True)
    started_at = models.DateTimeField(_("last run"), null=True)
    finished_at = models.DateTimeField(_("ended"), null=True)
    seconds = models.FloatField(_("seconds"), null=True)
    succeeded_at = models.DateTimeField(_("last success"), null=True)
    outcome = models.CharField(_("outcome"), max_length=10, blank=True, choices=Outcome.choices)
    runs = models.PositiveBigIntegerField(_("runs"), default=0)
    failures = models.PositiveBigIntegerField(_("failures"), default=0)
    failed_at = models.DateTimeField(_("last failure"), null=True)
    error = models.CharField(_("what failed"), max_length=200, blank=True)  # class and place, never the message
    alerted_at = models.DateTimeField(_("last alert"), null=True)

    class Meta:
        verbose_name = _("background task")
        verbose_name_plural = _("background tasks")
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_running(self) -> bool:
        """Whether the last run that began has not ended; it may also have been killed."""
        return self.started_at is not None and (self.finished_at is None or self.finished_at < self.started_at)


class Maintenance(models.Model):
    """Whether the service rests. At most one row; ``manage.py maintenance`` writes it, lib/maintenance.py reads it."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    is_on = models.BooleanField(_("on"), default=False)
    since = models.DateTimeField(_("since"), auto_now=True)
    until = models.DateTimeField(_("expected end"), null=True, blank=True)
    message = models.CharField(_("what people are told"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("maintenance")
        verbose_name_plural = _("maintenance")
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="chatbot_project_one_maintenance"),
        ]

    def __str__(self) -> str:
        return "on" if self.is_on else "off"
