"""What people asked for by right, for admins: what waits, since when, and until when it is due."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin_reading import ReadOnlyAdmin, RecordedReading
from accounts.models import DataRequest, LegalHold


@admin.register(DataRequest)
class DataRequestAdmin(RecordedReading, ReadOnlyAdmin):
    """Copies and erasures. Whoever asked cancels; ``manage.py erase_user`` asks for others. Who is erased is gone."""

    list_display = (
        "user",
        "kind",
        "state",
        "created_at",
        "due_at",
        "expires_at",
        "finished_at",
        "waits_for_hold",
        "held_since",
    )
    list_select_related = ("user",)
    list_filter = ("kind", "state")
    search_fields = ("user__username", "user__email")
    ordering = ("-id",)
    fields = (*list_display, "size")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[DataRequest]":
        held = LegalHold.objects.filter(person=OuterRef("user"))
        requests: QuerySet[DataRequest] = super().get_queryset(request).annotate(is_held=Exists(held))
        return requests

    @admin.display(description=_("waits for a legal hold"), boolean=True)
    def waits_for_hold(self, obj: Any) -> bool:
        is_waiting = obj.kind == DataRequest.Kind.ERASURE and obj.state in (
            DataRequest.State.WAITING,
            DataRequest.State.RUNNING,
        )
        return bool(is_waiting and obj.is_held)
