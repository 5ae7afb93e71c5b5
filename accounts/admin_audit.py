"""The audit trail in the admin: for admins, to read, to filter and to take away as a file."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import TextFilter
from unfold.contrib.filters.forms import SearchForm

from accounts.admin_reading import ReadOnlyAdmin
from accounts.audit.exporting import Format, export_events
from accounts.audit.reasons import reason_of
from accounts.models import AuditEvent, AuditIdentity, AuditLink, User, normalise_address
from accounts.services import record_audit

EXPORTED = 50_000  # events of one file

# Each value from the next smaller one, by an index that begins with the column: not a look at every event.
VALUES = """
WITH RECURSIVE found (value) AS (
  (SELECT {column} FROM accounts_auditevent ORDER BY {column} LIMIT 1)
  UNION ALL
  SELECT (SELECT {column} FROM accounts_auditevent WHERE {column} > found.value ORDER BY {column} LIMIT 1)
  FROM found WHERE found.value IS NOT NULL
) SELECT value FROM found WHERE value IS NOT NULL
"""
MEDIA = {"csv": "text/csv", "jsonl": "application/jsonl"}


class ValueFilter(admin.SimpleListFilter):
    """By a column of names, offering those there are."""

    parameter_name = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        with connection.cursor() as cursor:
            cursor.execute(VALUES.format(column=connection.ops.quote_name(self.parameter_name)))
            return [(value, value) for (value,) in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ActionFilter(ValueFilter):
    title, parameter_name = _("action"), "action"


class ObjectTypeFilter(ValueFilter):
    title, parameter_name = _("object type"), "object_type"


class PersonFilter(TextFilter):
    """By username, e-mail address, id or pseudonym, of somebody whole: no part of a name finds anybody."""

    field = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        wanted = (self.value() or "").strip()
        if not wanted:
            return queryset
        try:
            people = Q(person=UUID(wanted)) | Q(pseudonym=UUID(wanted))
            unknown = Q(**{f"{self.field}_id": UUID(wanted)})  # a pseudonym that nobody bears any more
        except ValueError:
            people = Q(person__username__iexact=wanted) | Q(person__email=normalise_address(wanted))
            unknown = Q(pk=None)
        known = AuditIdentity.objects.filter(people).values_list("pseudonym", flat=True)
        # Found apart: filtered on, the join that gives the names would leave out events of those who are gone.
        found = AuditEvent.objects.filter(Q(**{f"{self.field}_id__in": list(known)}) | unknown)
        return queryset.filter(pk__in=found.order_by().values("pk"))


class ActorFilter(PersonFilter):
    title, parameter_name, field = _("actor"), "by", "actor"


class SubjectFilter(PersonFilter):
    title, parameter_name, field = _("person concerned"), "about", "subject"


class ObjectFilter(TextFilter):
    title, parameter_name = _("object"), "object"

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        wanted = (self.value() or "").strip()
        return queryset.filter(object_id=wanted) if wanted else queryset


class DayForm(SearchForm):
    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, name=name, **kwargs)
        text = self.fields[name].widget
        self.fields[name].widget = forms.DateInput(attrs={**text.attrs, "type": "date"})


class DayFilter(TextFilter):
    """By a day, in the time zone of whoever looks. What is no day filters nothing."""

    form_class = DayForm

    def start(self, *, days: int = 0) -> datetime | None:
        """When the day begins, or one so many days later."""
        try:
            day = parse_date(self.value() or "")
        except ValueError:  # such as February 30
            return None
        if day is None:
            return None
        midnight = datetime.combine(day, datetime.min.time()) + timedelta(days=days)
        return timezone.make_aware(midnight)


class SinceFilter(DayFilter):
    title, parameter_name = _("first day"), "since"

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        start = self.start()
        return queryset.filter(at__gte=start) if start else queryset


class UntilFilter(DayFilter):
    title, parameter_name = _("last day"), "until"

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        end = self.start(days=1)
        return queryset.filter(at__lt=end) if end else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """The trail, with the names of those who are known still. Reasons are encrypted, so they cannot be searched."""

    list_display = ("at", "actor_name", "action", "object_type", "object_id", "subject_name", "why")
    list_filter = (
        ActionFilter, ObjectTypeFilter, ActorFilter, SubjectFilter, ObjectFilter, SinceFilter, UntilFilter,
    )  # fmt: skip
    list_filter_submit = True
    ordering = ("-id",)
    sortable_by = ()
    list_per_page = 50
    fields = ("at", "actor_name", "action", "object_type", "object_id", "subject_name", "why", "details", "place")
    readonly_fields = fields
    actions = ("export_csv", "export_jsonl")

    @admin.display(description=_("actor"))
    def actor_name(self, event: AuditEvent) -> str:
        return _name(event.actor, event.actor_id)

    @admin.display(description=_("person concerned"))
    def subject_name(self, event: AuditEvent) -> str:
        return _name(event.subject, event.subject_id)

    @admin.display(description=_("reason"))
    def why(self, event: AuditEvent) -> str:
        return reason_of(event)

    @admin.display(description=_("place in the chain"))
    def place(self, event: AuditEvent) -> str:
        link = AuditLink.objects.filter(event_id=event.pk).first()
        return f"{link.number}: {bytes(link.hash).hex()}" if link else "–"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return AuditEvent.objects.with_people()

    @admin.action(description=_("Export as CSV"), permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> HttpResponse | None:
        return self._export(request, queryset, "csv")

    @admin.action(description=_("Export as JSON Lines"), permissions=["view"])
    def export_jsonl(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> HttpResponse | None:
        return self._export(request, queryset, "jsonl")

    def _export(self, request: HttpRequest, queryset: QuerySet[AuditEvent], kind: Format) -> HttpResponse | None:
        """The chosen events, oldest first, as a file; nothing where they are too many. Recorded."""
        count = queryset.count()
        if count > EXPORTED:
            said = ngettext(
                "A file holds %(most)d events at most, and this is %(count)d.",
                "A file holds %(most)d events at most, and these are %(count)d.",
                count,
            )
            messages.error(request, said % {"most": EXPORTED, "count": count})
            return None
        actor = request.user
        assert isinstance(actor, User)
        with transaction.atomic():
            events = queryset.order_by("pk").iterator(chunk_size=1000)
            text = "".join(export_events(events, format=kind, names=True))
            record_audit(
                actor=actor, action="audit.exported", obj=AuditEvent, details={"events": count, "format": kind}
            )
        response = HttpResponse(text, content_type=f"{MEDIA[kind]}; charset=utf-8")
        name = f"audit-{timezone.localdate().isoformat()}.{kind}"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        response.headers["Cache-Control"] = "no-store"
        return response


def _name(identity: AuditIdentity | None, pseudonym: UUID | None) -> str:
    """The name, or the bare pseudonym of somebody who is gone."""
    return identity.person.username if identity else str(pseudonym or "–")
