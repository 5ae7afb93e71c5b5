"""What each mail says. Written when it is sent, from the row that asked for it; nothing of it is stored."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import tokens
from accounts.models import DataRequest, ErasureEntry, OutgoingMail, SignUp, User
from accounts.privacy import erasure_log, erasures, exports
from accounts.retention.policies import Class, days_of

Kind = OutgoingMail.Kind


@dataclass(frozen=True, slots=True)
class LetterTable:
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's words. ``link`` with its ``label`` is the one thing to do, where there is one."""

    subject: str
    paragraphs: list[str]
    link: str = ""
    label: str = ""
    closing: list[str] = field(default_factory=list)
    tables: Sequence[LetterTable] = ()


def build_message(mail: OutgoingMail) -> EmailMultiAlternatives | None:
    """The mail in its language, or ``None`` where there is nothing to tell that address (any more).

    Queries whose the address is: this runs apart from the request, which therefore cannot show it.
    """
    with translation.override(mail.language or settings.LANGUAGE_CODE):
        letter = _WRITERS[Kind(mail.kind)](mail)
        if letter is None:
            return None
        return letter_message(letter, to=[mail.to_address])


def letter_message(letter: Letter, *, to: list[str]) -> EmailMultiAlternatives:
    """The letter as text and as HTML, in the active language. The HTML loads nothing from anywhere."""
    context = {"letter": letter, "base_url": settings.BASE_URL, "language": translation.get_language()}
    message = EmailMultiAlternatives(letter.subject, render_to_string("email/letter.txt", context), to=to)
    message.attach_alternative(render_to_string("email/letter.html", context), "text/html")
    return message


def _link(name: str, token: str) -> str:
    # The host is the setting's: a request's Host header is the client's word.
    return settings.BASE_URL + reverse(f"accounts:{name}", args=[token])


def _account(address: str) -> User | None:
    return User.objects.filter(email=address, is_active=True).first()


def _not_you() -> str:
    return _("If this was not you, there is nothing to do: without the link nothing happens.")


def _works_for(data_class: str) -> str:
    days = days_of(data_class)
    return ngettext("The link works for %(days)d day.", "The link works for %(days)d days.", days) % {"days": days}


def _if_not_you() -> str:
    return _("If this was not you, choose a new password now and tell whoever runs this service.")


def _confirmation(sign_up: SignUp) -> Letter:
    return Letter(
        subject=_("Confirm your e-mail address"),
        paragraphs=[
            _("Welcome! Open this link to confirm your address and finish signing up."),
            _works_for(Class.SIGN_UP),
        ],
        link=_link("confirm_sign_up", tokens.sign_up_token(sign_up)),
        label=_("Confirm my address"),
        closing=[_not_you()],
    )


def _verification(user: User, address: str) -> Letter:
    return Letter(
        subject=_("Confirm your e-mail address"),
        paragraphs=[_("Open this link to confirm that this address is yours."), _works_for(Class.SIGN_UP)],
        link=_link("confirm_email", tokens.email_token(user, address)),
        label=_("Confirm my address"),
        closing=[_not_you()],
    )


def _sign_up(mail: OutgoingMail) -> Letter | None:
    sign_up = mail.sign_up
    account = User.objects.filter(email=mail.to_address).first()
    if account is not None and (sign_up is None or sign_up.user_id != account.pk):
        return Letter(
            subject=_("You already have an account"),
            paragraphs=[
                _("Somebody, probably you, tried to sign up with this address. It has an account: just sign in."),
                _("If you do not remember the password, ask for a new one on the page for signing in."),
            ],
            link=settings.BASE_URL + reverse("accounts:sign_in"),
            label=_("Sign in"),
        )
    return _confirmation(sign_up) if sign_up else None


def _confirm_again(mail: OutgoingMail) -> Letter | None:
    user = _account(mail.to_address)
    if user is not None:
        return None if user.email_verified_at else _verification(user, mail.to_address)
    sign_up = tokens.live_sign_ups().filter(email=mail.to_address).order_by("-created_at").first()
    return _confirmation(sign_up) if sign_up else None


def _verify_email(mail: OutgoingMail) -> Letter | None:
    user = mail.user
    if user is None or not user.is_active or user.is_guest:
        return None
    if user.email != mail.to_address and User.objects.filter(email=mail.to_address).exists():
        return Letter(
            subject=_("This address has an account already"),
            paragraphs=[
                _("Somebody, probably you, asked to use this address for another account. It can belong to one only.")
            ],
        )
    return _verification(user, mail.to_address)


def _password_reset(mail: OutgoingMail) -> Letter | None:
    user = _account(mail.to_address)
    if user is None:
        return None
    return Letter(
        subject=_("Choose a new password"),
        paragraphs=[_("Open this link to choose a new password. It works once, for one hour.")],
        link=_link("reset_password", tokens.reset_token(user)),
        label=_("Choose a new password"),
        closing=[_not_you()],
    )


def _password_changed(mail: OutgoingMail) -> Letter:
    return Letter(
        subject=_("Your password was changed"),
        paragraphs=[
            _("The password of your account was changed, and all other sessions were ended."),
            _if_not_you(),
        ],
        link=settings.BASE_URL + reverse("accounts:forgot_password"),
        label=_("Choose a new password"),
    )


def _email_changed(mail: OutgoingMail) -> Letter:
    return Letter(
        subject=_("The e-mail address of your account was changed"),
        paragraphs=[
            _("Your account uses another e-mail address from now on. This one no longer signs in."),
            _("If this was not you, tell whoever runs this service."),
        ],
    )


def _second_factor_on(mail: OutgoingMail) -> Letter:
    return Letter(
        subject=_("Two-factor sign-in is on"),
        paragraphs=[
            _("From now on your account asks for a code of your authenticator app. All other sessions were ended."),
            _if_not_you(),
        ],
        link=settings.BASE_URL + reverse("accounts:forgot_password"),
        label=_("Choose a new password"),
    )


def _second_factor_off(mail: OutgoingMail) -> Letter:
    return Letter(
        subject=_("Two-factor sign-in is off"),
        paragraphs=[
            _("Your account asks for no code of an authenticator app any more. All other sessions were ended."),
            _if_not_you(),
        ],
        link=settings.BASE_URL + reverse("accounts:forgot_password"),
        label=_("Choose a new password"),
    )


def _recovery_code_used(mail: OutgoingMail) -> Letter:
    return Letter(
        subject=_("A recovery code was used"),
        paragraphs=[
            _("One of the recovery codes of your account was used in place of your authenticator app."),
            _if_not_you(),
        ],
        link=settings.BASE_URL + reverse("accounts:forgot_password"),
        label=_("Choose a new password"),
    )


def _export_ready(mail: OutgoingMail) -> Letter | None:
    user = mail.user
    found = exports.ready_export(user) if user is not None and user.is_active else None
    if found is None:
        return None
    return Letter(
        subject=_("The copy of your data is ready"),
        paragraphs=[
            _("You asked for a copy of your data. Fetch it with this link: it works once, signed in."),
            _works_for(Class.EXPORT),
        ],
        link=_link("export", exports.export_token(found)),
        label=_("Fetch my data"),
        closing=[_("If this was not you, change your password: somebody else is signed in to your account.")],
    )


def _restriction_ends(mail: OutgoingMail) -> Letter | None:
    user = mail.user
    if user is None or user.restriction_ends_at is None:
        return None
    day = date_format(timezone.localtime(user.restriction_ends_at), "DATE_FORMAT")
    return Letter(
        subject=_("The pause of the processing of your data ends"),
        paragraphs=[
            _("Staff of this service will lift it on %(day)s. Until then nothing is done with your data.")
            % {"day": day},
            _("On the page about your data you can have it lifted at once, or keep it paused."),
        ],
        link=settings.BASE_URL + reverse("privacy:home") + "#restriction",
        label=_("Your data"),
    )


def _erasure_begun(mail: OutgoingMail) -> Letter | None:
    request = erasures.open_erasure(mail.user) if mail.user else None
    if request is None or request.state != DataRequest.State.WAITING:
        return None
    day = date_format(timezone.localtime(request.due_at), "DATE_FORMAT")
    return Letter(
        subject=_("Your account is closed, and will be erased"),
        paragraphs=[
            _("You asked for your account and all your data to be erased. That happens on %(day)s.") % {"day": day},
            _("Until then you can change your mind with this link, or by signing in."),
        ],
        link=_link("cancel_erasure", erasures.cancel_token(request)),
        label=_("Open my account again"),
        closing=[_("If this was not you, open your account again and choose a new password.")],
    )


def _erasure_done(mail: OutgoingMail) -> Letter | None:
    entries = ErasureEntry.objects.filter(address_hash__in=erasure_log.hashes_of(mail.to_address))
    entry = entries.exclude(receipt=None).order_by("-begun_at").first()
    if entry is None:
        return None
    return Letter(
        subject=_("Your data is erased"),
        paragraphs=[
            _("Your account and all that was held of you is erased. With this mail goes your address as well."),
            _("This is your receipt. It is signed, and names you only to whoever knows your address already:"),
            json.dumps(entry.receipt),
        ],
    )


def _suspended(mail: OutgoingMail) -> Letter | None:
    if mail.user is None or mail.user.is_active:
        return None
    return Letter(
        subject=_("Your account is suspended"),
        paragraphs=[
            _("Your account was suspended: for breaking the rules of this service again and again, or by its staff."),
            _("You cannot sign in for now, and your sessions and keys have ended. What you wrote is kept as it is."),
            _("If you think that this is wrong, write to whoever runs this service: a person looks at it again."),
        ],
    )


def _reinstated(mail: OutgoingMail) -> Letter | None:
    if mail.user is None or not mail.user.is_active:
        return None
    return Letter(
        subject=_("Your account is open again"),
        paragraphs=[_("Your account is no longer suspended. Sign in as you are used to.")],
        link=settings.BASE_URL + reverse("accounts:sign_in"),
        label=_("Sign in"),
    )


def _objection_decided(mail: OutgoingMail) -> Letter | None:
    if mail.user is None or not mail.user.is_active:
        return None
    return Letter(
        subject=_("Your objection was decided"),
        paragraphs=[
            _("You objected to a message that was held back. A moderator has looked at it again."),
            _("What was decided, and the moderator's answer, stand under “Held back” in your account."),
        ],
        link=f"{settings.BASE_URL}/held-back/",
        label=_("See the decision"),
    )


_WRITERS: dict[Kind, Callable[[OutgoingMail], Letter | None]] = {
    Kind.SIGN_UP: _sign_up,
    Kind.CONFIRM_AGAIN: _confirm_again,
    Kind.VERIFY_EMAIL: _verify_email,
    Kind.PASSWORD_RESET: _password_reset,
    Kind.PASSWORD_CHANGED: _password_changed,
    Kind.EMAIL_CHANGED: _email_changed,
    Kind.SECOND_FACTOR_ON: _second_factor_on,
    Kind.SECOND_FACTOR_OFF: _second_factor_off,
    Kind.RECOVERY_CODE_USED: _recovery_code_used,
    Kind.EXPORT_READY: _export_ready,
    Kind.RESTRICTION_ENDS: _restriction_ends,
    Kind.ERASURE_BEGUN: _erasure_begun,
    Kind.ERASURE_DONE: _erasure_done,
    Kind.SUSPENDED: _suspended,
    Kind.REINSTATED: _reinstated,
    Kind.OBJECTION_DECIDED: _objection_decided,
}
