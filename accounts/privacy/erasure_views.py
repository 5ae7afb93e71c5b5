"""The pages about having one's account erased."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from accounts.backends import is_own_password
from accounts.forms import PasswordForm
from accounts.models import DataRequest
from accounts.pages import FormPage
from accounts.privacy import erasures
from accounts.privacy.erasing import plan
from accounts.privacy.views import PersonPage


class EraseView(PersonPage, FormPage):
    """Shows what would go, takes the password again (guests have none), closes the account and signs out."""

    template_name = "privacy/erase.html"
    heading = gettext_lazy("Delete your account")
    submit = gettext_lazy("Delete my account")

    def get_form_class(self) -> type[forms.Form]:
        return forms.Form if self.person.is_guest else PasswordForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        days = 0 if self.person.is_guest else settings.ERASURE_GRACE_DAYS
        return super().get_context_data(**kwargs, plan=plan(self.person), days=days, submit_class="button-danger")

    def form_valid(self, form: forms.Form) -> HttpResponse:
        person = self.person
        if not person.is_guest and not is_own_password(self.request, person, form.cleaned_data["password"]):
            form.add_error("password", _("That is not your password."))
            return self.form_invalid(form)
        erasures.request_erasure(user=person)
        logout(self.request)
        messages.success(self.request, _("Your account is closed, and your data will be erased."))
        return redirect("accounts:sign_in")


@method_decorator(never_cache, name="dispatch")
class CancelErasureView(TemplateView):
    """Where the mailed link leads, and signing in to a closed account: opens it again. A link with nothing to cancel is
    not there."""

    template_name = "privacy/cancel_erasure.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, erasure=self._erasure())

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        user = erasures.cancel_erasure(self._erasure().pk)
        if user is None:
            raise Http404
        text = _("Your account is open again. Nothing was erased.") if user.is_active else _("Nothing was erased.")
        messages.success(request, text)
        return redirect("accounts:sign_in")

    def _erasure(self) -> DataRequest:
        found = erasures.read_cancel_token(self.kwargs["token"])
        if found is None:
            raise Http404
        return found
