"""People and the record in the admin. What changes a person goes through the services, which ask, record and tell."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from accounts import admin_audit as admin_audit  # which registers its page
from accounts import authenticators, restriction, services
from accounts.admin_reading import ReadOnlyAdmin, RecordedReading
from accounts.forms import UserModelForm
from accounts.models import ApiKey, RefreshFamily, User
from accounts.roles import Role
from accounts.second_factor import is_on
from accounts.second_factor_views import enter_admin
from chatbot_project.lib.errors import ApplicationError

admin.site.unregister(Group)  # roles say who may do what; groups would be a second, unused way
admin.site.unregister(TOTPDevice)  # it shows the secret
admin.site.login = enter_admin  # type: ignore[method-assign]  # one way in for all pages


class PersonForm(UserModelForm):
    """Role, suspension and a lost second factor, each with a reason that is recorded."""

    reset_second_factor = forms.BooleanField(
        label=_("Reset the second factor"), required=False, widget=UnfoldBooleanSwitchWidget,
        help_text=_("For who has lost app and recovery codes: the password alone signs in until it is set up again."),
    )  # fmt: skip

    pause_processing = forms.BooleanField(
        label=_("Processing paused"), required=False, widget=UnfoldBooleanSwitchWidget,
        help_text=_("What they hold stays and can be read, fetched and erased; nothing else is done with it. Paused "
                    "here, only an admin lifts it. Lifted here, they are told first, and it goes on some days later."),
    )  # fmt: skip

    reason = forms.CharField(
        label=_("Reason"), required=False, max_length=500, widget=UnfoldAdminTextInputWidget,
        help_text=_("Required for a change. It is recorded with your name."),
    )  # fmt: skip

    class Meta:
        model = User
        fields = ("role", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["pause_processing"] = self._is_paused()

    def _is_paused(self) -> bool:
        """Paused, and no end of it is announced."""
        return self.instance.restricted_at is not None and self.instance.restriction_ends_at is None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if set(self.changed_data) - {"reason"} and not data.get("reason", "").strip():
            self.add_error("reason", _("Say why."))
        if data.get("role", Role.USER) != Role.USER and self.instance.is_guest:
            self.add_error("role", _("Guests have no role."))
        return data


@admin.register(User)
class UserAdmin(RecordedReading):
    form = PersonForm
    list_display = ("username", "email", "role", "is_guest", "is_active", "created_at", "last_seen_at")
    list_filter = ("role", "is_guest", "is_active")
    search_fields = ("username", "email")
    ordering = ("-created_at",)
    show_full_result_count = False
    change_form_outer_before_template = "admin/accounts/person_links.html"
    readonly_fields = (
        "id", "username", "email", "email_verified_at", "language", "timezone",
        "is_guest", "created_at", "last_seen_at", "second_factor_at",
        "restricted_at", "restriction_ends_at",
    )  # fmt: skip

    def person_of(self, obj: User) -> User:
        return obj

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people sign up; the first admin is made by `manage.py createsuperuser`

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False  # suspended instead: deleting a person is more than deleting this row

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        may_reset = request.user.has_perm("accounts.reset_second_factor") and obj is not None and is_on(obj)
        may_pause = request.user.has_perm("accounts.restrict_user")
        more = (*(["reset_second_factor"] if may_reset else []), *(["pause_processing"] if may_pause else []))
        return (*self.readonly_fields, "role", "is_active", *more, "reason")

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if not request.user.has_perm("accounts.restrict_user"):
            form.base_fields.pop("pause_processing", None)  # left out of what is sent, it would count as switched off
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        if request.user.has_perm("accounts.change_role"):
            return self.readonly_fields
        return (*self.readonly_fields, "role")

    def save_model(self, request: HttpRequest, obj: User, form: PersonForm, change: bool) -> None:
        """Change what was changed, through the services. Raises what they refuse with."""
        actor = request.user
        reason = form.cleaned_data["reason"].strip()
        assert isinstance(actor, User)
        if "role" in form.changed_data:
            services.change_role(actor=actor, user=obj, role=Role(form.cleaned_data["role"]), reason=reason)
        if "is_active" in form.changed_data:
            suspended = not form.cleaned_data["is_active"]
            services.set_suspended(actor=actor, user=obj, suspended=suspended, reason=reason)
        if "pause_processing" in form.changed_data:
            change_to = restriction.restrict if form.cleaned_data["pause_processing"] else restriction.resume
            change_to(actor=actor, user=obj, reason=reason)
        if form.cleaned_data["reset_second_factor"]:
            authenticators.reset(actor=actor, user=obj, reason=reason)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """As always, in one transaction, which a refusal undoes; the refusal is shown on the page."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ApplicationError as error:
            messages.error(request, error.detail)
            return HttpResponseRedirect(request.path)
        return response


@admin.register(RefreshFamily)
class RefreshFamilyAdmin(RecordedReading, ReadOnlyAdmin):
    """Where people's programs are signed in. They end with the person's suspension, or by the person."""

    list_display = ("user", "device", "created_at", "last_used_at", "expires_at", "revoked_at", "reason")
    list_select_related = ("user",)
    list_filter = ("reason",)
    search_fields = ("user__username",)
    ordering = ("-id",)
    fields = list_display


@admin.register(ApiKey)
class ApiKeyAdmin(RecordedReading, ReadOnlyAdmin):
    """Which keys there are and when they were last used. A key itself is kept nowhere."""

    list_display = ("user", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "name", "prefix")
    ordering = ("-id",)
    fields = list_display


from accounts.privacy import admin as privacy_admin  # noqa: E402, F401  as the next
from accounts.retention import admin as retention_admin  # noqa: E402, F401  which stands on what is above
