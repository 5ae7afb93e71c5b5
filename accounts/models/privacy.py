"""What people agreed to, and what they asked for by right."""

from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models.audit import AppendOnly
from accounts.models.people import User
from chatbot_project.lib.ids import uuid7


class Purpose(models.TextChoices):
    """What a person may consent to. What an account cannot do without rests on the contract and is none of these."""

    IMPROVEMENT = "improvement", _("learning from unanswered questions")
    INSIGHTS = "insights", _("mood and topic of conversations, in numbers only")


class ConsentQuerySet(models.QuerySet["Consent"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("The ledger of consents is only added to.")

    def delete(self) -> NoReturn:
        raise AppendOnly("The ledger of consents is only added to.")


class Consent(models.Model):
    """One line of the ledger: a decision of a person, under which version of the policy, and where. Only ever added to.

    Triggers of the database hold to that. The lines go with their person's row, by a trigger as well, and in no other
    way: hence no constraint, and nothing for Django to do.
    """

    class Source(models.TextChoices):
        SIGN_UP = "sign_up", _("signing up")
        NOTICE = "notice", _("asked in the chat")
        PAGE = "page", _("privacy page")
        API = "api", _("API")

    user = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="consents"
    )
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose.choices)
    granted = models.BooleanField(_("granted"))
    version = models.PositiveIntegerField(_("version"))  # of the policy
    text_hash = models.CharField(max_length=64)  # SHA-256 of the text that was shown, in hexadecimal
    language = models.CharField(_("language"), max_length=10)  # in which it was shown
    source = models.CharField(_("source"), max_length=10, choices=Source.choices)
    at = models.DateTimeField(_("time"), default=now, editable=False)

    objects = ConsentQuerySet.as_manager()

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        ordering: ClassVar[list[str]] = ["-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "purpose", "-id"], name="consent_standing"),  # a person's newest of a purpose
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {'+' if self.granted else '-'} v{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly("The ledger of consents is only added to.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("The ledger of consents is only added to.")


class DataRequest(models.Model):
    """What a person asked for by right: a copy of their data, or its erasure. At most one of each kind is open.

    ``due_at`` is when it is to be done: a copy at once, an erasure after the time in which it can be cancelled. The row
    goes with its person; what stays of an erasure is a line in its log (accounts/privacy/erasure_log.py).
    """

    class Kind(models.TextChoices):
        EXPORT = "export", _("copy")
        ERASURE = "erasure", _("erasure")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        READY = "ready", _("ready")  # a copy that can be fetched, once
        USED = "used", _("fetched")
        EXPIRED = "expired", _("expired")
        RUNNING = "running", _("being done")  # an erasure that has begun: nothing stops it any more
        CANCELLED = "cancelled", _("cancelled")

    OPEN: ClassVar = (State.WAITING, State.READY, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, db_index=False, related_name="data_requests", verbose_name=_("person")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField(_("asked for"), default=now, editable=False)
    due_at = models.DateTimeField(_("due"), default=now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    finished_at = models.DateTimeField(_("done at"), null=True, blank=True)
    # Since when a legal hold keeps an erasure waiting that is due, or has begun. Its person is not told.
    held_since = models.DateTimeField(_("waits for a legal hold since"), null=True, blank=True, editable=False)
    # Whether cancelling an erasure opens the account: not where staff have suspended the person.
    reopens = models.BooleanField(default=True)
    language = models.CharField(max_length=10, blank=True, default="", editable=False)  # in which it was asked for
    size = models.PositiveBigIntegerField(_("size"), null=True, blank=True)  # of a copy, in bytes

    class Meta:
        verbose_name = _("data request")
        verbose_name_plural = _("data requests")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "kind"],
                name="data_request_one_open",
                condition=models.Q(state__in=["waiting", "ready", "running"]),
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "-id"], name="data_request_of_user"),  # somebody's, newest first
            models.Index(fields=["state", "due_at"], name="data_request_due"),  # what is to be done
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class ExportChunk(models.Model):
    """A piece of a copy, encrypted (accounts/privacy/sealing.py). All of one copy are stored in one transaction."""

    request = models.ForeignKey(DataRequest, on_delete=models.CASCADE, db_index=False, related_name="chunks")
    number = models.PositiveIntegerField()  # from 0
    data = models.BinaryField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["request", "number"], name="export_chunk_once"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.number}"


class ErasureEntry(models.Model):
    """One erasure, without the person: keyed hashes of their id and address, and the signed receipt.

    The same stands in a file outside the database (accounts/privacy/erasure_log.py): a database that was restored lacks
    the entries that came after its backup, and so it shows which erasures have to be done again.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    person_hash = models.CharField(max_length=64, editable=False)
    address_hash = models.CharField(max_length=64, blank=True, editable=False)
    begun_at = models.DateTimeField(_("begun"), default=now, editable=False)
    done_at = models.DateTimeField(_("done at"), null=True, editable=False)
    receipt = models.JSONField(null=True, editable=False)

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        indexes: ClassVar[list[models.Index]] = [
            # The mail that ends an erasure finds its receipt by the address that it goes to.
            models.Index(fields=["address_hash", "-begun_at"], name="erasure_of_address"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
