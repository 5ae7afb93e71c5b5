"""Bases of admin pages that show what is other people's: nobody changes it there, and whoever looks is recorded."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from accounts.models import User
from accounts.services import record_audit


class ReadOnlyAdmin(ModelAdmin):
    """To read, never to change."""

    show_full_result_count = False
    actions: Sequence[str] | None = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RecordedReading(ModelAdmin):
    """Records who opened the list (``user.listed``) or a row (``user.shown``), in which role, and of whom it was."""

    def person_of(self, obj: Any) -> User | None:
        """Whose row it is."""
        owner = getattr(obj, "user", None)
        return owner if isinstance(owner, User) else None

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)
        if response.status_code == 200:
            self._record(request, "listed", self.model, None)
        return response

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        shown = getattr(response, "context_data", {}).get("original")
        if shown is not None:
            self.record_shown(request, shown)
        return response

    def record_shown(self, request: HttpRequest, obj: Any) -> None:
        """That ``obj`` was opened: for pages other than Django's own."""
        self._record(request, "shown", obj, self.person_of(obj))

    def _record(
        self, request: HttpRequest, what: str, obj: models.Model | type[models.Model], subject: User | None
    ) -> None:
        actor = request.user
        assert isinstance(actor, User)
        name = f"{self.opts.model_name}.{what}"
        record_audit(actor=actor, action=name, obj=obj, subject=subject, details={"role": str(actor.role)})
