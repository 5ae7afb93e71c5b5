"""What people agreed to."""

from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models.audit import AppendOnly
from accounts.models.people import User


class Purpose(models.TextChoices):
    """What a person may consent to. What an account cannot do without rests on the contract and is none of these."""

    IMPROVEMENT = "improvement", _("learning from unanswered questions")


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
