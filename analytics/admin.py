"""The price list of models, for admins; reports have pages of their own."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.models import User
from accounts.services import record_audit
from analytics.models import Price
from analytics.reports import admin as _reports  # noqa: F401  registers its pages


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
