"""The forms of the pages about people. A field that is not listed here cannot be set by a request."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.api_keys import NAME_LENGTH, live_keys
from accounts.models import USERNAME_LENGTH, User, normalise_address, username_characters
from accounts.privacy.policies import PolicyText, policies
from accounts.scopes import Scope
from chatbot_project.lib import markdown
from chatbot_project.lib.text import clean_text

# Django's own classes take no type at run time; the stubs' do.
if TYPE_CHECKING:
    UserModelForm = forms.ModelForm[User]
else:
    UserModelForm = forms.ModelForm


class AddressField(forms.EmailField):
    """An e-mail address, in the form in which it is stored."""

    def __init__(self, **options: Any) -> None:
        widget = forms.EmailInput(attrs={"autocomplete": "email"})
        super().__init__(**{"label": _("E-mail"), "max_length": 254, "widget": widget, **options})

    def clean(self, value: Any) -> str:
        return normalise_address(super().clean(value))


class PasswordField(forms.CharField):
    """A password, taken as typed. ``new`` tells password managers to offer one."""

    def __init__(self, *, new: bool = False, **options: Any) -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password" if new else "current-password"})
        if new:
            options.setdefault(
                "help_text", _("At least 8 characters, not only digits, and nothing that is easy to guess.")
            )
        super().__init__(**{"label": _("Password"), "strip": False, "max_length": 1024, "widget": widget, **options})


class SignUpForm(forms.Form):
    email = AddressField()
    password = PasswordField(new=True)
    username = forms.CharField(
        label=_("Username (optional)"),
        required=False,
        max_length=USERNAME_LENGTH,
        validators=[username_characters],
        widget=forms.TextInput(attrs={"autocomplete": "username"}),
    )

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if name and User.objects.filter(username__iexact=name).exists():
            raise forms.ValidationError(_("That username is taken."))
        return name

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("password"):
            person = User(email=data.get("email"), username=data.get("username") or "")
            check_strength(self, "password", data["password"], person)
        return data


class SignUpPageForm(SignUpForm):
    """With a box for each policy, which nobody has to tick. ``consents`` is as a SignUp keeps it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policies = {f"consent-{policy.purpose}": policy for policy in policies()}
        for name, policy in self.policies.items():
            box = forms.CheckboxInput(attrs={"value": str(policy.version)})
            text = policy.text()
            self.fields[name] = forms.BooleanField(
                required=False, label=text.title, widget=box, help_text=policy_help(text)
            )

    def clean(self) -> dict[str, Any]:
        """A tick tells which version was shown; one below an older text says nothing, and is asked again later."""
        data, language = super().clean(), get_language() or ""
        data["consents"] = {}
        for name, policy in self.policies.items():
            granted = data.pop(name, False)
            if not granted or self.data.get(name) == str(policy.version):
                decision = {"granted": granted, "version": policy.version, "language": language}
                data["consents"][policy.purpose.value] = decision
        return data


def policy_help(text: PolicyText) -> SafeString:
    """What a policy means, folded below its box."""
    # Rendered and sanitised by lib/markdown.
    body = mark_safe(markdown.render(text.body))  # noqa: S308  # nosec B703
    return format_html("<details><summary>{}</summary>{}</details>", _("What this means"), body)


class SignInForm(forms.Form):
    email = AddressField()
    password = PasswordField()


class AddressForm(forms.Form):
    """Asks for an address to which something is mailed."""

    email = AddressField()


class PasswordForm(forms.Form):
    """Asks for the person's own password before something that matters."""

    password = PasswordField()


class CodeField(forms.CharField):
    """A code of the second factor: the app's six digits, or a recovery code."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"}
        )
        super().__init__(**{"label": _("Code"), "max_length": 40, "widget": widget, **options})


class CodeForm(forms.Form):
    code = CodeField(help_text=_("Six digits from your authenticator app, or one of your recovery codes."))


class PasswordAndCodeForm(CodeForm):
    password = PasswordField(label=_("Your password"))
    field_order = ["password", "code"]


class SetUpForm(PasswordAndCodeForm):
    """Shows that the app has the secret. Who is about to sign in has given the password just now."""

    code = CodeField(label=_("Code that the app shows"), help_text=_("Six digits. A new one comes every 30 seconds."))

    def __init__(self, *args: Any, with_password: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not with_password:
            del self.fields["password"]


class NewPasswordForm(forms.Form):
    new_password = PasswordField(new=True, label=_("New password"))

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_new_password(self) -> str:
        password: str = self.cleaned_data["new_password"]
        validate_password(password, self.user)
        return password


class ChangePasswordForm(NewPasswordForm):
    password = PasswordField(label=_("Present password"))
    field_order = ["password", "new_password"]


class ChangeEmailForm(forms.Form):
    email = AddressField(label=_("New e-mail"))
    password = PasswordField(label=_("Password"))


class ProfileForm(UserModelForm):
    language = forms.ChoiceField(label=_("Language"), required=False)
    timezone = forms.ChoiceField(label=_("Time zone"), required=False)

    class Meta:
        model = User
        fields = ("username", "language", "timezone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))
        self.fields["language"].choices = [("", _("As the browser asks")), *settings.LANGUAGES]  # type: ignore[attr-defined]
        self.fields["timezone"].choices = [("", settings.TIME_ZONE), *((zone, zone) for zone in zones)]  # type: ignore[attr-defined]
        if self.instance.is_guest:
            del self.fields["username"]

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if User.objects.exclude(pk=self.instance.pk).filter(username__iexact=name).exists():
            raise forms.ValidationError(_("That username is taken."))
        return name


class NewKeyForm(forms.Form):
    """Asks for what an API key is to be. ``staff`` is offered to those alone whose role adds anything.

    A name that a live key of ``user`` has is refused, so that a page sent twice makes one key.
    """

    LIFETIMES = (("30", _("30 days")), ("90", _("90 days")), ("365", _("One year")), ("", _("For good")))

    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        help_text=_("By which you will know it again: the program or the machine that uses it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"), widget=forms.CheckboxSelectMultiple, initial=[Scope.READ, Scope.CHAT]
    )
    days = forms.ChoiceField(label=_("How long it holds"), choices=LIFETIMES, required=False, initial="90")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        offered = [scope for scope in Scope if scope != Scope.STAFF or user.is_staff]
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (scope.value, format_html("<code>{}</code> {}", scope.value, scope.label)) for scope in offered
        ]

    def clean_name(self) -> str:
        name = clean_text(self.cleaned_data["name"]).strip()
        if not name:
            raise forms.ValidationError(_("Give it a name."))
        if live_keys(self.user).filter(name__iexact=name).exists():
            raise forms.ValidationError(_("You have a key of this name already."))
        return name

    def clean_scopes(self) -> list[Scope]:
        return [Scope(scope) for scope in self.cleaned_data["scopes"]]

    @property
    def expires_at(self) -> datetime | None:
        """When a key made now runs out; ``None`` for never."""
        days: str = self.cleaned_data["days"]
        return timezone.now() + timedelta(days=int(days)) if days else None


def check_strength(form: forms.Form, field: str, password: str, person: User) -> None:
    """Add to ``field`` what Django's password validators find against ``password``."""
    try:
        validate_password(password, person)
    except forms.ValidationError as error:
        form.add_error(field, error)
