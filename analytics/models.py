"""Rollups: figures that are added up already, without anything of a person. Written by rollups.py alone."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from analytics.moods.models import Mood, MoodWeek  # noqa: F401  where Django looks for them
from chatbot_project.lib.ids import uuid7
from personas.models import Persona


class Grain(models.TextChoices):
    """How long the time is that a row counts. Days are the organisation's (``settings.REPORT_TIME_ZONE``)."""

    HOUR = "hour", _("hour")
    DAY = "day", _("day")
    WEEK = "week", _("week")
    MONTH = "month", _("month")


class Usage(models.Model):
    """What was said in an hour, a day, a week or a month with one version of a persona, by one model, in one language,
    by one channel; or the sum over all of that but the dimensions of its ``cuboid`` (cuboids.py): the others are "" or
    null.

    Questions and conversations have no model: their ``model`` is "". So is that of replies that needed none. The arrays
    of a kind belong together, in no order: ``…_buckets`` (histograms.py; usage.py says what they are of ``turns`` and
    ``asked``) and how many each holds.
    """

    grain = models.CharField(max_length=5, choices=Grain)
    start = models.DateTimeField()
    cuboid = models.SmallIntegerField()
    persona = models.UUIDField(null=True)
    version = models.UUIDField(null=True)  # of lines that were left before it was kept
    model = models.CharField(max_length=200)
    language = models.CharField(max_length=7)
    channel = models.CharField(max_length=10)

    conversations = models.BigIntegerField()
    questions = models.BigIntegerField()
    completed = models.BigIntegerField()
    stopped = models.BigIntegerField()
    interrupted = models.BigIntegerField()
    failed = models.BigIntegerField()
    live = models.BigIntegerField()
    from_model = models.BigIntegerField()  # these four: the FAQ was asked
    from_faq = models.BigIntegerField()
    from_faq_offline = models.BigIntegerField()
    unknown = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    prompt_estimated = models.BigIntegerField()  # part of the above that the provider did not count itself
    completion_estimated = models.BigIntegerField()
    helpful = models.BigIntegerField()
    not_helpful = models.BigIntegerField()
    comments = models.BigIntegerField()
    handed_over = models.BigIntegerField()
    fell_back = models.BigIntegerField()  # another provider answered than was asked
    from_cache = models.BigIntegerField(db_default=0)  # what a model had said to somebody else

    first_token_buckets = ArrayField(models.SmallIntegerField())
    first_token_counts = ArrayField(models.IntegerField())
    whole_buckets = ArrayField(models.SmallIntegerField())
    whole_counts = ArrayField(models.IntegerField())
    waited_buckets = ArrayField(models.SmallIntegerField())
    waited_counts = ArrayField(models.IntegerField())
    turns_buckets = ArrayField(models.SmallIntegerField())
    turns_counts = ArrayField(models.IntegerField())
    asked_buckets = ArrayField(models.SmallIntegerField())
    asked_counts = ArrayField(models.IntegerField())

    class Meta:
        verbose_name = _("usage")
        verbose_name_plural = _("usage")
        constraints: ClassVar = [
            # Also the index by time, which every reader uses.
            models.UniqueConstraint(
                fields=["grain", "cuboid", "start", "version", "persona", "model", "language", "channel"],
                name="usage_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.start:%Y-%m-%d %H:%M}"


class FAQUsage(models.Model):
    """What an FAQ did on a day: replies that cite it, those of them that are its answer as it is, and what people
    thought of these replies."""

    start = models.DateTimeField()
    faq = models.UUIDField()
    cited = models.BigIntegerField()
    direct = models.BigIntegerField()
    helpful = models.BigIntegerField()
    not_helpful = models.BigIntegerField()

    class Meta:
        verbose_name = _("FAQ usage")
        verbose_name_plural = _("FAQ usage")
        constraints: ClassVar = [models.UniqueConstraint(fields=["start", "faq"], name="faq_usage_once")]
        indexes: ClassVar = [models.Index(fields=["faq", "start"], name="faq_usage_of_one")]

    def __str__(self) -> str:
        return f"{self.faq} {self.start:%Y-%m-%d}"


class People(models.Model):
    """How many people asked something in a day, week or month, for every combination of persona, language and channel,
    for each version, and for each model that replied to them: "*" (and no persona, no version) is all. ``new`` ones
    began their first conversation then."""

    ALL: ClassVar = "*"

    grain = models.CharField(max_length=5, choices=Grain)
    start = models.DateTimeField()
    persona = models.UUIDField(null=True)
    language = models.CharField(max_length=7)
    channel = models.CharField(max_length=10)
    version = models.UUIDField(null=True)
    model = models.CharField(max_length=200)
    active = models.BigIntegerField()
    new = models.BigIntegerField()

    class Meta:
        verbose_name = _("active people")
        verbose_name_plural = _("active people")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["grain", "start", "persona", "language", "channel", "version", "model"],
                name="people_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.start:%Y-%m-%d}"


class Cohort(models.Model):
    """Of the people who began their first conversation in the week or month ``began``: how many asked something in
    that of ``start``."""

    grain = models.CharField(max_length=5, choices=Grain)
    began = models.DateTimeField()
    start = models.DateTimeField()
    people = models.BigIntegerField()

    class Meta:
        verbose_name = _("cohort")
        verbose_name_plural = _("cohorts")
        constraints: ClassVar = [models.UniqueConstraint(fields=["grain", "start", "began"], name="cohort_once")]

    def __str__(self) -> str:
        return f"{self.grain} {self.began:%Y-%m-%d} {self.start:%Y-%m-%d}"


class Occurrence(models.Model):
    """How often something happened on a day beside conversations: ``name`` is of occurrences.py, ``label`` its kind.
    Never lowered: its source may be erased."""

    start = models.DateTimeField()
    name = models.CharField(max_length=40)
    label = models.CharField(max_length=60)
    number = models.BigIntegerField()

    class Meta:
        verbose_name = _("occurrence")
        verbose_name_plural = _("occurrences")
        constraints: ClassVar = [models.UniqueConstraint(fields=["start", "name", "label"], name="occurrence_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.start:%Y-%m-%d}"


class StaleHour(models.Model):
    """An hour whose figures have changed since they were added up: a line for each change, so that a run takes only
    those that it saw."""

    hour = models.DateTimeField()

    class Meta:
        verbose_name = _("stale hour")
        verbose_name_plural = _("stale hours")

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}"


class RollupState(models.Model):
    """The one row whose lock keeps runs from meeting. All that happened before ``counted_until`` is in the rollups, as
    days of ``time_zone``."""

    counted_until = models.DateTimeField(null=True)
    time_zone = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("state of the rollups")
        verbose_name_plural = _("states of the rollups")

    def __str__(self) -> str:
        return f"{self.counted_until}"


class Report(models.Model):
    """Figures of a day, a week or a month (``grain``) as they were when it was over, of all or of one persona: each
    name of metrics.py with its value and that of the period before, and what reports/content.py says. Made once by
    reports/making.py."""

    grain = models.CharField(_("period"), max_length=5, choices=Grain)
    start = models.DateTimeField(_("from"))
    persona = models.UUIDField(_("persona"), null=True, editable=False)
    time_zone = models.CharField(_("time zone"), max_length=64)
    figures = models.JSONField(_("figures"))
    content = models.JSONField(_("content"), default=dict)
    made_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)
    mailed_at = models.DateTimeField(_("mailed"), null=True, editable=False)

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        ordering: ClassVar = ["-start", "grain"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["grain", "start", "persona"], name="report_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.start:%Y-%m-%d}"


class Subscription(models.Model):
    """Who gets which reports by mail: an account (``user``) or an ``address``. One ``from_settings`` is of an address
    of ``REPORT_MAIL`` and goes when that is taken out."""

    class Grain(models.TextChoices):
        DAY = "day", _("every day")
        WEEK = "week", _("every week")
        MONTH = "month", _("every month")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("account"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="report_subscriptions",
        help_text=_("Somebody who may see figures; asked again before each mail."),
    )
    address = models.EmailField(
        _("or address"), blank=True, help_text=_("Of somebody without an account. Whoever reads it sees the figures.")
    )
    grain = models.CharField(_("how often"), max_length=5, choices=Grain, default=Grain.WEEK)
    persona = models.ForeignKey(
        Persona,
        verbose_name=_("persona"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Its figures alone; of all where none is chosen."),
    )
    pdf = models.BooleanField(_("with a PDF"), default=True)
    csv = models.BooleanField(_("with a CSV file"), default=True)
    language = models.CharField(
        _("language"), max_length=7, choices=settings.LANGUAGES, default=settings.LANGUAGE_CODE
    )  # fmt: skip
    is_active = models.BooleanField(_("active"), default=True, help_text=_("Off: paused."))
    from_settings = models.BooleanField(_("from REPORT_MAIL"), default=False, editable=False)
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        ordering: ClassVar = ["grain", "created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(user=None) ^ models.Q(address=""),
                name="subscription_of_one",
                violation_error_message=_("Choose an account, or give an address."),
            ),
            models.UniqueConstraint(
                fields=["user", "address", "grain", "persona"],
                name="subscription_once",
                nulls_distinct=False,
                violation_error_message=_("There is such a subscription already."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.pk}"


class Delivery(models.Model):
    """The mail of one report to one subscription: sent once, tried again for a while where the mail server refuses."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("sent")
        WITHHELD = "withheld", _("not allowed")
        GIVEN_UP = "given_up", _("given up")

    subscription = models.ForeignKey(
        Subscription, verbose_name=_("subscription"), on_delete=models.CASCADE, related_name="deliveries"
    )
    report = models.ForeignKey(Report, verbose_name=_("report"), on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(_("next try"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["subscription", "report"], name="delivery_once")]
        indexes: ClassVar = [
            # What is to be sent.
            models.Index(fields=["next_try_at"], condition=models.Q(state="waiting"), name="delivery_due"),
        ]

    def __str__(self) -> str:
        return f"{self.report} {self.state}"


class Price(models.Model):
    """What a model costs from a day on, until the next line of the same model. ``model`` is "provider/name"; a line
    for "provider/*" holds for all of a provider's models without a line of their own."""

    model = models.CharField(
        _("model"), max_length=200, help_text=_("As personas name it: provider/name. provider/*: all of a provider's.")
    )
    valid_from = models.DateField(_("valid from"))
    prompt = models.DecimalField(
        _("per million tokens read"), max_digits=12, decimal_places=4, validators=[MinValueValidator(0)]
    )
    completion = models.DecimalField(
        _("per million tokens written"), max_digits=12, decimal_places=4, validators=[MinValueValidator(0)]
    )

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering: ClassVar = ["model", "-valid_from"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "valid_from"], name="price_once")]

    def __str__(self) -> str:
        return f"{self.model} {self.valid_from}"


# Django finds models here.
from analytics.quality.models import (  # noqa: E402, F401
    QualityComment,
    QualityDraw,
    QualityItem,
    QualityOpinion,
    QualityReview,
)
