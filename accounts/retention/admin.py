"""Retention in the admin, for admins: how long, what is held, and what the runs have removed."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from accounts.admin_reading import ReadOnlyAdmin
from accounts.models import LegalHold, RetentionPolicy, RetentionRun, User, normalise_address
from accounts.retention import holds, policies
from chatbot_project.lib.errors import ApplicationError


def _reason_field() -> forms.CharField:
    return forms.CharField(
        label=_("Reason"), max_length=500, widget=UnfoldAdminTextInputWidget, help_text=_("Recorded with your name.")
    )


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    reason = _reason_field()

    class Meta:
        model = RetentionPolicy
        fields = ("data_class", "days")


class HoldForm(forms.ModelForm):  # type: ignore[type-arg]
    """Whose, or which: looked up when it is placed."""

    address = forms.EmailField(
        label=_("E-mail of the person"), required=False, widget=UnfoldAdminTextInputWidget,
        help_text=_("To hold all of their data."),
    )  # fmt: skip
    which = forms.UUIDField(
        label=_("Conversation"), required=False, widget=UnfoldAdminTextInputWidget,
        help_text=_("Its id, to hold this one alone."),
    )  # fmt: skip
    reason = _reason_field()
    person: User | None = None

    class Meta:
        model = LegalHold
        fields = ()

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        address, which = data.get("address"), data.get("which")
        if bool(address) == bool(which):
            raise forms.ValidationError(_("Name a person or a conversation."))
        if address:
            self.person = User.objects.filter(email=normalise_address(address)).first()
            if self.person is None:
                self.add_error("address", _("Nobody has this address."))
        return data


class ReleaseForm(forms.ModelForm):  # type: ignore[type-arg]
    release = forms.BooleanField(label=_("Release it"), widget=UnfoldBooleanSwitchWidget)
    reason = _reason_field()

    class Meta:
        model = LegalHold
        fields = ()


class ServedAdmin(ModelAdmin):
    """What a service refuses is shown on the page; nothing is deleted here."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None  # the record of actions says more

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ApplicationError as error:
            messages.error(request, error.detail)
            return HttpResponseRedirect(request.path)
        return response


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(ServedAdmin):
    form = PolicyForm
    list_display = ("data_class", "days", "setting", "changed_at")
    list_before_template = "admin/accounts/retention_in_force.html"
    fields = ("data_class", "days", "reason")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """With what holds for every class, set here or not."""
        response: HttpResponse = super().changelist_view(request, {"in_force": policies.in_force()})
        return response

    @admin.display(description=_("as the settings say"))
    def setting(self, policy: RetentionPolicy) -> str:
        return f"{policies.POLICIES[policy.data_class].setting}={policies.default_days(policy.data_class)}"

    def get_readonly_fields(self, request: HttpRequest, obj: RetentionPolicy | None = None) -> tuple[str, ...]:
        return ("data_class",) if obj else ()

    def save_model(self, request: HttpRequest, obj: RetentionPolicy, form: PolicyForm, change: bool) -> None:
        actor = request.user
        assert isinstance(actor, User)
        data = form.cleaned_data
        policies.set_policy(actor=actor, data_class=obj.data_class, days=data["days"], reason=data["reason"])


@admin.register(LegalHold)
class LegalHoldAdmin(ServedAdmin):
    list_display = ("person", "conversation", "placed_at")
    list_select_related = ("person",)
    search_fields = ("person__username", "person__email", "conversation")
    ordering = ("-placed_at",)

    def get_form(self, request: HttpRequest, obj: LegalHold | None = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = ReleaseForm if obj else HoldForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: LegalHold | None = None) -> tuple[str, ...]:
        return (*self.list_display, "release", "reason") if obj else ("address", "which", "reason")

    def get_readonly_fields(self, request: HttpRequest, obj: LegalHold | None = None) -> tuple[str, ...]:
        return self.list_display if obj else ()

    def save_model(self, request: HttpRequest, obj: LegalHold, form: Any, change: bool) -> None:
        actor, reason = request.user, form.cleaned_data["reason"]
        assert isinstance(actor, User)
        if change:
            holds.release(actor=actor, hold=LegalHold.objects.get(pk=obj.pk), reason=reason)
            return
        which: UUID | None = form.cleaned_data["which"]
        placed = holds.place(actor=actor, person=form.person, conversation=which, reason=reason)
        obj.pk, obj.person, obj.conversation = placed.pk, placed.person, placed.conversation

    def response_change(self, request: HttpRequest, obj: LegalHold) -> HttpResponse:
        messages.success(request, _("The hold is released."))
        return HttpResponseRedirect(reverse("admin:accounts_legalhold_changelist"))


@admin.register(RetentionRun)
class RetentionRunAdmin(ReadOnlyAdmin):
    list_display: ClassVar[tuple[str, ...]] = ("started_at", "finished_at", "as_of", "removed", "skipped", "kept")
    ordering = ("-started_at",)
    fields = list_display
