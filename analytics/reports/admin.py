"""Reports and who gets them, in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.admin_reading import ReadOnlyAdmin
from accounts.models import User
from accounts.models.people import normalise_address
from accounts.services import record_audit
from analytics.models import Delivery, Report, Subscription
from analytics.reports import delivery
from analytics.reports.files import Format, file_of
from analytics.reports.subscribing import account_of, may_receive
from analytics.reports.wording import figures_by_group, tables_of, title_of

_STATES = {"waiting": "info", "sent": "success", "withheld": "warning", "given_up": "danger"}


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """Every report, to read, to fetch as a file and to mail again."""

    list_display = ("title", "grain", "files", "made_at", "mailed_at")
    list_filter = ("grain", "start")
    list_per_page = 50
    sortable_by = ()
    fields = ("grain", "time_zone", "made_at", "mailed_at", "files", "mailing")
    readonly_fields = fields
    change_form_before_template = "admin/analytics/report_again.html"
    change_form_after_template = "admin/analytics/report_tables.html"

    @admin.display(description=_("report"))
    def title(self, report: Report) -> str:
        return title_of(report)

    @admin.display(description=_("files"))
    def files(self, report: Report) -> str:
        links = ((reverse("admin:analytics_report_file", args=[report.pk, each]), each.upper()) for each in Format)
        return format_html_join(
            " · ", '<a class="text-primary-600 underline dark:text-primary-500" href="{}">{}</a>', links
        )

    @admin.display(description=_("mails"))
    def mailing(self, report: Report) -> str:
        states = [Delivery.State(state) for state in report.deliveries.values_list("state", flat=True)]
        counted = ((state.label, states.count(state)) for state in Delivery.State if state in states)
        return format_html_join(", ", "{}: {}", counted) or "–"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """With its tables below."""
        report = self.get_object(request, object_id)
        tables = (*figures_by_group(report), *tables_of(report)) if report else ()
        response: HttpResponse = super().change_view(request, object_id, form_url, {"tables": tables})
        return response

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                "<int:report_id>/<str:format>/file/",
                self.admin_site.admin_view(self.file_view),
                name="analytics_report_file",
            ),
            path("<int:report_id>/again/", self.admin_site.admin_view(self.again_view), name="analytics_report_again"),
        ]
        inherited: list[URLPattern] = super().get_urls()
        return own + inherited

    def file_view(self, request: HttpRequest, report_id: int, format: str) -> HttpResponse:
        """The report as a file in the reader's language. Raises Http404."""
        report = self._get(request, report_id)
        if format not in list(Format):
            raise Http404
        file = file_of(report, Format(format), get_language() or "en")
        response = HttpResponse(file.content, content_type=file.media_type)
        response.headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
        response.headers["Cache-Control"] = "no-store"
        return response

    def again_view(self, request: HttpRequest, report_id: int) -> HttpResponse:
        """Mail it to all who subscribe to it, also to who got it already. Recorded. Raises Http404."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        report = self._get(request, report_id, "analytics.change_subscription")
        assert isinstance(request.user, User)
        with transaction.atomic():
            number = delivery.mail_again(report)
            record_audit(actor=request.user, action="report.mailed_again", obj=report, details={"mails": number})
        said = ngettext("%(number)d mail goes out within minutes.", "%(number)d mails go out within minutes.", number)
        messages.success(request, said % {"number": number})
        return HttpResponseRedirect(reverse("admin:analytics_report_change", args=[report.pk]))

    def _get(self, request: HttpRequest, report_id: int, permission: str = "analytics.view_report") -> Report:
        report = Report.objects.filter(pk=report_id).first()
        if report is None or not request.user.has_perm(permission):
            raise Http404
        return report


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes none at run time
    class Meta:
        model = Subscription
        fields = ("user", "address", "grain", "persona", "pdf", "csv", "language", "is_active")

    def clean_address(self) -> str:
        address = normalise_address(self.cleaned_data["address"])
        account = account_of(address) if address else None
        if account is not None and not may_receive(account):
            raise ValidationError(_("Whose address this is may not see figures."))
        return address

    def clean_user(self) -> User | None:
        user: User | None = self.cleaned_data["user"]
        if user is not None and not may_receive(user):
            raise ValidationError(_("This person may not see figures."))
        return user


@admin.register(Subscription)
class SubscriptionAdmin(ModelAdmin):
    """Who gets reports by mail. What is taken from the settings is changed there."""

    form = SubscriptionForm
    list_display = ("recipient", "grain", "of", "attached", "language", "is_active", "latest")
    list_filter = ("grain", "is_active", "language")
    list_select_related = ("user", "persona__published")
    autocomplete_fields = ("user",)
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        rows: QuerySet[Subscription] = super().get_queryset(request)
        return rows.prefetch_related("deliveries")

    @admin.display(description=_("who"))
    def recipient(self, subscription: Subscription) -> str:
        if subscription.user:
            return subscription.user.username
        return f"{subscription.address} (REPORT_MAIL)" if subscription.from_settings else subscription.address

    @admin.display(description=_("of"))
    def of(self, subscription: Subscription) -> str:
        return str(subscription.persona or _("all"))

    @admin.display(description=_("attached"))
    def attached(self, subscription: Subscription) -> str:
        wished = ((subscription.pdf, "PDF"), (subscription.csv, "CSV"))
        return ", ".join(name for is_wished, name in wished if is_wished) or "–"

    @display(description=_("latest mail"), label=_STATES)
    def latest(self, subscription: Subscription) -> Any:
        found = next(iter(subscription.deliveries.all()), None)
        return (found.state, found.get_state_display()) if found else None

    def has_change_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and not (obj and obj.from_settings)

    def has_delete_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and not (obj and obj.from_settings)

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self._record(request, "subscription.changed" if change else "subscription.added", obj)

    def delete_model(self, request: HttpRequest, obj: Subscription) -> None:
        with transaction.atomic():
            self._record(request, "subscription.removed", obj)
            super().delete_model(request, obj)

    def _record(self, request: HttpRequest, action: str, subscription: Subscription) -> None:
        """Without the address: the trail is kept for good."""
        assert isinstance(request.user, User)
        details = {
            "grain": subscription.grain,
            "persona": str(subscription.persona or ""),
            "active": subscription.is_active,
            "to": "account" if subscription.user else "address",
        }
        record_audit(
            actor=request.user, action=action, obj=subscription, subject=subscription.user, details=details
        )  # fmt: skip
