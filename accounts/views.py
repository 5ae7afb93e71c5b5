"""The pages about one's own account: each parses, asks one service, and answers."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, logout, update_session_auth_hash
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from django.views.generic import TemplateView, UpdateView

from accounts import limits, services
from accounts.backends import is_own_password
from accounts.forms import (
    AddressForm,
    ChangeEmailForm,
    ChangePasswordForm,
    ProfileForm,
    SignInForm,
    SignUpPageForm,
)
from accounts.models import OutgoingMail, User
from accounts.pages import FormPage, MemberRequired, current_member, current_person, local_mail_log, next_page
from accounts.presence import is_language_code, remember_language
from accounts.privacy import erasures
from accounts.signing_in import go_in

if TYPE_CHECKING:
    UpdateProfile = UpdateView[User, ProfileForm]
else:
    UpdateProfile = UpdateView

SIGN_UP_COOKIE = "nono_sign_up"
SIGN_UP_SALT = "accounts.sign-up-browser"
SIGN_UP_SECONDS = 3 * 24 * 3600


class SignUpView(FormPage):
    """Asks for an address and a password. The answer is the same whether the address has an account or not."""

    form_class = SignUpPageForm
    template_name = "accounts/sign_up.html"
    heading = gettext_lazy("Sign up")
    submit = gettext_lazy("Sign up")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if current_member(request):
            return redirect(next_page(request))
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: SignUpPageForm) -> HttpResponse:
        data = form.cleaned_data
        limits.take_mail(self.request, data["email"])
        waiting = services.sign_up(**data, guest=current_person(self.request))
        response = redirect("accounts:sign_up_sent")
        # In this browser the mailed link need not ask for the password again.
        response.set_signed_cookie(
            SIGN_UP_COOKIE,
            str(waiting.pk),
            salt=SIGN_UP_SALT,
            max_age=SIGN_UP_SECONDS,
            httponly=True,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite="Lax",
        )
        return response


class MailSentView(TemplateView):
    """Says that a mail is on its way, if there was anybody to write to."""

    template_name = "accounts/mail_sent.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        early = self.kwargs["reason"] == "sign_up" and not settings.REQUIRE_VERIFIED_EMAIL
        return super().get_context_data(**kwargs, may_sign_in=early, mail_log=local_mail_log())


class SignInView(FormPage):
    form_class = SignInForm
    template_name = "accounts/sign_in.html"
    heading = gettext_lazy("Sign in")
    submit = gettext_lazy("Sign in")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if current_member(request):
            return redirect(next_page(request))
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        guests = settings.ALLOW_GUESTS and current_person(self.request) is None
        return super().get_context_data(**kwargs, allow_guests=guests)

    def form_valid(self, form: SignInForm) -> HttpResponse:
        data = form.cleaned_data
        user = authenticate(self.request, username=data["email"], password=data["password"])
        if not isinstance(user, User):
            closed = getattr(self.request, "closed_account", None)
            erasure = erasures.open_erasure(closed) if closed else None
            if erasure is not None and erasures.read_cancel_token(token := erasures.cancel_token(erasure)):
                return redirect("accounts:cancel_erasure", token)
            wrong = _("This address and this password do not sign in.")
            unconfirmed = _("If you have just signed up, open the link in our mail first.")
            form.add_error(None, f"{wrong} {unconfirmed}" if settings.REQUIRE_VERIFIED_EMAIL else wrong)
            return self.form_invalid(form)
        return go_in(self.request, user, next_page(self.request))


class SignOutView(LoginRequiredMixin, TemplateView):
    """Asks, and warns guests, who cannot come back."""

    template_name = "accounts/sign_out.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        return redirect(settings.LOGOUT_REDIRECT_URL)


@require_POST
def go_on_as_guest(request: HttpRequest) -> HttpResponse:
    """Start chatting without an account."""
    services.start_guest(request)
    return redirect(next_page(request))


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Speak, or show first, the language ``code`` in this browser from now on, and in the person's profile if it is one
    of the pages' own. What is no language forgets the choice. Goes on to ``next``, or to where it was chosen."""
    code = request.POST.get("code", "").lower()
    person = current_person(request)
    if person is not None and code in dict(settings.LANGUAGES):
        services.save_profile(user=person, changes={"language": code})
    response = redirect(next_page(request, else_to=request.headers.get("Referer", "")))
    remember_language(response, code if is_language_code(code) else "")
    return response


class ForgotPasswordView(FormPage):
    form_class = AddressForm
    template_name = "accounts/forgot_password.html"
    heading = gettext_lazy("Forgot your password?")
    submit = gettext_lazy("Mail me a link")
    success_url = reverse_lazy("accounts:reset_sent")

    def form_valid(self, form: AddressForm) -> HttpResponse:
        limits.take_mail(self.request, form.cleaned_data["email"])
        services.queue_mail(kind=OutgoingMail.Kind.PASSWORD_RESET, to=form.cleaned_data["email"])
        return super().form_valid(form)


class ResendView(FormPage):
    """Mails the link that confirms an address once more, whoever asks."""

    form_class = AddressForm
    heading = gettext_lazy("Confirm your address")
    submit = gettext_lazy("Mail me the link again")
    success_url = reverse_lazy("accounts:confirmation_sent")

    def get_initial(self) -> dict[str, Any]:
        person = current_member(self.request)
        return {"email": person.email} if person else {}

    def form_valid(self, form: AddressForm) -> HttpResponse:
        limits.take_mail(self.request, form.cleaned_data["email"])
        services.queue_mail(kind=OutgoingMail.Kind.CONFIRM_AGAIN, to=form.cleaned_data["email"])
        return super().form_valid(form)


@require_POST
def dismiss_unverified(request: HttpRequest) -> HttpResponse:
    """Leave out of the chat, for this session, the notice that the person's address is not confirmed."""
    if current_member(request):
        request.session["unverified_dismissed"] = True
    return redirect(next_page(request, else_to=request.headers.get("Referer", "")))


class ProfileView(LoginRequiredMixin, UpdateProfile):
    """What a person may set about themselves. Guests have no name to set."""

    form_class = ProfileForm
    template_name = "accounts/profile.html"
    success_url = reverse_lazy("accounts:profile")

    def get_object(self, queryset: Any = None) -> User:
        # A row of its own: a name that is refused must not show up in the page's header.
        assert self.request.user.pk is not None
        return User.objects.get(pk=self.request.user.pk)

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        services.save_profile(user=form.instance, changes=form.cleaned_data)
        messages.success(self.request, _("Saved."))
        response = redirect(self.get_success_url())
        remember_language(response, form.cleaned_data["language"])
        return response


def _own_password(request: HttpRequest, form: forms.Form, user: User) -> bool:
    """Whether the form's password is the person's own; says so on the form if not. Counts as a try to sign in."""
    if is_own_password(request, user, form.cleaned_data["password"]):
        return True
    form.add_error("password", _("That is not your password."))
    return False


class ChangePasswordView(MemberRequired, FormPage):
    """Sets a new password and ends every session but this one."""

    form_class = ChangePasswordForm
    heading = gettext_lazy("Change your password")
    submit = gettext_lazy("Change password")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.request.user}

    def form_valid(self, form: ChangePasswordForm) -> HttpResponse:
        if not _own_password(self.request, form, form.user):
            return self.form_invalid(form)
        user = services.change_password(user=form.user, password=form.cleaned_data["new_password"])
        update_session_auth_hash(self.request, user)
        messages.success(self.request, _("Your password is changed. All other sessions have ended."))
        return redirect("accounts:profile")


class ChangeEmailView(MemberRequired, FormPage):
    """Mails a link to the new address, which becomes the account's when that link is opened."""

    form_class = ChangeEmailForm
    heading = gettext_lazy("Change your e-mail address")
    submit = gettext_lazy("Mail a link to the new address")

    def form_valid(self, form: ChangeEmailForm) -> HttpResponse:
        user = current_member(self.request)
        if user is None or not _own_password(self.request, form, user):
            return self.form_invalid(form)
        limits.take_mail(self.request, form.cleaned_data["email"])
        services.request_email(user=user, email=form.cleaned_data["email"])
        return redirect("accounts:confirmation_sent")


@require_POST
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """End every session of the person, this one included."""
    user = current_member(request)
    if user is None:
        return redirect(f"{reverse('accounts:sign_in')}")
    services.end_sessions(user=user)
    logout(request)
    return redirect("accounts:sign_in")


def dead_link(request: HttpRequest) -> HttpResponse:
    """The page for a mailed link that is forged, too old or used."""
    return render(request, "accounts/dead_link.html", status=400)
