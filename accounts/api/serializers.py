"""The shapes of requests and answers about people. The rules are the forms' that the pages use (accounts/forms.py)."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from rest_framework import serializers

from accounts.api.privacy_serializers import SignUpDecisionSerializer
from accounts.api_keys import NAME_LENGTH
from accounts.devices import LABEL_LENGTH
from accounts.forms import AddressForm, ChangePasswordForm, NewPasswordForm, ProfileForm, SignUpForm
from accounts.models import USERNAME_LENGTH, ApiKey, Purpose, User
from accounts.privacy.policies import policies
from accounts.scopes import Scope
from accounts.sign_ins import SignIn
from chatbot_project.lib.text import clean_text

# The framework's own classes take no type at run time; the stubs' do.
if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
    UserSerializer = serializers.ModelSerializer[User]
    KeySerializer = serializers.ModelSerializer[ApiKey]
    SignInBase = serializers.Serializer[SignIn]
else:
    AnySerializer = SignInBase = serializers.Serializer
    UserSerializer = KeySerializer = serializers.ModelSerializer

PASSWORD_LENGTH = 1024


class PasswordField(serializers.CharField):
    """A password, taken as typed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(write_only=True, trim_whitespace=False, max_length=PASSWORD_LENGTH, **options)


class FormSerializer(AnySerializer):
    """Describes what a form takes, and has the form decide. What is not listed is ignored."""

    form_class: ClassVar[type[forms.Form]]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The form's cleaned data, with the fields that only the serializer has. Raises ValidationError."""
        form = self.make_form(attrs)
        if not form.is_valid():
            raise serializers.ValidationError(
                {name: [str(each) for each in said] for name, said in form.errors.items()}
            )
        return {**attrs, **form.cleaned_data}

    def make_form(self, data: dict[str, Any]) -> forms.Form:
        return self.form_class(data)


def _said(errors: Mapping[str, Iterable[Any]]) -> dict[str, list[str]]:
    return {name: [str(each) for each in said] for name, said in errors.items()}


class RegisterSerializer(FormSerializer):
    form_class = SignUpForm
    email = serializers.EmailField(max_length=254)
    password = PasswordField(help_text="At least 8 characters, not only digits, and nothing that is easy to guess.")
    username = serializers.CharField(required=False, allow_blank=True, max_length=USERNAME_LENGTH)
    consents = serializers.ListField(
        child=SignUpDecisionSerializer(),
        required=False,
        max_length=len(Purpose),
        help_text="What is said to the policies of `privacy/policies`. What is left out is asked later.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """As a SignUp keeps it. Raises ValidationError for a version that is not in force."""
        said = attrs.pop("consents", [])
        versions = {str(policy.purpose): policy.version for policy in policies()}
        if any(each["version"] != versions.get(each["purpose"]) for each in said):
            raise serializers.ValidationError({"consents": [_("The text has changed. Read it again first.")]})
        language = get_language() or ""
        kept = {
            each["purpose"]: {"granted": each["granted"], "version": each["version"], "language": language}
            for each in said
        }
        return {**super().validate(attrs), "consents": kept}


class AddressSerializer(FormSerializer):
    form_class = AddressForm
    email = serializers.EmailField(max_length=254)


class VerifySerializer(AnySerializer):
    token = serializers.CharField(max_length=2000, help_text="The last part of the mailed link's path.")
    password = PasswordField(
        required=False, help_text="The password chosen when signing up; not for a change of the address."
    )


class LoginSerializer(AnySerializer):
    email = serializers.CharField(max_length=254)
    password = PasswordField()
    device = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=LABEL_LENGTH,
        help_text="By which the list of sessions names this sign-in; else by the user agent's program and system.",
    )
    code = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=40,
        help_text="Of the authenticator app, or a recovery code; where two-factor sign-in is set up.",
    )


class GuestSerializer(AnySerializer):
    device = serializers.CharField(required=False, allow_blank=True, max_length=LABEL_LENGTH)


class RefreshSerializer(AnySerializer):
    refresh = serializers.CharField(max_length=4096)


class LogoutSerializer(AnySerializer):
    all = serializers.BooleanField(
        required=False, default=False, help_text="End every session of the person, not only this one."
    )
    refresh = serializers.CharField(
        required=False, max_length=4096, help_text="Instead of an access token that has run out."
    )


class ConfirmResetSerializer(AnySerializer):
    """Whose token it is shows only later: the form checks the password then (``check_password``)."""

    token = serializers.CharField(max_length=2000, help_text="The last part of the mailed link's path.")
    new_password = PasswordField()


class ChangePasswordSerializer(FormSerializer):
    form_class = ChangePasswordForm
    password = PasswordField(help_text="The present one.")
    new_password = PasswordField()
    revoke_api_keys = serializers.BooleanField(required=False, default=False)

    def make_form(self, data: dict[str, Any]) -> forms.Form:
        return ChangePasswordForm(data, user=self.context["user"])


class OwnPasswordSerializer(AnySerializer):
    password = PasswordField(required=False, help_text="One's own; guests have none.")


class MeSerializer(UserSerializer):
    """One's own account."""

    email_verified = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (
            "id", "email", "email_verified", "username", "role", "language", "timezone", "is_guest", "created_at"
        )  # fmt: skip
        read_only_fields = fields

    def get_email_verified(self, user: User) -> bool:
        return user.email_verified_at is not None


class ChangeMeSerializer(AnySerializer):
    """What people may set about themselves: any of it."""

    username = serializers.CharField(required=False, max_length=USERNAME_LENGTH)
    language = serializers.ChoiceField(
        required=False,
        choices=[("", "as the client asks"), *settings.LANGUAGES],
        help_text="Empty: as the client asks.",
    )
    timezone = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="An IANA name. Empty: the installation's."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What changes, as ProfileForm has it. Raises ValidationError."""
        user: User = self.context["user"]
        form = ProfileForm({"username": user.username, **attrs}, instance=User.objects.get(pk=user.pk))
        if user.is_guest and "username" in attrs:
            raise serializers.ValidationError({"username": [_("Guests have no name to set.")]})
        wrong = {name: said for name, said in form.errors.items() if name in attrs}
        if wrong:
            raise serializers.ValidationError(_said(wrong))
        return {name: form.cleaned_data[name] for name in attrs}


class PairSerializer(AnySerializer):
    """What a program that signs in gets. ``refresh`` works once: it is answered with the next pair."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds until the access token runs out.")
    refresh_expires_in = serializers.IntegerField(help_text="Seconds until the refresh token runs out.")
    user = MeSerializer()


class AcceptedSerializer(AnySerializer):
    detail = serializers.CharField()


class ApiKeySerializer(KeySerializer):
    """A key as its owner sees it later: never its text."""

    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))

    class Meta:
        model = ApiKey
        fields = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at")
        read_only_fields = fields


class NewApiKeySerializer(AnySerializer):
    name = serializers.CharField(max_length=NAME_LENGTH)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), min_length=1, max_length=len(Scope)
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="In the future. Null: never."
    )

    def validate_name(self, name: str) -> str:
        name = clean_text(name).strip()
        if not name:
            raise serializers.ValidationError(_("Give it a name."))
        return name

    def validate_expires_at(self, at: Any) -> Any:
        if at is not None and at <= timezone.now():
            raise serializers.ValidationError(_("This lies in the past."))
        return at


class MadeApiKeySerializer(ApiKeySerializer):
    """A new key, with its text: shown this once."""

    key = serializers.CharField()

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "key")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]


class SignInSerializer(SignInBase):
    """Where somebody is signed in."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=["browser", "program"])
    device = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    current = serializers.BooleanField(help_text="Whether it is the one that asks.")


class TicketSerializer(AnySerializer):
    ticket = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")
    url = serializers.CharField(help_text="Where to open the socket, with the ticket.")


def check_password(password: str, user: User) -> None:
    """Raise ValidationError for ``new_password`` where the form finds it too weak for ``user``."""
    form = NewPasswordForm({"new_password": password}, user=user)
    if not form.is_valid():
        raise serializers.ValidationError(_said(form.errors))
