"""The pages that mailed links open. Looking at one changes nothing, so that a mail scanner cannot use a link up."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import services, tokens
from accounts.backends import is_chosen_password
from accounts.forms import NewPasswordForm, PasswordForm
from accounts.models import SignUp, User
from accounts.pages import FormPage, current_member, next_page
from accounts.signing_in import go_in
from accounts.views import SIGN_UP_COOKIE, SIGN_UP_SALT, SIGN_UP_SECONDS, dead_link


class ConfirmSignUpView(FormPage):
    """Makes the account of a sign-up whose address is shown to be theirs.

    In the browser that signed up one click does it. Elsewhere the password chosen then is asked for, so that nobody can
    have a stranger confirm an account whose password they know.
    """

    heading = gettext_lazy("Confirm your address")
    submit = gettext_lazy("Confirm and go on")
    sign_up: SignUp

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        sign_up_id = tokens.read_sign_up_token(self.kwargs["token"])
        found = tokens.live_sign_ups().filter(pk=sign_up_id).first() if sign_up_id else None
        if found is None:
            return dead_link(request)
        self.sign_up = found
        return super().dispatch(request, *args, **kwargs)

    def get_form_class(self) -> type[forms.Form]:
        return forms.Form if self._is_their_browser(self.sign_up.pk) else PasswordForm

    def _is_their_browser(self, sign_up_id: UUID) -> bool:
        person = current_member(self.request)
        if person is not None and person.pk == self.sign_up.user_id:
            return True
        kept = self.request.get_signed_cookie(SIGN_UP_COOKIE, "", salt=SIGN_UP_SALT, max_age=SIGN_UP_SECONDS)
        return bool(kept == str(sign_up_id))

    def form_valid(self, form: forms.Form) -> HttpResponse:
        password = form.cleaned_data.get("password", "")
        if "password" in form.fields and not is_chosen_password(self.request, self.sign_up, password):
            form.add_error("password", _("That is not the password you chose when signing up."))
            return self.form_invalid(form)
        user = services.complete_sign_up(self.sign_up.pk, verified=True)
        if user is None:
            return dead_link(self.request)
        messages.success(self.request, _("Your address is confirmed."))
        response = go_in(self.request, user, next_page(self.request))
        response.delete_cookie(SIGN_UP_COOKIE, samesite="Lax")
        return response


class ConfirmEmailView(FormPage):
    """Verifies an account's address, or gives it a new one.

    For a new one the person has to be signed in: so nobody can have a stranger put their address on another's account.
    """

    form_class = forms.Form
    heading = gettext_lazy("Confirm your address")
    submit = gettext_lazy("This address is mine")
    user: User
    address: str

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        found = tokens.read_email_token(self.kwargs["token"])
        if found is None:
            return dead_link(request)
        self.user, self.address = found
        if self.address != self.user.email:
            person = current_member(request)
            if person is None:
                return redirect(f"{reverse('accounts:sign_in')}?next={request.path}")
            if person.pk != self.user.pk:
                return dead_link(request)
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.Form) -> HttpResponse:
        user = services.confirm_email(token=self.kwargs["token"])
        if user is None:
            return dead_link(self.request)
        messages.success(self.request, _("Your address is confirmed."))
        person = current_member(self.request)
        if person is None:
            return redirect("accounts:sign_in")
        if person.pk == user.pk:
            self.request.person_signed_in = user  # type: ignore[attr-defined]  # the device knows the new address
        return redirect("accounts:profile")


class ResetPasswordView(FormPage):
    """Sets a new password by a mailed link, ends every session, and signs in here, or asks for the code first."""

    form_class = NewPasswordForm
    heading = gettext_lazy("Choose a new password")
    submit = gettext_lazy("Set password")
    user: User

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        found = tokens.read_reset_token(self.kwargs["token"])
        if found is None:
            return dead_link(request)
        self.user = found
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.user}

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:
        user = services.reset_password(token=self.kwargs["token"], password=form.cleaned_data["new_password"])
        if user is None:
            return dead_link(self.request)
        messages.success(self.request, _("Your new password is set. All other sessions have ended."))
        return go_in(self.request, user, next_page(self.request))
