"""Gaps in the admin: what people asked in vain, most asked first, and what is done about it. Who asked never shows."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.markdown import render
from faqs import gaps, services
from faqs.admin_site_pages import ADD, PUBLISH, actor_of, press, require
from faqs.gap_drafts import Writing, draft_from_gap
from faqs.gap_replay import GapReplay, replay_gap
from faqs.gap_tasks import queue_answer
from faqs.models import FAQ, Gap, GapQuestion

VIEW, CHANGE = "faqs.view_gap", "faqs.change_gap"
SHOWN = 20  # newest questions of each source
_LABELS = {"open": "warning", "drafted": "info", "answered": "success", "dismissed": "default"}


class StatusFilter(admin.SimpleListFilter):
    """Without a choice, what still needs somebody."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*((str(value), label) for value, label in Gap.Status.choices), ("any", _("any"))]

    def choices(self, changelist: Any) -> Any:
        present, *others = super().choices(changelist)
        yield present | {"display": _("open or drafted")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        match self.value():
            case None:
                return queryset.filter(status__in=gaps.LIVE)
            case "any":
                return queryset
            case status:
                return queryset.filter(status=status)


class SourceFilter(admin.SimpleListFilter):
    """Gaps with at least one question from there."""

    title = _("source")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(value), label) for value, label in GapQuestion.Source.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        value = self.value()
        return (
            queryset.filter(Exists(GapQuestion.objects.filter(gap=OuterRef("pk"), source=value))) if value else queryset
        )


class GapAdmin(ModelAdmin):
    list_display = ("asked", "count", "language", "state", "faq", "first_seen_at", "last_seen_at")
    list_display_links = ("asked",)
    list_select_related = ("faq",)
    list_filter = (StatusFilter, SourceFilter, "language", "last_seen_at")
    search_fields = ("question", "questions__text")
    ordering = ("-count", "-last_seen_at", "id")
    sortable_by = ("count", "first_seen_at", "last_seen_at")
    list_per_page = 50
    show_full_result_count = False
    actions = None
    list_before_template = "faqs/admin/_head.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Gap | None = None) -> bool:
        return False  # dismissed instead, with a reason

    def get_queryset(self, request: HttpRequest) -> QuerySet[Gap]:
        rows: QuerySet[Gap] = super().get_queryset(request)
        return rows.defer("vector")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # A filter made up in the address could ask who it was that asked.
        return not lookup.startswith("questions") and bool(super().lookup_allowed(lookup, value, request))

    @admin.display(description=_("question"))
    def asked(self, gap: Gap) -> str:
        return format_html('<span class="faq-cell" lang="{}">{}</span>', gap.language, gap.question)

    @display(description=_("status"), label=_LABELS)
    def state(self, gap: Gap) -> Any:
        return gap.status, gap.get_status_display()

    # --- Its page -----------------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {
            "draft": self.draft_view,
            "writing": self.writing_view,
            "publish": self.publish_view,
            "replay": self.replay_view,
            "dismiss": self.dismiss_view,
            "reopen": self.reopen_view,
        }
        own = [
            path(f"<uuid:gap_id>/{name}/", self.admin_site.admin_view(view), name=f"faqs_gap_{name}")
            for name, view in views.items()
        ]
        inherited: list[URLPattern] = super().get_urls()
        return own + inherited

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        try:
            gap_id = UUID(object_id)
        except ValueError:
            raise Http404 from None
        return self._page(request, self._get(request, gap_id))

    def _get(self, request: HttpRequest, gap_id: UUID, *permissions: str) -> Gap:
        """The gap for somebody who has ``permissions`` and may see it. Raises PermissionDenied, Http404."""
        for permission in (VIEW, *permissions):
            require(request, permission)
        gap = Gap.objects.defer("vector").select_related("faq").filter(pk=gap_id).first()
        if gap is None:
            raise Http404
        return gap

    def _page(self, request: HttpRequest, gap: Gap, replay: GapReplay | None = None) -> HttpResponse:
        user, faq = request.user, gap.faq
        may_change = user.has_perm(CHANGE)
        is_open_draft = faq is not None and faq.status == FAQ.Status.DRAFT
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": gettext("Gap"),
            "gap": gap,
            "sources": _examples(gap),
            "replay": replay,
            "writing": Writing.state(faq) if is_open_draft and faq else "",
            "answer_html": render(faq.answer) if faq and faq.answer else "",
            "max_reason": gaps.MAX_REASON,
            "may_change": may_change,
            "may_draft": may_change and user.has_perm(ADD) and gap.status != Gap.Status.ANSWERED and not _holds(faq),
            "may_publish": may_change and user.has_perm(PUBLISH) and is_open_draft and bool(faq and faq.answer),
        }
        return TemplateResponse(request, "faqs/admin/gap.html", context)

    def writing_view(self, request: HttpRequest, gap_id: UUID) -> HttpResponse:
        """GET whether a model is still at the draft's answer: ``{"writing": true}``."""
        faq = self._get(request, gap_id).faq
        answer = JsonResponse({"writing": faq is not None and Writing.state(faq) == Writing.WAITING})
        answer.headers["Cache-Control"] = "no-store"
        return answer

    # --- Buttons ------------------------------------------------------------------------------------------------------
    def draft_view(self, request: HttpRequest, gap_id: UUID) -> HttpResponse:
        """Begin an FAQ at once; where there is a model, it writes the answer in the background."""
        gap, actor = self._get(request, gap_id, CHANGE, ADD), actor_of(request)
        done = _("An FAQ is begun. It shows to nobody before it is published.")
        return press(request, lambda: queue_answer(draft_from_gap(gap=gap, actor=actor), actor), done, _url(gap))

    def dismiss_view(self, request: HttpRequest, gap_id: UUID) -> HttpResponse:
        gap, reason = self._get(request, gap_id, CHANGE), request.POST.get("reason", "")
        dismiss = partial(gaps.dismiss_gap, gap=gap, actor=actor_of(request), reason=reason)
        return press(request, dismiss, _("The gap is dismissed."), _url(gap))

    def reopen_view(self, request: HttpRequest, gap_id: UUID) -> HttpResponse:
        gap = self._get(request, gap_id, CHANGE)
        reopen = partial(gaps.reopen_gap, gap=gap, actor=actor_of(request))
        return press(request, reopen, _("The gap is open again."), _url(gap))

    def publish_view(self, request: HttpRequest, gap_id: UUID) -> HttpResponse:
        """Publish the draft, and show at once what became of the questions."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        gap = self._get(request, gap_id, CHANGE, PUBLISH)
        try:
            if gap.faq is None:
                raise NotFound(gettext("There is no draft to publish."))
            services.publish_faqs(faqs=[gap.faq], actor=actor_of(request))
        except (ApplicationError, ValidationError) as error:
            messages.error(request, error.detail if isinstance(error, ApplicationError) else " ".join(error.messages))
            return HttpResponseRedirect(_url(gap))
        messages.success(request, gettext("The FAQ is published."))
        return self._replayed(request, gap)

    def replay_view(self, request: HttpRequest, gap_id: UUID) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        return self._replayed(request, self._get(request, gap_id, CHANGE))

    def _replayed(self, request: HttpRequest, gap: Gap) -> HttpResponse:
        replay = replay_gap(gap, actor=actor_of(request))
        return self._page(request, self._get(request, gap.pk), replay)


def _holds(faq: FAQ | None) -> bool:
    """Whether an FAQ is there already, so that no other is begun."""
    return faq is not None and faq.status != FAQ.Status.ARCHIVED


def _url(gap: Gap) -> str:
    return reverse("admin:faqs_gap_change", args=[gap.pk])


def _examples(gap: Gap) -> list[dict[str, Any]]:
    """The newest questions of each source, with how many there are."""
    found = []
    for source, label in GapQuestion.Source.choices:
        rows = gap.questions.filter(source=source)
        count = rows.count()
        if count:
            newest = rows.select_related("faq").only("text", "created_at", "gap", "faq__question")[:SHOWN]
            found.append({"label": label, "count": count, "questions": list(newest), "more": max(0, count - SHOWN)})
    return found
