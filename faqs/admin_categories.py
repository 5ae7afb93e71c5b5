"""The category tree in the admin, and what readers said. Every write to the tree is a service's."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from chatbot_project.lib.errors import ApplicationError
from faqs import categories
from faqs.admin_forms import CategoryForm
from faqs.admin_site_pages import actor_of
from faqs.models import Category


class CategoryAdmin(ModelAdmin):
    form = CategoryForm
    list_display = ("name_in_tree", "slug", "position", "held")
    ordering = ("position", "name", "id")
    sortable_by = ()
    list_per_page = 1000  # a tree is not cut into pages
    search_fields = ("name", "slug")
    show_full_result_count = False
    actions = None
    fields = ("name", "parent", "slug", "description", "position")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Category]:
        rows: QuerySet[Category] = super().get_queryset(request)
        return rows.annotate(held_count=Count("faqs"))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list in the order of the tree, each moved in by its depth."""
        changelist = super().get_changelist_instance(request)
        paths = categories.category_paths()
        place = {pk: number for number, pk in enumerate(paths)}
        changelist.result_list = sorted(changelist.result_list, key=lambda row: place.get(row.pk, 0))
        for row in changelist.result_list:
            row.depth = len(paths.get(row.pk, [row])) - 1
        return changelist

    @admin.display(description=_("name"))
    def name_in_tree(self, category: Any) -> str:
        return f"{'— ' * getattr(category, 'depth', 0)}{category.name}"

    @admin.display(description=_("FAQs"))
    def held(self, category: Any) -> int:
        return int(category.held_count)

    def get_readonly_fields(self, request: HttpRequest, obj: Category | None = None) -> tuple[str, ...]:
        return () if obj is None else ("slug",)  # it stands in addresses and files

    def get_form(self, request: HttpRequest, obj: Category | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.refusal = getattr(request, "faqs_refusal", None)
        return form

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """As always, in one transaction; what the services refuse undoes it and stands on the form."""
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except (ApplicationError, ValidationError) as refusal:
            request.faqs_refusal = refusal  # type: ignore[attr-defined]
            response = super().changeform_view(request, *args, **kwargs)
        return response

    def save_model(self, request: HttpRequest, obj: Category, form: CategoryForm, change: bool) -> None:
        data, actor = form.cleaned_data, actor_of(request)
        fields = {name: data[name] for name in ("name", "description", "position")}
        if not change:
            made = categories.create_category(actor=actor, parent=data["parent"], slug=data["slug"], **fields)
            obj.pk = made.pk
        else:
            if "parent" in form.changed_data:
                categories.move_category(category=obj, parent=data["parent"], actor=actor)
            if set(form.changed_data) & set(fields):
                categories.edit_category(category=obj, actor=actor, **fields)
        obj.refresh_from_db()

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        try:
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
        except ApplicationError as refusal:
            messages.error(request, refusal.detail)
            return HttpResponseRedirect(reverse("admin:faqs_category_change", args=[object_id]))
        return response

    def delete_model(self, request: HttpRequest, obj: Category) -> None:
        categories.delete_category(category=obj, actor=actor_of(request))


class FAQFeedbackAdmin(ModelAdmin):
    """Whether FAQs helped, and what was missing: to read. Who said it does not show."""

    list_display = ("created_at", "helpful", "comment", "faq", "version")
    list_select_related = ("faq",)
    list_filter = ("helpful", "created_at")
    search_fields = ("comment", "faq__question")
    fields = ("created_at", "helpful", "comment", "faq", "version")
    readonly_fields = fields
    ordering = ("-created_at",)
    list_per_page = 50
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
