"""How the editors' list of FAQs is narrowed."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from faqs.admin_forms import category_choices
from faqs.categories import descendants
from faqs.models import FAQ
from faqs.reading import language_name

MAX_TAGS_SHOWN = 60


class StatusFilter(admin.SimpleListFilter):
    """Without a choice, what is archived is left out."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        drafted = ("drafted", _("drafts by a model, to be checked"))
        return [*((str(value), label) for value, label in FAQ.Status.choices), drafted, ("any", _("any"))]

    def choices(self, changelist: Any) -> Any:
        present, *others = super().choices(changelist)
        yield present | {"display": _("draft or published")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> QuerySet[FAQ]:
        match self.value():
            case None:
                return queryset.exclude(status=FAQ.Status.ARCHIVED)
            case "any":
                return queryset
            case "drafted":
                return queryset.filter(status=FAQ.Status.DRAFT).exclude(drafted_by="")
            case status:
                return queryset.filter(status=status)


class ValidityFilter(admin.SimpleListFilter):
    title = _("valid")
    parameter_name = "valid"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("now", _("now")), ("later", _("not yet")), ("over", _("no longer"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> QuerySet[FAQ]:
        now = timezone.now()
        later, over = Q(valid_from__gt=now), Q(valid_until__lte=now)
        conditions = {"now": ~later & ~over, "later": later, "over": over}
        return queryset.filter(conditions.get(self.value() or "", Q()))


class CategoryFilter(admin.SimpleListFilter):
    """A category with all below it."""

    title = _("category")
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*category_choices(), ("none", _("in no category"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> QuerySet[FAQ]:
        value = self.value()
        if value is None:
            return queryset
        if value == "none":
            return queryset.filter(category=None)
        known = {str(key) for key, _label in self.lookup_choices}
        return queryset.filter(category__in=descendants([UUID(value)])) if value in known else queryset.none()


class TagFilter(admin.SimpleListFilter):
    title = _("tag")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tag, count(*) FROM faqs_faq, unnest(tags) AS tag GROUP BY tag ORDER BY 2 DESC, 1 LIMIT %s",
                [MAX_TAGS_SHOWN],
            )
            return [(tag, f"{tag} ({count})") for tag, count in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> QuerySet[FAQ]:
        value = self.value()
        return queryset.filter(tags__contains=[value]) if value else queryset


class LanguageFilter(admin.SimpleListFilter):
    title = _("language")
    parameter_name = "language"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        codes = FAQ.objects.order_by("language").values_list("language", flat=True).distinct()
        return [(code, language_name(code)) for code in codes]

    def queryset(self, request: HttpRequest, queryset: QuerySet[FAQ]) -> QuerySet[FAQ]:
        value = self.value()
        return queryset.filter(language=value) if value else queryset
