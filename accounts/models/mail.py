"""Mail that waits to go out."""

from typing import ClassVar

from django.db import models
from django.utils.timezone import now

from accounts.models.people import SignUp, User
from chatbot_project.lib.ids import uuid7


class OutgoingMail(models.Model):
    """A mail that has to go out; the row is deleted once it has. It says what to write, never the text or a token.

    To whom the address belongs is looked up when the mail is written, away from the request that asked for it.
    """

    class Kind(models.TextChoices):
        SIGN_UP = "sign_up"
        CONFIRM_AGAIN = "confirm_again"
        VERIFY_EMAIL = "verify_email"
        PASSWORD_RESET = "password_reset"  # noqa: S105 - a name, no secret
        PASSWORD_CHANGED = "password_changed"  # noqa: S105
        EMAIL_CHANGED = "email_changed"
        SECOND_FACTOR_ON = "second_factor_on"
        SECOND_FACTOR_OFF = "second_factor_off"
        RECOVERY_CODE_USED = "recovery_used"
        EXPORT_READY = "export_ready"
        RESTRICTION_ENDS = "restriction_ends"
        ERASURE_BEGUN = "erasure_begun"
        ERASURE_DONE = "erasure_done"
        SUSPENDED = "suspended"
        REINSTATED = "reinstated"
        OBJECTION_DECIDED = "objection_decided"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    to_address = models.EmailField()
    language = models.CharField(max_length=10, blank=True)
    sign_up = models.ForeignKey(SignUp, null=True, on_delete=models.CASCADE, related_name="mails")
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="mails")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=now)
    created_at = models.DateTimeField(default=now)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["next_try_at"], name="mail_due")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
