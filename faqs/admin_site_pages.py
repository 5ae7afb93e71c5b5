"""What the editors' further pages share: who may see them, what stands around them, and how a button is answered."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from accounts.models import User
from chatbot_project.lib.errors import ApplicationError
from faqs.models import FAQ

VIEW, ADD, CHANGE, PUBLISH = "faqs.view_faq", "faqs.add_faq", "faqs.change_faq", "faqs.publish_faq"
View = Callable[..., HttpResponse]


class PagesAdmin(ModelAdmin):
    """An admin of FAQs with pages of its own: ``pages`` by their addresses, ``faq_pages`` below one FAQ's."""

    def pages(self) -> dict[str, View]:
        return {}

    def faq_pages(self) -> dict[str, View]:
        return {}

    def get_urls(self) -> list[URLPattern]:
        named = [(f"{name}/", name, view) for name, view in self.pages().items()]
        named += [(f"<uuid:faq_id>/{name}/", name, view) for name, view in self.faq_pages().items()]
        own = [
            path(route, self.admin_site.admin_view(view), name=f"faqs_faq_{name.replace('-', '_')}")
            for route, name, view in named
        ]
        inherited: list[URLPattern] = super().get_urls()
        return own + inherited

    def faq_for(self, request: HttpRequest, faq_id: UUID, permission: str) -> FAQ:
        """The FAQ for somebody who has ``permission``. Raises PermissionDenied, Http404."""
        require(request, permission)
        faq = FAQ.objects.select_related("category", "owner").filter(pk=faq_id).first()
        if faq is None:
            raise Http404
        return faq

    def page(self, request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
        """The page ``faqs/admin/<template>.html`` within the admin's frame."""
        common = self.admin_site.each_context(request) | {"opts": self.opts, "title": title} | rights(request)
        return TemplateResponse(request, f"faqs/admin/{template}.html", common | context)


def require(request: HttpRequest, permission: str) -> None:
    """Raise PermissionDenied for somebody without ``permission``."""
    if not request.user.has_perm(permission):
        raise PermissionDenied


def rights(request: HttpRequest) -> dict[str, bool]:
    """What the templates ask before they show a button."""
    user = request.user
    return {
        "may_add": user.has_perm(ADD), "may_change": user.has_perm(CHANGE), "may_publish": user.has_perm(PUBLISH),
    }  # fmt: skip


def actor_of(request: HttpRequest) -> User:
    """The editor: staff, or the admin would not have let them in."""
    assert isinstance(request.user, User)
    return request.user


def press(request: HttpRequest, write: Callable[[], object], done: Any, then: str) -> HttpResponse:
    """Answer a button, POST only: do what it says, show that or what the services refuse, and go on to ``then``."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        write()
    except ApplicationError as error:
        messages.error(request, error.detail)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, done)
    return HttpResponseRedirect(then)
