"""The cache of replies in the admin: what is kept and for how long, and a button that empties it. What the replies say
is not shown: it opens with a reason, where they were made."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from accounts.admin_reading import ReadOnlyAdmin
from accounts.models import User
from chatbot_project.lib.errors import ApplicationError
from conversations.replies.cache.emptying import empty_cache
from conversations.replies.cache.models import CachedReply


@admin.register(CachedReply)
class CachedReplyAdmin(ReadOnlyAdmin):
    list_display = ("answered_at", "expires_at", "persona", "model", "characters")
    list_filter = (("persona_version__persona", admin.RelatedOnlyFieldListFilter), "answered_at")
    fields = ("answered_at", "expires_at", "persona", "model", "characters")
    readonly_fields = fields
    ordering = ("-answered_at",)
    sortable_by = ()
    list_per_page = 50
    actions_list: ClassVar[list[str]] = ["empty"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CachedReply]:
        rows: QuerySet[CachedReply] = super().get_queryset(request)
        whole = rows.exclude(text="").annotate(length=Length("text"))
        return whole.select_related("persona_version__persona").defer("text", "vector", "citations")

    @admin.display(description=_("persona"))
    def persona(self, kept: CachedReply) -> str:
        return str(kept.persona_version)

    @admin.display(description=_("characters"))
    def characters(self, kept: Any) -> int:
        return int(kept.length)

    def has_empty_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("conversations.delete_cachedreply"))

    @action(description=_("Empty the cache"), url_path="empty", permissions=["empty"], icon="delete_sweep")
    def empty(self, request: HttpRequest) -> HttpResponse:
        """Ask whether all of it is to go; once that is confirmed, throw it out."""
        if request.method == "POST":
            assert isinstance(request.user, User)
            try:
                gone = empty_cache(actor=request.user)
            except ApplicationError as error:
                raise PermissionDenied from error
            told = ngettext("%(count)d reply is not given again.", "%(count)d replies are not given again.", gone)
            messages.success(request, told % {"count": gone})
            return HttpResponseRedirect(reverse("admin:conversations_cachedreply_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Throw out all replies that are kept to be given again?"),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/conversations/empty_cache.html", context)
