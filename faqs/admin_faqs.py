"""FAQs in the admin: find, write, publish. Every write is a service's."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from chatbot_project.lib.errors import ApplicationError
from faqs import services
from faqs.admin_files import FilePages
from faqs.admin_filters import CategoryFilter, LanguageFilter, StatusFilter, TagFilter, ValidityFilter
from faqs.admin_forms import FAQForm
from faqs.admin_history import HistoryPages
from faqs.admin_site_pages import PUBLISH, actor_of, rights
from faqs.admin_translations import translation_actions
from faqs.admin_trying import TryingPages
from faqs.downloads import download
from faqs.models import FAQ, FAQFeedback, Phrasing
from faqs.phrasings import phrasings_of
from faqs.translations import translations_of
from faqs.word_search import holding_words

_SHOWN = (
    "question", "answer", "wordings", "category", "language", "tags", "visibility", "owner", "valid_from",
    "valid_until",
)  # fmt: skip
_LABELS = {"draft": "warning", "published": "success", "archived": "info", "not in force": "warning"}


def _count(rows: QuerySet[Any], **conditions: Any) -> Coalesce:
    """How many of ``rows`` an FAQ has: counted for the lines of a page, not for the table."""
    counted = rows.filter(faq=OuterRef("pk"), **conditions).order_by().values("faq").annotate(n=Count("pk"))
    return Coalesce(Subquery(counted.values("n"), output_field=IntegerField()), 0)


class FAQAdmin(HistoryPages, TryingPages, FilePages):
    form = FAQForm
    # As many as fit a window of 1280 pixels; the owner is a filter.
    list_display = ("asked", "state", "place", "language", "ways", "helped", "updated_at")
    list_display_links = ("asked",)
    list_select_related = ("category",)
    list_filter = (
        StatusFilter, LanguageFilter, CategoryFilter, TagFilter, ValidityFilter,
        ("owner", admin.RelatedOnlyFieldListFilter),
    )  # fmt: skip
    search_fields = ("question",)  # get_search_results looks further
    search_help_text = _("Words of the question, its other wordings, tags or answer; or an id")
    ordering = ("-updated_at", "-id")
    sortable_by = ("asked", "updated_at")
    list_per_page = 50
    show_full_result_count = False
    warn_unsaved_form = True
    actions = ("publish_chosen", "archive_chosen", "export_chosen", *translation_actions())
    actions_submit_line: ClassVar[list[str]] = ["save_and_publish"]
    list_before_template = "faqs/admin/_list_links.html"
    change_form_outer_before_template = "faqs/admin/_links.html"
    change_form_after_template = "faqs/admin/_writing.html"
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("question", "answer", "phrasings")}),
        (_("Where it stands"), {"fields": ("category", "language", "tags", "visibility", "owner")}),
        (_("When it holds"), {"fields": ("valid_from", "valid_until")}),
        (_("This change"), {"fields": ("note", "expected_version")}),
    )

    # --- The list -----------------------------------------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[FAQ]:
        faqs: QuerySet[FAQ] = super().get_queryset(request)
        return faqs.defer("answer", "search").annotate(
            ways_count=_count(Phrasing.objects.all()),
            helped_count=_count(FAQFeedback.objects.all(), helpful=True),
            failed_count=_count(FAQFeedback.objects.all(), helpful=False),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[FAQ], search_term: str
    ) -> tuple[QuerySet[FAQ], bool]:
        term = search_term.replace("\0", "").strip()
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            found: Any = queryset
            return holding_words(found, term), False

    @admin.display(description=_("question"), ordering="question")
    def asked(self, faq: FAQ) -> str:
        return format_html('<span class="faq-cell">{}</span>', faq.question)

    @admin.display(description=_("category"))
    def place(self, faq: FAQ) -> str:
        return format_html('<span class="faq-cell faq-cell-small">{}</span>', faq.category or "–")

    @display(description=_("status"), label=_LABELS, ordering="status")
    def state(self, faq: FAQ) -> Any:
        if faq.status == "draft" and faq.drafted_by:
            return faq.status, gettext("draft by a model")
        out_of_time = _out_of_time(faq)
        if faq.status == "published" and out_of_time:
            return "not in force", out_of_time
        return faq.status, faq.get_status_display()

    @admin.display(description=_("wordings"))
    def ways(self, faq: Any) -> int:
        return int(faq.ways_count)

    @admin.display(description=_("helped"))
    def helped(self, faq: Any) -> str:
        return f"👍 {faq.helped_count}  👎 {faq.failed_count}" if faq.helped_count or faq.failed_count else "–"

    # --- Many at once -------------------------------------------------------------------------------------------------
    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(PUBLISH))

    @admin.action(description=_("Publish"), permissions=["publish"])
    def publish_chosen(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> None:
        """Publish what can be, and say of each that cannot why."""
        over = Q(valid_until__lte=timezone.now())
        refused = list(queryset.filter(Q(status=FAQ.Status.ARCHIVED) | over))
        for faq in refused[:5]:
            reason = gettext("is archived") if faq.status == FAQ.Status.ARCHIVED else gettext("is valid no longer")
            messages.error(request, f"“{faq.question}” {reason}.")
        if len(refused) > 5:
            more = ngettext("%d more cannot be published.", "%d more cannot be published.", len(refused) - 5)
            messages.error(request, more % (len(refused) - 5))
        chosen = FAQ.objects.filter(pk__in=queryset.values("pk")).exclude(pk__in=[faq.pk for faq in refused])
        try:
            done = services.publish_faqs(faqs=chosen, actor=actor_of(request))
        except ApplicationError as error:
            messages.error(request, error.detail)
            return
        text = ngettext("%d FAQ is published.", "%d FAQs are published.", len(done)) % len(done)
        messages.success(request, _with_others(text, chosen.count() - len(done)))

    @admin.action(description=_("Archive"), permissions=["publish"])
    def archive_chosen(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> None:
        chosen = FAQ.objects.filter(pk__in=queryset.values("pk"))
        done = services.archive_faqs(faqs=chosen, actor=actor_of(request))
        text = ngettext("%d FAQ is archived.", "%d FAQs are archived.", len(done)) % len(done)
        messages.success(request, _with_others(text, queryset.count() - len(done)))

    @admin.action(description=_("Export as CSV"), permissions=["view"])
    def export_chosen(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> HttpResponse:
        return download(FAQ.objects.filter(pk__in=queryset.values("pk")), "csv")

    # --- For those who may only look ----------------------------------------------------------------------------------
    def get_fieldsets(self, request: HttpRequest, obj: FAQ | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        return ((None, {"fields": _SHOWN}),)

    def get_readonly_fields(self, request: HttpRequest, obj: FAQ | None = None) -> tuple[str, ...]:
        return () if obj is None or self.has_change_permission(request, obj) else _SHOWN

    @admin.display(description=_("Other ways to ask it"))
    def wordings(self, faq: FAQ) -> str:
        return format_html_join("", "{}<br>", ((text,) for text in phrasings_of(faq))) or "–"

    # --- The form -----------------------------------------------------------------------------------------------------
    def get_form(self, request: HttpRequest, obj: FAQ | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.refusal = getattr(request, "faqs_refusal", None)  # a class of its own for this request
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """As always, in one transaction. What the services refuse undoes it and stands on the form, nothing typed is
        lost."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except (ApplicationError, ValidationError) as refusal:
            request.faqs_refusal = refusal  # type: ignore[attr-defined]
            response = super().changeform_view(request, *args, **kwargs)
        return response

    def save_model(self, request: HttpRequest, obj: FAQ, form: FAQForm, change: bool) -> None:
        """Save through the services, and publish where that button was pressed."""
        data, actor = form.cleaned_data, actor_of(request)
        if change:
            saved = services.edit_faq(
                faq=obj, actor=actor, note=data["note"], phrasings=data["phrasings"],
                expected_version=data["expected_version"], **form.content,
            )  # fmt: skip
        else:
            saved = services.create_faq(actor=actor, note=data["note"], phrasings=data["phrasings"], **form.content)
        if "faqs_faq_save_and_publish" in request.POST and self.has_publish_permission(request):
            services.publish_faqs(faqs=[saved], actor=actor)
        obj.pk = saved.pk
        obj.refresh_from_db()

    @action(description=_("Save and publish"), permissions=["publish"])
    def save_and_publish(self, request: HttpRequest, obj: FAQ) -> None:
        """The button; ``save_model`` does it."""

    def delete_model(self, request: HttpRequest, obj: FAQ) -> None:
        services.delete_faq(faq=obj, actor=actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> None:
        for faq in FAQ.objects.filter(pk__in=queryset.values("pk")):
            services.delete_faq(faq=faq, actor=actor_of(request))

    def view_on_site(self, obj: FAQ) -> str | None:
        return reverse("faqs:faq", args=[obj.pk]) if obj.is_in_force() else None

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        faq = kwargs.get("obj")
        context |= {"faq": faq, "translations": list(translations_of(faq)) if faq else []} | rights(request)
        if faq is None:  # the theme puts such buttons on the forms of what is there already
            context["actions_submit_line"] = self.get_actions_submit_line(request, None)
        return super().render_change_form(request, context, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        query = request.GET.urlencode()
        context = {"export_query": f"&{query}" if query else ""} | rights(request) | (extra_context or {})
        response: HttpResponse = super().changelist_view(request, context)
        return response


def _out_of_time(faq: FAQ) -> str:
    """Why a published FAQ is not in force now; empty where it is."""
    now = timezone.now()
    if faq.valid_from and faq.valid_from > now:
        return gettext("not valid yet")
    if faq.valid_until and faq.valid_until <= now:
        return gettext("no longer valid")
    return ""


def _with_others(text: str, others: int) -> str:
    if not others:
        return text
    return f"{text} " + ngettext("%d was so already.", "%d were so already.", others) % others
