"""Authenticator apps and recovery codes: setting up, checking a code, taking away. Each is recorded, and told by mail.

A code is good once, also when it is sent many times at once. Recovery codes are kept as hashes alone.
"""

import hashlib
import re
import secrets
from base64 import b32encode
from functools import partial
from typing import Literal
from urllib.parse import quote, urlencode

import segno
import structlog
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django_otp.util import random_hex

from accounts import limits, services
from accounts.models import Authenticator, OutgoingMail, RecoveryCode, User
from accounts.sealing import Unreadable
from accounts.second_factor import is_on
from accounts.sockets import announce_sign_out
from chatbot_project.lib.errors import ApplicationError

log = structlog.get_logger(__name__)

ISSUER = "Nono"
CODES = 10  # recovery codes of a set
_CODE = re.compile(r"[0-9]{6}")
_RECOVERY_CODE = re.compile(r"[a-z2-7]{16}")  # 80 random bits in base 32

Kind = OutgoingMail.Kind
Purpose = Literal["sign_in", "new_codes", "turn_off"]


def new_key() -> str:
    """The secret of an authenticator that is to be set up: 160 random bits as hexadecimal digits."""
    return str(random_hex(20))


def shown_key(key: str) -> str:
    """The secret as people type it into their app: base 32."""
    return b32encode(bytes.fromhex(key)).decode()


def setup_address(user: User, key: str) -> str:
    """The ``otpauth:`` address from which an app takes the secret."""
    label = quote(f"{ISSUER}:{user.email or user.username}")
    return f"otpauth://totp/{label}?{urlencode({'secret': shown_key(key), 'issuer': ISSUER})}"


def qr_code(text: str) -> SafeString:
    """``text`` as a QR code: an SVG element of squares without text, style or script, light whatever the page is."""
    picture = segno.make(text, error="m", micro=False)
    drawn = picture.svg_inline(border=3, light="#fff", omitsize=True, svgclass="qr-code")
    return SafeString(drawn)  # nosec B703  # drawn by segno


def turn_on(*, user: User, key: str, code: str) -> tuple[User, list[str]] | None:
    """Set up the authenticator with that secret, which ``code`` shows to be in the app. ``None`` for a wrong code.

    Returns the person as stored now and their recovery codes, which nobody can read again. Ends every session: they
    were begun without. Raises ApplicationError ``second_factor_on`` (409) where there is one already,
    ``account_needed`` (403) for a guest.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if user.is_guest:
            raise ApplicationError("account_needed", _("You need an account for this."), status=403)
        if is_on(user):
            raise ApplicationError("second_factor_on", _("Two-factor sign-in is set up already."), status=409)
        device = Authenticator(user=user, name=ISSUER)
        device.set_secret(bytes.fromhex(key))
        device.save()
        if not _CODE.fullmatch(_plain(code)) or not device.verify_token(_plain(code)):
            transaction.set_rollback(True)
            return None
        codes = _renew_codes(user)
        _end_sessions(user, since=True)
        services.record_audit(actor=user, action="second_factor.enrolled", obj=user)
        _tell(user, Kind.SECOND_FACTOR_ON)
    return user, codes


def check(request: HttpRequest, user: User, code: str, purpose: Purpose) -> bool:
    """Whether ``code`` is good: of the authenticator, or a recovery code, which is thereby used up. Recorded.

    Raises TooManyTries (429), or ``unavailable`` (503) while tries cannot be counted. Of one code sent many times, at
    once or later, one is good.
    """
    buckets = limits.code_buckets(request, user)
    limits.take(buckets)
    with transaction.atomic():
        kind = _use(user, _plain(code))
        if kind is None:
            return False
        details = {"kind": kind, "for": purpose}
        services.record_audit(actor=user, action="second_factor.used", obj=user, details=details)
        if kind == "recovery":
            _tell(user, Kind.RECOVERY_CODE_USED)
    limits.give_back(buckets)
    return True


def _use(user: User, code: str) -> Literal["code", "recovery"] | None:
    if _CODE.fullmatch(code):
        # Locked: who sends the same code at the same moment finds it used.
        device = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
        try:
            return "code" if device is not None and device.verify_token(code) else None
        except Unreadable:  # SECRET_KEY was changed without its fallback: a recovery code or a reset helps
            log.error("second_factor.unreadable")
            return None
    if _RECOVERY_CODE.fullmatch(code):
        used, _of = RecoveryCode.objects.filter(user=user, digest=_digest(code)).delete()
        return "recovery" if used else None
    return None


def codes_left(user: User) -> int:
    """How many recovery codes of ``user`` are not used."""
    return RecoveryCode.objects.filter(user=user).count()


def new_codes(*, user: User) -> list[str]:
    """A new set of recovery codes; the old ones are good no longer. Ask for a code before (``check``).

    Raises ApplicationError ``second_factor_off`` (409) where there is nothing to recover.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if not is_on(user):
            raise _off()
        codes = _renew_codes(user)
        services.record_audit(actor=user, action="second_factor.codes_renewed", obj=user)
    return codes


def turn_off(*, user: User) -> User:
    """Take one's own second factor away and end every session. Ask for password and code before.

    Raises ApplicationError ``second_factor_off`` (409) where there is none.
    """
    return _take_away(user, actor=user, action="second_factor.removed", reason="")


def reset(*, actor: User | None, user: User, reason: str) -> User:
    """Take another's second factor away, who lost it, and end their sessions. Recorded with its reason.

    ``actor`` is ``None`` for whoever has the server's command line. Raises ApplicationError ``forbidden`` (403): only
    by an admin, never one's own; ``second_factor_off`` (409) where there is none.
    """
    if actor is not None and (not actor.has_perm("accounts.reset_second_factor") or actor.pk == user.pk):
        raise ApplicationError("forbidden", _("You may not reset the second factor of this person."), status=403)
    return _take_away(user, actor=actor, action="second_factor.reset", reason=reason)


def reseal_all() -> tuple[int, list[Authenticator]]:
    """Seal every secret under the present SECRET_KEY, so that an older one is needed no longer. How many, and those
    that no known key opens. May be run again, and while people sign in."""
    resealed, unreadable = 0, []
    for pk in list(Authenticator.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            device = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if device is None:  # turned off meanwhile
                continue
            try:
                device.set_secret(device.bin_key)
            except Unreadable:
                unreadable.append(device)
                continue
            device.save(update_fields=["key"])
            resealed += 1
    return resealed, unreadable


def _take_away(user: User, *, actor: User | None, action: str, reason: str) -> User:
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if not is_on(user):
            raise _off()
        Authenticator.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        _end_sessions(user, since=False)
        services.record_audit(actor=actor, action=action, obj=user, reason=reason)
        _tell(user, Kind.SECOND_FACTOR_OFF)
    return user


def _off() -> ApplicationError:
    return ApplicationError("second_factor_off", _("Two-factor sign-in is not set up."), status=409)


def _end_sessions(user: User, *, since: bool) -> None:
    user.second_factor_at = timezone.now() if since else None
    user.auth_epoch += 1
    user.save(update_fields=["second_factor_at", "auth_epoch"])
    transaction.on_commit(partial(announce_sign_out, user))


def _tell(user: User, kind: Kind) -> None:
    if user.email:
        services.queue_mail(kind=kind, to=user.email, user=user)


def _renew_codes(user: User) -> list[str]:
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _each in range(CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create([RecoveryCode(user=user, digest=_digest(code)) for code in codes])
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in codes]


def _plain(code: str) -> str:
    return re.sub(r"[\s-]", "", code).lower()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
