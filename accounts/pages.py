"""What the pages of this app share: one form on a card, and refusals shown on it."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.mixins import AccessMixin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from accounts.models import User
from chatbot_project.lib.errors import ApplicationError

# Django's own classes take no type at run time; the stubs' do.
if TYPE_CHECKING:
    AnyFormView = FormView[Any]
else:
    AnyFormView = FormView


def current_person(request: HttpRequest) -> User | None:
    """The signed-in person, guests included."""
    return request.user if isinstance(request.user, User) else None


def current_member(request: HttpRequest) -> User | None:
    """The signed-in person with an account, so no guest."""
    person = current_person(request)
    return None if person is None or person.is_guest else person


def member_of(request: HttpRequest) -> User:
    """The person with an account, on a page that MemberRequired guards."""
    member = current_member(request)
    assert member is not None
    return member


def next_page(request: HttpRequest, else_to: str = "") -> str:
    """Where to go on: the request's ``next``, or ``else_to``, if that lies on this site; else the chat."""
    wish = request.POST.get("next") or request.GET.get("next") or else_to
    if url_has_allowed_host_and_scheme(wish, {request.get_host()}, require_https=request.is_secure()):
        return wish
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def local_mail_log() -> str:
    """Where a local installation without a mail server writes its mail; empty where mail really goes out."""
    if settings.IS_LOCAL and settings.EMAIL_BACKEND.endswith("console.EmailBackend"):
        return str(settings.VAR_DIR / "log" / "celery.log")
    return ""


@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class FormPage(AnyFormView):
    """A page with one form. What a service refuses is shown above the form, with its own status."""

    template_name = "accounts/form.html"
    heading: Any = ""
    submit: Any = ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = {"heading": self.heading, "submit": self.submit, "next": self.request.GET.get("next", "")}
        return super().get_context_data(**page, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.get_form()
        if not form.is_valid():
            return self.form_invalid(form)
        try:
            return self.form_valid(form)
        except ApplicationError as error:
            if "text/html" not in request.headers.get("Accept", "text/html"):
                raise  # a program gets the shape that all errors have
            form.add_error(None, error.detail)
            response = self.render_to_response(self.get_context_data(form=form), status=error.status)
            if error.retry_after is not None:
                response.headers["Retry-After"] = str(error.retry_after)
            return response


class MemberRequired(AccessMixin):
    """Only for people with an account: guests are asked to sign up, others to sign in."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if current_person(request) is None:
            return self.handle_no_permission()
        if current_member(request) is None:
            return redirect("accounts:sign_up")
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc, no-any-return]
