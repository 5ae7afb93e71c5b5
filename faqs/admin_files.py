"""FAQs in and out as files: what an import would do is shown row by row before it is done."""

from secrets import token_urlsafe
from typing import Any

from django.contrib import messages
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from redis.exceptions import RedisError

from chatbot_project.lib.errors import ApplicationError
from faqs.admin_forms import ImportForm
from faqs.admin_history import field_label
from faqs.admin_site_pages import ADD, CHANGE, PUBLISH, VIEW, PagesAdmin, View, actor_of, require
from faqs.downloads import download
from faqs.models import FAQ
from faqs.transfer import ImportReport, Outcome, import_faqs

MAX_UPLOAD = 5 * 1024 * 1024  # bytes; larger ones go through the command
KEPT_SECONDS = 1800  # how long a file that was looked at waits to be confirmed
SHOWN = 500  # rows of a report on the page


class FilePages(PagesAdmin):
    def pages(self) -> dict[str, View]:
        return super().pages() | {"import": self.import_view, "export": self.export_view}

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """All FAQs, archived ones too, or those of the list's filters where its query is given: ``format`` csv or
        json."""
        require(request, VIEW)
        chosen = request.GET.copy()
        wish = chosen.pop("format", ["csv"])[-1]
        faqs = self._filtered(request, chosen) if chosen else None
        return download(faqs, "json" if wish == "json" else "csv")

    def _filtered(self, request: HttpRequest, query: Any) -> Any:
        request.GET = query
        changelist = self.get_changelist_instance(request)
        return FAQ.objects.filter(pk__in=changelist.get_queryset(request).order_by().values("pk"))

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Upload, look at the report, confirm. The file is kept for half an hour, for the one who sent it alone."""
        for permission in (ADD, CHANGE, PUBLISH):  # a file may do all of it
            require(request, permission)
        if request.method == "POST" and "token" in request.POST:
            return self._confirm(request)
        form = ImportForm(request.POST or None, request.FILES or None)
        report, token = None, ""
        if request.method == "POST" and form.is_valid():
            try:
                report, token = self._look(request, form)
            except ApplicationError as error:
                form.add_error("file", error.detail)
        return self._show(request, form, report, token)

    def _look(self, request: HttpRequest, form: ImportForm) -> tuple[ImportReport, str]:
        """The report, and by which token the file is confirmed: none where a row is refused."""
        file = form.cleaned_data["file"]
        if file.size > MAX_UPLOAD:
            text = gettext("At most %d MB here. For more there is the command import_faqs.") % (MAX_UPLOAD >> 20)
            raise ApplicationError("too_large", text)
        data = file.read()
        options = _options(request)
        report = import_faqs(data=data, actor=actor_of(request), dry_run=True, **options)
        if report.refused:
            return report, ""
        token = token_urlsafe(16)
        try:
            cache.set(_key(request, token), {"data": data, "options": options}, KEPT_SECONDS)
        except RedisError:
            text = gettext("The file could not be kept for the next step. Try again in a minute.")
            raise ApplicationError("unavailable", text, status=503) from None
        return report, token

    def _confirm(self, request: HttpRequest) -> HttpResponse:
        key = _key(request, request.POST["token"])
        try:
            kept = cache.get(key)
        except RedisError:
            kept = None
        if kept is None:
            messages.error(request, gettext("The file is not at hand any more. Send it again."))
            return HttpResponseRedirect(reverse("admin:faqs_faq_import"))
        try:
            report = import_faqs(data=kept["data"], actor=actor_of(request), **kept["options"])
        except ApplicationError as error:
            messages.error(request, error.detail)
            return HttpResponseRedirect(reverse("admin:faqs_faq_import"))
        if not report.applied:
            messages.error(request, gettext("Something has changed meanwhile. Nothing was imported."))
            return self._show(request, ImportForm(), report, "")
        cache.delete(key)
        messages.success(request, done_text(report))
        return HttpResponseRedirect(reverse("admin:faqs_faq_changelist"))

    def _show(self, request: HttpRequest, form: ImportForm, report: ImportReport | None, token: str) -> HttpResponse:
        every = sorted(report.rows, key=lambda row: row.outcome is not Outcome.REFUSED) if report else []
        rows = [(row, outcome_label(row.outcome), [field_label(name) for name in row.fields]) for row in every[:SHOWN]]
        return self.page(
            request, "import", gettext("Import"), form=form, report=report, token=token, rows=rows,
            hidden=len(every) - len(rows), options=_options(request),
            counts=[(outcome_label(outcome), count) for outcome, count in report.counts.items()] if report else [],
        )  # fmt: skip


def done_text(report: ImportReport) -> str:
    """One sentence on what an import did."""
    created, changed = report.counts[Outcome.CREATED], report.counts[Outcome.CHANGED]
    new = ngettext("%d FAQ is new", "%d FAQs are new", created) % created
    return gettext("%(new)s, %(changed)d changed.") % {"new": new, "changed": changed}


def outcome_label(outcome: Outcome) -> str:
    """What the report calls an outcome."""
    return {
        Outcome.CREATED: gettext("new"),
        Outcome.CHANGED: gettext("changed"),
        Outcome.UNCHANGED: gettext("as it was"),
        Outcome.REFUSED: gettext("refused"),
    }[outcome]


def _options(request: HttpRequest) -> dict[str, bool]:
    return {name: request.POST.get(name) == "on" for name in ("publish", "create_categories")}


def _key(request: HttpRequest, token: str) -> str:
    return f"faqs.import:{request.user.pk}:{token[:64]}"
