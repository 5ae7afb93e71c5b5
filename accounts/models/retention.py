"""How long data is kept, what is kept whatever its time, and what was removed when its time was over."""

from typing import Any, ClassVar

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from chatbot_project.lib.ids import uuid7


class RetentionPolicy(models.Model):
    """How many days data of a class is kept; overrides the setting. Written by accounts/retention/policies.py."""

    class Class(models.TextChoices):
        """What has a time of its own (accounts/retention/policies.py)."""

        CONTENT = "content", _("Conversations: days since the last activity")
        DELETED = "deleted", _("Deleted conversations: days in which that can be undone")
        PASSING = "passing", _("What programs ask in passing: days, for what is asked from now on")
        MODERATION = "moderation", _("Decided moderation items: days since the decision")
        VERDICT = "verdict", _("Judged replies: days since they were asked for")
        QUESTION = "question", _("Questions without a good answer: days since they were asked")
        ACCOUNT = "account", _("Guests: days since they were last seen")
        UNCONFIRMED = "unconfirmed", _("Accounts whose address is not confirmed: days since they were last seen")
        SIGN_UP = "sign_up", _("Sign-ups, and links that confirm an address: days")
        SESSION = "session", _("Sign-ins of browsers and programs: days since they were last used")
        EXPORT = "export", _("Copies of people's data: days in which they can be fetched")
        MAIL = "mail", _("Mail that could not be sent: days in which it is tried again")
        RECORD = "record", _("The admin's list of recent actions: days since")

    data_class = models.CharField(_("data"), max_length=20, primary_key=True, choices=Class.choices)
    days = models.PositiveIntegerField(
        _("days"), null=True, blank=True, help_text=_("Empty: as the settings say. 0: for good, where that may be.")
    )
    changed_at = models.DateTimeField(_("changed"), default=now, editable=False)

    class Meta:
        verbose_name = _("retention policy")
        verbose_name_plural = _("retention policies")
        ordering: ClassVar[list[str]] = ["data_class"]

    def __str__(self) -> str:
        return str(self.get_data_class_display())


class LegalHold(models.Model):
    """Nothing of ``person`` is removed, or one of their conversations is not, as long as this row is there. Why, the
    record of actions says.

    The row protects its person's: whatever would delete it fails.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="legal_holds", verbose_name=_("person"))
    conversation = models.UUIDField(_("conversation"), null=True, blank=True)  # its id; null: all of the person's data
    placed_at = models.DateTimeField(_("since"), default=now, editable=False)

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        ordering: ClassVar[list[str]] = ["-placed_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["person", "conversation"], name="legal_hold_once", nulls_distinct=False,
                violation_error_message=_("It is held already."),
            ),  # also finds those of a person
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.pk)


class RetentionRun(models.Model):
    """One run of ``apply_retention``. One that was killed has no ``finished_at`` and is gone on with by the next.

    ``removed`` counts rows by sweep, in the transactions that remove them; ``skipped`` those that were over and stayed,
    because somebody was at work on them or something else keeps them; ``kept`` those that a legal hold keeps, or that
    their person has processing paused.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    as_of = models.DateTimeField(_("as of"))
    started_at = models.DateTimeField(_("started"), default=now)
    finished_at = models.DateTimeField(_("finished"), null=True)
    removed: "models.JSONField[Any, dict[str, int]]" = models.JSONField(_("removed"), default=dict)
    skipped: "models.JSONField[Any, dict[str, int]]" = models.JSONField(_("skipped"), default=dict)
    kept: "models.JSONField[Any, dict[str, int]]" = models.JSONField(_("kept by a hold or a pause"), default=dict)

    class Meta:
        verbose_name = _("retention run")
        verbose_name_plural = _("retention runs")
        ordering: ClassVar[list[str]] = ["-started_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # One at a time is under way.
            models.UniqueConstraint(
                models.Value(1), name="retention_one_at_a_time", condition=models.Q(finished_at=None)
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
