"""The moderators' rules, and what they held back or noted."""

from typing import Any, ClassVar, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chatbot_project.lib.ids import uuid7
from conversations.safety.normalising import plain_words
from conversations.safety.rules import Rule


class Category(models.TextChoices):
    """What a rule is against."""

    HATE = "hate", _("Hate")
    HARASSMENT = "harassment", _("Harassment")
    VIOLENCE = "violence", _("Violence")
    SEXUAL = "sexual", _("Sexual content")
    SELF_HARM = "self_harm", _("Self-harm")
    CRIME = "crime", _("Crime")
    SPAM = "spam", _("Spam")
    OTHER = "other", _("Other")


class Stage(models.TextChoices):
    INPUT = "input", _("Questions")
    OUTPUT = "output", _("Replies")
    BOTH = "both", _("Questions and replies")


class Action(models.TextChoices):
    ALLOW = "allow", _("Allow: an exception from other rules")
    FLAG = "flag", _("Flag: goes on, and a moderator looks at it")
    BLOCK = "block", _("Block")
    CRISIS = "crisis", _("Crisis help: the reply says where to find help")


class ModerationRule(models.Model):
    """A phrase that must not be said, or is looked at, and what is done then."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    phrase = models.CharField(
        _("phrase"),
        max_length=200,
        help_text=_(
            "Words as they are spoken. Case, accents, look-alike letters, leetspeak and letters that stand apart make "
            "no difference. A last * stands for any ending of the last word."
        ),
    )
    action = models.CharField(_("action"), max_length=6, choices=Action)
    stage = models.CharField(_("applies to"), max_length=6, choices=Stage, default=Stage.BOTH)
    category = models.CharField(_("category"), max_length=12, choices=Category, default=Category.OTHER)
    enabled = models.BooleanField(_("in force"), default=True)
    note = models.CharField(_("note"), max_length=300, blank=True, help_text=_("For moderators: why it is there."))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("moderation rule")
        verbose_name_plural = _("moderation rules")
        ordering: ClassVar = ["category", "phrase"]

    def __str__(self) -> str:
        return self.phrase

    def clean(self) -> None:
        """Raises ValidationError for a phrase without a letter or digit, which nothing could break."""
        if not plain_words(self.phrase):
            raise ValidationError({"phrase": gettext("Give at least one word.")})

    @property
    def as_rule(self) -> Rule:
        return Rule(self.pk, self.phrase.strip(), self.action, self.stage, self.category)


class Source(models.TextChoices):
    RULE = "rule", _("rule")
    ENDPOINT = "endpoint", _("moderation endpoint")
    UNAVAILABLE = "unavailable", _("moderation endpoint not reached")


class ModerationItemQuerySet(models.QuerySet["ModerationItem"]):
    def visible_to(self, user: Any) -> Self:
        """What was held back of the person's own messages, or flagged and found to break a rule: what is only looked at
        is not told."""
        own = self.filter(message__owner_id=user.pk)
        return own.exclude(action=Action.FLAG, state__in=[ModerationItem.State.OPEN, ModerationItem.State.DISMISSED])


class ModerationItem(models.Model):
    """A message that broke a rule, one row each: a question, or a reply. Its text stays with the message."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        UPHELD = "upheld", _("upheld")
        DISMISSED = "dismissed", _("dismissed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.OneToOneField("conversations.Message", on_delete=models.CASCADE, related_name="moderation_item")
    # The message's owner, for their score by one index.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False, editable=False
    )
    rule = models.ForeignKey(
        ModerationRule, verbose_name=_("rule"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    source = models.CharField(_("found by"), max_length=11, choices=Source, default=Source.RULE)
    score = models.FloatField(_("score"), null=True)  # the endpoint's
    action = models.CharField(_("action"), max_length=6, choices=Action)
    category = models.CharField(_("category"), max_length=12, choices=Category)
    created_at = models.DateTimeField(_("noted"), default=timezone.now, editable=False)
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.OPEN)
    # What was shown of a reply before the endpoint condemned it: nobody but a moderator with a reason reads it again.
    withdrawn = models.TextField(blank=True, editable=False)
    counts = models.BooleanField(_("counts"), default=True, editable=False)  # not once the points were reset
    note = models.CharField(_("note"), max_length=1000, blank=True)  # among moderators
    answer = models.CharField(_("answer to the person"), max_length=1000, blank=True)
    decided_at = models.DateTimeField(_("decided"), null=True, editable=False)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("decided by"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    appeal = models.CharField(_("objection"), max_length=1000, blank=True)
    appealed_at = models.DateTimeField(_("objected"), null=True, editable=False)

    objects = ModerationItemQuerySet.as_manager()

    class Meta:
        verbose_name = _("moderated message")
        verbose_name_plural = _("moderated messages")
        indexes: ClassVar = [
            # What waits for a moderator, oldest first.
            models.Index(fields=["state", "created_at"], name="moderation_queue"),
            # A person's score, with every question of theirs.
            models.Index(fields=["owner", "created_at"], name="moderation_of_person"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.message_id}"

    @property
    def can_appeal(self) -> bool:
        """Once, against what was done and not taken back."""
        return self.appealed_at is None and self.state != self.State.DISMISSED
