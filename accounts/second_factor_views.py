"""The pages about the second factor: its code, setting up, recovery codes, turning off; and the admin's door."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from accounts import authenticators
from accounts.backends import is_own_password
from accounts.forms import CodeForm, PasswordAndCodeForm, SetUpForm
from accounts.models import User, seal_secret, unseal_secret
from accounts.pages import FormPage, MemberRequired, current_member, member_of, next_page
from accounts.sealing import Unreadable
from accounts.second_factor import SHOWN, is_on, is_required
from accounts.signing_in import finish, waiting
from chatbot_project.lib.errors import ApplicationError

_KEY = "second_factor_key"  # in the session: the secret that is being set up, sealed


class _AboutSomebody(FormPage):
    """A page for who is signed in, and for who gave their password and is not signed in yet."""

    user: User
    to: str

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        member, about_to = current_member(request), waiting(request)
        if member is not None:
            self.user, self.to = member, next_page(request)
        elif about_to is not None:
            self.user, self.to = about_to.user, about_to.next
        else:
            return redirect(f"{reverse('accounts:sign_in')}?{urlencode({'next': request.GET.get('next', '')})}")
        return super().dispatch(request, *args, **kwargs)

    @property
    def is_signed_in(self) -> bool:
        return current_member(self.request) is not None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, person=self.user, is_signed_in=self.is_signed_in, to=self.to)


class SignInCodeView(_AboutSomebody):
    """Asks for a code after the password, and signs in."""

    form_class = CodeForm
    template_name = "accounts/sign_in_code.html"
    heading = gettext_lazy("Enter a code")
    submit = gettext_lazy("Sign in")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_on(self.user):
            return redirect("accounts:second_factor")
        if self.is_signed_in and SHOWN in request.session:
            return redirect(self.to)
        return super().get(request, *args, **kwargs)

    def form_valid(self, form: CodeForm) -> HttpResponse:
        if not authenticators.check(self.request, self.user, form.cleaned_data["code"], "sign_in"):
            form.add_error("code", _("This code is not good, or not any more."))
            return self.form_invalid(form)
        finish(self.request, self.user)
        left = authenticators.codes_left(self.user)
        if left < authenticators.CODES // 2:
            said = ngettext("You have %(count)d recovery code left.", "You have %(count)d recovery codes left.", left)
            messages.warning(self.request, said % {"count": left})
        return redirect(self.to)


@method_decorator(sensitive_variables("codes"), name="form_valid")
class SecondFactorView(_AboutSomebody):
    """How the second factor stands; or its setting up, with a secret that this session keeps until then."""

    form_class = SetUpForm
    heading = gettext_lazy("Set up two-factor sign-in")
    submit = gettext_lazy("Turn on")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_on(self.user) and (not self.is_signed_in or self.user.lacks_second_factor):
            return redirect(f"{reverse('accounts:sign_in_code')}?{urlencode({'next': self.to})}")
        return super().get(request, *args, **kwargs)

    def get_template_names(self) -> list[str]:
        return ["accounts/second_factor.html" if is_on(self.user) else "accounts/second_factor_setup.html"]

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "with_password": self.is_signed_in}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        required = is_required(self.user)
        if is_on(self.user):
            left = authenticators.codes_left(self.user)
            return super().get_context_data(**kwargs, left=left, required=required)
        key = self._key()
        address = authenticators.setup_address(self.user, key)
        return super().get_context_data(
            **kwargs,
            required=required,
            address=address,
            key=authenticators.shown_key(key),
            qr_code=authenticators.qr_code(address),
        )

    def _key(self) -> str:
        kept = self.request.session.get(_KEY, "")
        try:
            return unseal_secret(kept, self.user.pk).hex()
        except Unreadable:  # none yet, or another's who signed in here before
            key = authenticators.new_key()
            self.request.session[_KEY] = seal_secret(bytes.fromhex(key), self.user.pk)
            return key

    def form_valid(self, form: SetUpForm) -> HttpResponse:
        if self.is_signed_in and not _own_password(self.request, form, self.user):
            return self.form_invalid(form)
        done = authenticators.turn_on(user=self.user, key=self._key(), code=form.cleaned_data["code"])
        if done is None:
            form.add_error("code", _("This is not the code that the app shows now. Is its clock right?"))
            return self.form_invalid(form)
        self.request.session.pop(_KEY, None)
        user, codes = done
        finish(self.request, user)
        return _show_codes(self, codes, self.to)


class _WithPasswordAndCode(MemberRequired, FormPage):
    """A change that takes the password and a code, whoever sits at the browser."""

    form_class = PasswordAndCodeForm
    template_name = "accounts/second_factor_confirm.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_on(member_of(request)):
            return redirect("accounts:second_factor")
        return super().get(request, *args, **kwargs)

    def is_confirmed(self, form: PasswordAndCodeForm, purpose: authenticators.Purpose) -> bool:
        user = member_of(self.request)
        if not _own_password(self.request, form, user):
            return False
        if not authenticators.check(self.request, user, form.cleaned_data["code"], purpose):
            form.add_error("code", _("This code is not good, or not any more."))
            return False
        return True


@method_decorator(sensitive_variables("codes"), name="form_valid")
class NewCodesView(_WithPasswordAndCode):
    heading = gettext_lazy("New recovery codes")
    submit = gettext_lazy("Make new codes")
    extra_context = {"about": gettext_lazy("You get ten new codes. Those you have are good no longer.")}

    def form_valid(self, form: PasswordAndCodeForm) -> HttpResponse:
        if not self.is_confirmed(form, "new_codes"):
            return self.form_invalid(form)
        codes = authenticators.new_codes(user=member_of(self.request))
        return _show_codes(self, codes, reverse("accounts:second_factor"))


class TurnOffView(_WithPasswordAndCode):
    heading = gettext_lazy("Turn two-factor sign-in off")
    submit = gettext_lazy("Turn off")
    extra_context = {
        "danger": True,
        "about": gettext_lazy(
            "Your password alone will sign in then. All other sessions end, and your codes with them."
        ),
    }

    def form_valid(self, form: PasswordAndCodeForm) -> HttpResponse:
        if not self.is_confirmed(form, "turn_off"):
            return self.form_invalid(form)
        user = authenticators.turn_off(user=member_of(self.request))
        self.request.session.pop(SHOWN, None)
        update_session_auth_hash(self.request, user)
        messages.success(self.request, _("Two-factor sign-in is off. All other sessions have ended."))
        return redirect("accounts:profile")


def _own_password(request: HttpRequest, form: forms.Form, user: User) -> bool:
    if is_own_password(request, user, form.cleaned_data["password"]):
        return True
    form.add_error("password", _("That is not your password."))
    return False


def _show_codes(view: FormPage, codes: list[str], to: str) -> HttpResponse:
    # No redirect: what would carry the codes over to the next page would have to store them.
    context = {"codes": codes, "codes_text": "\n".join(codes), "to": to}
    return view.response_class(
        request=view.request, template=["accounts/recovery_codes.html"], context=context, using=view.template_engine
    )


@never_cache
def enter_admin(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Where the admin sends whom it does not let in: to the pages that sign in, in the same way as everywhere.

    Raises ApplicationError ``forbidden`` (403) for who is signed in and no staff.
    """
    to = next_page(request, else_to=reverse("admin:index"))
    member = current_member(request)
    if member is not None and member.is_staff:
        return redirect(to)
    if member is not None and not member.lacks_second_factor:
        detail = _("This part is for staff. Sign out first if you have another account.")
        raise ApplicationError("forbidden", detail, status=403)
    page = "accounts:sign_in" if member is None else "accounts:second_factor"
    return redirect(f"{reverse(page)}?{urlencode({'next': to})}")
