"""The price list of models and the reports, for admins."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from accounts.admin_reading import ReadOnlyAdmin
from accounts.models import User
from accounts.services import record_audit
from analytics.metrics import METRICS
from analytics.models import Price, Report
from analytics.reports import figure_rows


@admin.register(Price)
class PriceAdmin(ModelAdmin):
    """What costs are told changes with it at once, also of the past: nothing of it is kept."""

    list_display = ("model", "valid_from", "prompt", "completion")
    list_filter = ("model",)
    search_fields = ("model",)
    actions = None

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self._record(request, "price.changed" if change else "price.added", obj)

    def delete_model(self, request: HttpRequest, obj: Price) -> None:
        with transaction.atomic():
            self._record(request, "price.removed", obj)
            super().delete_model(request, obj)

    def _record(self, request: HttpRequest, action: str, price: Price) -> None:
        assert isinstance(request.user, User)
        details = {
            "model": price.model,
            "valid_from": f"{price.valid_from}",
            "prompt": f"{price.prompt}",
            "completion": f"{price.completion}",
        }
        record_audit(actor=request.user, action=action, obj=price, details=details)


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ("start", "grain", "time_zone", "made_at", "mailed_at")
    fields = ("start", "grain", "time_zone", "made_at", "mailed_at", "as_table")
    readonly_fields = fields

    @admin.display(description=_("figures"))
    def as_table(self, report: Report) -> str:
        rows = ((row[0], row[1], row[2]) for row in figure_rows(report, METRICS))
        body = format_html_join("", "<tr><th scope=row>{}</th><td>{}</td><td>{}</td></tr>", rows)
        head = (_("Figure"), _("This week"), _("The week before"))
        return format_html("<table><tr><th>{}</th><th>{}</th><th>{}</th></tr>{}</table>", *head, body)
