"""The background work in the admin, for admins: how each task ran last, and when it runs next."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from accounts.admin_reading import ReadOnlyAdmin
from chatbot_project.models import TaskRecord
from chatbot_project.task_records import is_on_timetable, next_run


@admin.register(TaskRecord)
class TaskRecordAdmin(ReadOnlyAdmin):
    """Failures first."""

    list_display = ("name", "state", "started_at", "took", "next", "runs", "failures", "failed_at", "error")
    search_fields = ("name", "error")
    list_filter = ("outcome",)
    fields: ClassVar[tuple[str, ...]] = (*list_display, "finished_at", "alerted_at")
    readonly_fields = fields
    list_per_page = 100

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        return ["-outcome", "name"] if not request.GET.get("o") else ["name"]

    @display(
        description=gettext_lazy("state"),
        label={
            "failed": "danger", "stuck": "danger", "again": "warning",
            "running": "info", "done": "success", "never": "",
        },
    )  # fmt: skip
    def state(self, record: TaskRecord) -> tuple[str, str]:
        """The state's name, which gives the colour, and its word."""
        if record.is_running:
            assert record.started_at is not None
            over = timezone.now() - record.started_at > timedelta(seconds=settings.CELERY_TASK_TIME_LIMIT)
            return ("stuck", _("does not end, or was killed")) if over else ("running", _("at work"))
        return record.outcome or "never", str(record.get_outcome_display() or _("never ran"))

    @display(description=gettext_lazy("took"), ordering="seconds")
    def took(self, record: TaskRecord) -> str:
        if record.seconds is None or record.is_running:
            return "–"
        return _("%(seconds).2f s") % {"seconds": record.seconds}

    @display(description=gettext_lazy("next run"))
    def next(self, record: TaskRecord) -> str:
        """When beat is to start it; a time in the past says that beat or the worker is away."""
        at: datetime | None = next_run(record)
        if at is None:
            return _("at the worker's start") if is_on_timetable(record.name) else _("on demand")
        return date_format(timezone.localtime(at), "DATETIME_FORMAT")
