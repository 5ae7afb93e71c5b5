"""What was done, to whom and by whom: events by pseudonym, and the chain that shows whether they are whole.

How it works, and what it can and cannot show, stands in docs/audit.md. Triggers of the database refuse every change to
events, links and checkpoints (accounts/audit/guards.py); the classes here only say so earlier.
"""

from typing import Any, ClassVar, NoReturn, Self

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User


class AppendOnly(Exception):
    """Something tried to change or remove what may only be added to."""


class AppendOnlyQuerySet(models.QuerySet[Any]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("The audit trail is never changed.")

    def delete(self) -> NoReturn:
        raise AppendOnly("The audit trail is never deleted.")


class AppendOnlyModel(models.Model):
    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly("The audit trail is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("The audit trail is never deleted.")


class AuditIdentity(models.Model):
    """Who a pseudonym of the trail is, and the key of what was said about them there.

    The database makes it with the person's row and removes it with that row. Removed before that
    (``accounts.audit.forget``), the trail tells of nobody any more, and is as whole as it was.
    """

    person = models.OneToOneField(
        User, on_delete=models.DO_NOTHING, db_constraint=False, related_name="audit_identity", verbose_name=_("person")
    )  # its constraint, with ON DELETE CASCADE, is made by the migration
    pseudonym = models.UUIDField(unique=True, editable=False)
    key = models.BinaryField(editable=False)  # 32 bytes, AES-256

    class Meta:
        verbose_name = _("audit identity")
        verbose_name_plural = _("audit identities")

    def __str__(self) -> str:
        return str(self.pseudonym)


class AuditEventQuerySet(AppendOnlyQuerySet):
    def with_people(self) -> Self:
        """With whoever is known still behind the pseudonyms. ``actor`` and ``subject`` are ``None`` for who is not:
        looked up alone, they would be an error."""
        return self.select_related("actor__person", "subject__person")

    def by(self, person: User) -> Self:
        return self.filter(actor__person=person)

    def on(self, obj: models.Model | type[models.Model]) -> Self:
        """What was done to ``obj``, a person included, or to all or none of a class."""
        events = self.filter(object_type=obj._meta.label_lower)
        if isinstance(obj, User):
            return events.filter(subject__person=obj)
        return events.filter(object_id="" if isinstance(obj, type) else str(obj.pk))


class AuditEvent(AppendOnlyModel):
    """Who did what to which object, when and why. Only ever added to, by ``accounts.services.record_audit``.

    ``actor`` and ``subject`` hold pseudonyms. They have no constraint in the database: an event stays as it is when
    the people are gone. ``sealed_reason`` is encrypted under the key of one of them (accounts/audit/reasons.py).
    """

    at = models.DateTimeField(_("time"), default=now, editable=False)
    actor = models.ForeignKey(
        AuditIdentity, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False,
        to_field="pseudonym", db_column="actor_pseudonym", related_name="+", verbose_name=_("actor"),
    )  # fmt: skip
    subject = models.ForeignKey(
        AuditIdentity, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False,
        to_field="pseudonym", db_column="subject_pseudonym", related_name="+", verbose_name=_("person concerned"),
    )  # fmt: skip
    action = models.CharField(_("action"), max_length=60)
    object_type = models.CharField(_("object type"), max_length=60)
    object_id = models.CharField(_("object"), max_length=64, blank=True)  # a person's is their pseudonym
    sealed_reason = models.BinaryField(default=b"", editable=False)
    details = models.JSONField(_("details"), default=dict)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        ordering: ClassVar[list[str]] = ["-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_of_object"),  # an object's history
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),  # what somebody did
            models.Index(fields=["subject", "-id"], name="audit_about_person"),  # what was done to somebody
            models.Index(fields=["action", "-id"], name="audit_of_action"),  # the admin's filter
            models.Index(fields=["at"], name="audit_in_time"),  # the admin's first and last day
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class AuditWaiting(models.Model):
    """An event that is not in the chain yet. A trigger adds it with the event, the sealer removes it."""

    event_id = models.BigIntegerField(primary_key=True)

    def __str__(self) -> str:
        return str(self.event_id)


class AuditLink(AppendOnlyModel):
    """One place in the chain: numbers without gaps from 1. ``hash`` covers the hash before it and the event."""

    number = models.BigIntegerField(primary_key=True)
    event_id = models.BigIntegerField(unique=True)
    hash = models.BinaryField()  # SHA-256
    sealed_at = models.DateTimeField(default=now)

    objects = AppendOnlyQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.number)


class AuditCheckpoint(AppendOnlyModel):
    """The hash at one place in the chain, signed. A copy elsewhere shows that nothing up to there was cut or redone."""

    number = models.BigIntegerField(primary_key=True)
    hash = models.BinaryField()
    at = models.DateTimeField(default=now)
    public_key = models.BinaryField()  # Ed25519, 32 bytes: which of the keys signed
    signature = models.BinaryField()

    objects = AppendOnlyQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.number)
