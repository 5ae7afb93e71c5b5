"""Moderators keep the rules, and look at what broke them."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from accounts.admin_reading import ReadOnlyAdmin, RecordedReading
from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError
from conversations.doorbell import tell_rules_changed
from conversations.safety.findings import MAX_TEXT, decide_item
from conversations.safety.models import ModerationItem, ModerationRule
from conversations.safety.scores import points_of, reset_points


class DecisionForm(forms.Form):
    """What a moderator makes of a message that broke a rule."""

    state = forms.ChoiceField(
        label=_("Decision"),
        choices=[("upheld", _("Uphold: it breaks the rule")), ("dismissed", _("Dismiss: it does not"))],
        widget=UnfoldAdminSelectWidget,
    )
    note = forms.CharField(
        label=_("Note"), required=False, max_length=MAX_TEXT, help_text=_("For moderators alone."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )  # fmt: skip
    answer = forms.CharField(
        label=_("Answer to the person"), required=False, max_length=MAX_TEXT,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )  # fmt: skip


class ResetForm(forms.Form):
    """Why a person's violations shall count no more."""

    reason = forms.CharField(
        label=_("Reason"), max_length=500, help_text=_("Kept in the audit trail."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )  # fmt: skip


@admin.register(ModerationRule)
class ModerationRuleAdmin(ModelAdmin):
    """A changed rule holds at once, and within five seconds where a worker missed the doorbell."""

    list_display = ("phrase", "action", "stage", "category", "enabled", "updated_at")
    list_filter = ("action", "stage", "category", "enabled")
    search_fields = ("phrase", "note")
    fields = ("phrase", "action", "stage", "category", "enabled", "note")
    list_per_page = 100
    actions = None

    def save_model(self, request: HttpRequest, obj: ModerationRule, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self._record(request, "moderation_rule.changed" if change else "moderation_rule.added", obj)

    def delete_model(self, request: HttpRequest, obj: ModerationRule) -> None:
        with transaction.atomic():
            self._record(request, "moderation_rule.removed", obj)
            super().delete_model(request, obj)

    def _record(self, request: HttpRequest, name: str, rule: ModerationRule) -> None:
        assert isinstance(request.user, User)
        details = {"action": rule.action, "stage": rule.stage, "category": rule.category, "enabled": rule.enabled}
        record_audit(actor=request.user, action=name, obj=rule, details=details)
        transaction.on_commit(tell_rules_changed)


class AppealFilter(admin.SimpleListFilter):
    title = _("objection")
    parameter_name = "appealed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Objected to"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ModerationItem]) -> QuerySet[ModerationItem]:
        return queryset.filter(appealed_at__isnull=False) if self.value() == "yes" else queryset


@admin.register(ModerationItem)
class ModerationItemAdmin(RecordedReading, ReadOnlyAdmin):
    """The queue, what is open first. What was written opens from the conversation, with a reason."""

    list_display = ("created_at", "state", "action", "category", "rule", "person", "conversation", "appealed_at")
    list_filter = ("state", AppealFilter, "action", "category", "source", "created_at")
    fields = (
        "created_at", "state", "action", "category", "source", "rule", "score", "person", "conversation", "appeal",
        "appealed_at", "note", "answer", "decided_by", "decided_at", "counts", "points",
    )  # fmt: skip
    readonly_fields = fields
    ordering = ("state", "created_at")  # "open" stands before the others
    sortable_by = ()
    list_per_page = 50
    actions_row: ClassVar[list[str]] = ["decide"]
    actions_detail: ClassVar[list[str]] = ["decide", "reset_points"]

    def person_of(self, obj: ModerationItem) -> User:
        return obj.message.owner

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModerationItem]:
        rows: QuerySet[ModerationItem] = super().get_queryset(request)
        return rows.select_related("message__owner", "rule", "decided_by").defer("message__text")

    @admin.display(description=_("person"))
    def person(self, item: ModerationItem) -> str:
        return str(item.message.owner)

    @admin.display(description=_("conversation"))
    def conversation(self, item: ModerationItem) -> str:
        pk = item.message.conversation_id
        return format_html('<a href="{}">{}</a>', reverse("admin:conversations_conversation_change", args=[pk]), pk)

    @admin.display(description=_("points of the person"))
    def points(self, item: ModerationItem) -> int:
        return points_of(item.message.owner_id)

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("conversations.change_moderationitem"))

    @action(description=_("Decide"), url_path="decide", permissions=["decide"], icon="gavel")
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Uphold or dismiss it, with a note and an answer."""
        item = self.get_object(request, object_id)
        if item is None:
            raise Http404
        form = DecisionForm(request.POST or None, initial={"note": item.note, "answer": item.answer})
        if request.method == "POST" and form.is_valid():
            assert isinstance(request.user, User)
            try:
                decide_item(item=item, actor=request.user, **form.cleaned_data)
            except ApplicationError as error:
                raise PermissionDenied from error
            messages.success(request, gettext("That is decided."))
            return HttpResponseRedirect(reverse("admin:conversations_moderationitem_changelist"))
        self.record_shown(request, item)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Decide on a message"),
            "opts": self.opts,
            "original": item,
            "item": item,
            "form": form,
        }
        return TemplateResponse(request, "admin/conversations/decide.html", context)

    @action(description=_("Reset the points"), url_path="reset-points", permissions=["decide"], icon="restart_alt")
    def reset_points(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let what the message's person has done so far count no more, for a reason."""
        item = self.get_object(request, object_id)
        if item is None:
            raise Http404
        form, person = ResetForm(request.POST or None), self.person_of(item)
        if request.method == "POST" and form.is_valid():
            assert isinstance(request.user, User)
            try:
                reset_points(actor=request.user, person=person, reason=form.cleaned_data["reason"])
            except ApplicationError as error:
                if error.status == 403:
                    raise PermissionDenied from error
                form.errors["reason"] = form.error_class([error.detail])
            else:
                messages.success(request, gettext("The points are reset."))
                return HttpResponseRedirect(reverse("admin:conversations_moderationitem_change", args=[item.pk]))
        self.record_shown(request, item)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Reset the points of a person"),
            "opts": self.opts,
            "original": item,
            "person": person,
            "points": points_of(person.pk),
            "form": form,
        }
        return TemplateResponse(request, "admin/conversations/reset_points.html", context)
