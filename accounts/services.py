"""Every write about people, each with its permission, its record and what it must tell others, in one place."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

import redis
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from kombu.exceptions import KombuError

from accounts import api_keys, limits, restriction, tasks, tokens
from accounts.audit.recording import record_audit as record_audit  # services record with what they do
from accounts.models import DataRequest, OutgoingMail, SignUp, User, normalise_address
from accounts.roles import Role
from accounts.signals import guest_merged, sign_up_completed
from accounts.sockets import announce_sign_out
from chatbot_project.lib.errors import ApplicationError

logger = logging.getLogger(__name__)
Kind = OutgoingMail.Kind


def queue_mail(*, kind: Kind, to: str, sign_up: SignUp | None = None, user: User | None = None) -> OutgoingMail:
    """Have a mail sent once the transaction stands. It waits in the database while broker or mail server are away."""
    language = (user.language if user else "") or get_language() or ""
    mail = OutgoingMail.objects.create(kind=kind, to_address=to, language=language, sign_up=sign_up, user=user)
    transaction.on_commit(partial(_hand_to_worker, mail.pk))
    return mail


def tell_by_mail(*, kind: Kind, user: User) -> None:
    """Have a person told what was decided about them, where they have an address that they confirmed."""
    if user.email and user.email_verified_at and not user.is_guest:
        queue_mail(kind=kind, to=user.email, user=user)


def _hand_to_worker(mail_id: UUID) -> None:
    try:
        tasks.send_mail.apply_async((str(mail_id),), retry=False)
    except (KombuError, redis.RedisError, OSError):
        logger.warning("mail_left_for_later", exc_info=True, extra={"mail_id": str(mail_id)})


def start_guest(request: HttpRequest) -> User:
    """Sign the request in as a new guest, or return the person it is signed in as already.

    Raises ApplicationError ``guests_not_allowed`` (403), TooManyTries (429) or ``unavailable`` (503).
    """
    if isinstance(request.user, User):
        return request.user
    guest = make_guest(request)
    login(request, guest)
    return guest


def make_guest(request: HttpRequest) -> User:
    """A new guest for whoever asks. Raises as ``start_guest`` does."""
    if not settings.ALLOW_GUESTS:
        raise ApplicationError("guests_not_allowed", _("You need an account to chat here."), status=403)
    limits.take_guest(request)
    return User.objects.create_guest()


def merge_guest(*, guest: User, user: User) -> None:
    """Hand what ``guest`` owns to the account that they signed in to, and close the guest; nothing where it is closed.

    The closed guest is only switched off here; ``expire_guests`` removes the row once it is idle.
    """
    with transaction.atomic():
        found = User.objects.select_for_update().filter(pk=guest.pk, is_guest=True, is_active=True).first()
        if found is None:
            return
        guest_merged.send(sender=User, guest=found, user=user)
        restriction.hand_over(guest=found, user=user)
        found.is_active = False
        found.auth_epoch += 1
        found.save(update_fields=["is_active", "auth_epoch"])
        transaction.on_commit(partial(announce_sign_out, found))


def sign_up(
    *,
    email: str,
    password: str,
    username: str = "",
    guest: User | None = None,
    consents: Mapping[str, Any] | None = None,
) -> SignUp:
    """Keep a sign-up until its address is verified, and mail that address. ``consents`` are as SignUp keeps them.

    Does exactly the same for an address that has an account; only the mail then says so.
    """
    email = normalise_address(email)
    encoded = make_password(password)
    with transaction.atomic():
        waiting = SignUp.objects.create(
            email=email,
            username=username,
            password=encoded,
            guest=guest,
            language=get_language() or "",
            consents=dict(consents or {}),
        )
        queue_mail(kind=Kind.SIGN_UP, to=email, sign_up=waiting)
    return waiting


def complete_sign_up(sign_up_id: UUID, *, verified: bool) -> User | None:
    """Make the account that a sign-up asked for; a guest's own row becomes it, with everything the guest has.

    Returns ``None`` where the sign-up is gone or its address belongs to somebody else by now. With ``verified`` the
    sign-up is done with and its link is dead; without, the link may still verify the address later.
    """
    try:
        with transaction.atomic():
            waiting = tokens.live_sign_ups().select_for_update(of=("self",)).filter(pk=sign_up_id).first()
            user = _account_of(waiting) if waiting else None
            if waiting is None or user is None:
                return None
            if verified:
                new = User.objects.filter(pk=user.pk, email_verified_at=None).update(email_verified_at=timezone.now())
                if new:
                    record_audit(actor=user, action="email.verified", obj=user)
                waiting.delete()
            user.refresh_from_db()
            return user
    except IntegrityError:  # the same address or username was taken in this very moment
        return None


def _account_of(waiting: SignUp) -> User | None:
    """The account of a locked sign-up, made if it is not there yet."""
    taken = User.objects.filter(email=waiting.email).first()
    if taken is not None or waiting.user_id:
        return taken if taken and taken.pk == waiting.user_id and taken.is_active else None
    guests = User.objects.select_for_update().filter(is_guest=True, is_active=True)
    guest = guests.filter(pk=waiting.guest_id).first() if waiting.guest_id else None
    user = guest or User(language=waiting.language)
    user.email = waiting.email
    user.username = User.objects.free_username(waiting.username or waiting.email.partition("@")[0])
    user.password = waiting.password
    user.is_guest = False
    user.auth_epoch += 1
    user.save()
    record_audit(actor=user, action="user.created", obj=user)
    waiting.user = user
    waiting.save(update_fields=["user"])
    sign_up_completed.send(sender=SignUp, sign_up=waiting, user=user)
    transaction.on_commit(partial(announce_sign_out, user))
    return user


def change_password(*, user: User, password: str, end_keys: bool = False) -> User:
    """Set the password, end every session, and tell the owner by mail. Returns the person as stored now.

    API keys go on, as the programs that use them know no password; ``end_keys`` revokes them too.
    """
    encoded = make_password(password)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        _set_password(user, encoded)
        record_audit(actor=user, action="password.changed", obj=user)
        if end_keys:
            api_keys.revoke_keys(user=user)
    return user


def reset_password(*, token: str, password: str) -> User | None:
    """Set the password by a mailed token, which also shows whose the address is. Ends every session and API key: who
    lost their password may have lost the account.

    Returns ``None`` for a token that is forged, too old or used: of several uses at once, one succeeds.
    """
    encoded = make_password(password)
    with transaction.atomic():
        user = tokens.read_reset_token(token, lock=True)
        if user is None:
            return None
        user.email_verified_at = user.email_verified_at or timezone.now()
        _set_password(user, encoded)
        record_audit(actor=user, action="password.reset", obj=user)
        api_keys.revoke_keys(user=user)
    return user


def _set_password(user: User, encoded: str) -> None:
    user.password = encoded
    user.auth_epoch += 1
    user.save(update_fields=["password", "auth_epoch", "email_verified_at"])
    if user.email:
        queue_mail(kind=Kind.PASSWORD_CHANGED, to=user.email, user=user)
    transaction.on_commit(partial(announce_sign_out, user))


def end_sessions(*, user: User) -> User:
    """End every session of ``user``, this one included. Returns the person as stored now."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        user.auth_epoch += 1
        user.save(update_fields=["auth_epoch"])
        record_audit(actor=user, action="sign_in.ended", obj=user, details={"how": "everywhere"})
        transaction.on_commit(partial(announce_sign_out, user))
    return user


def request_email(*, user: User, email: str) -> None:
    """Mail a link that makes ``email`` the address of ``user``; says nothing about whether it is another's."""
    queue_mail(kind=Kind.VERIFY_EMAIL, to=normalise_address(email), user=user)


def confirm_email(*, token: str) -> User | None:
    """Make the token's address the person's, verified. ``None`` for a dead token or an address taken meanwhile."""
    try:
        with transaction.atomic():
            found = tokens.read_email_token(token, lock=True)
            if found is None:
                return None
            user, address = found
            before = user.email
            user.email, user.email_verified_at = address, timezone.now()
            user.save(update_fields=["email", "email_verified_at"])
            action = "email.verified" if before == address else "email.changed"
            record_audit(actor=user, action=action, obj=user)
            if before and before != address:
                queue_mail(kind=Kind.EMAIL_CHANGED, to=before, user=user)
            return user
    except IntegrityError:
        return None


def save_profile(*, user: User, changes: Mapping[str, str]) -> User:
    """Store what a person says of themselves: fields and values as ProfileForm has checked them.

    Raises ApplicationError ``username_taken`` (409) where somebody took the name in this very moment.
    """
    user = User.objects.get(pk=user.pk)
    for name, value in changes.items():
        setattr(user, name, value)
    try:
        with transaction.atomic():
            user.save(update_fields=list(changes))
    except IntegrityError as error:
        raise ApplicationError("username_taken", _("That username is taken."), status=409) from error
    return user


def deactivate(*, user: User, by_operator: bool = False) -> None:
    """Close an account, one's own or ``by_operator`` from the command line: nothing signs in to it any more. Recorded.
    The first step of an erasure.

    Raises ApplicationError ``last_admin`` (409): one admin always remains.
    """
    with transaction.atomic():
        admins = User.objects.select_for_update().filter(role=Role.ADMIN, is_active=True).order_by("pk")
        if user.role == Role.ADMIN and [admin.pk for admin in admins] == [user.pk]:
            raise ApplicationError("last_admin", _("Make somebody else an admin first."), status=409)
        user = User.objects.select_for_update().get(pk=user.pk)
        user.is_active = False
        user.auth_epoch += 1
        user.save(update_fields=["is_active", "auth_epoch"])
        api_keys.revoke_keys(user=user)
        record_audit(actor=None if by_operator else user, action="user.deactivated", obj=user)
        transaction.on_commit(partial(announce_sign_out, user))


def set_suspended(*, actor: User, user: User, suspended: bool, reason: str) -> User:
    """Suspend a person or let them back in; ends their sessions. Recorded with its reason.

    Raises ApplicationError ``forbidden`` (403): only staff who may, nobody themselves, and staff only by an admin.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        may = actor.has_perm("accounts.suspend_user") and (actor.role == Role.ADMIN or user.role == Role.USER)
        if not may or actor.pk == user.pk:
            raise ApplicationError("forbidden", _("You may not suspend this person."), status=403)
        user.is_active = not suspended
        user.auth_epoch += 1
        user.save(update_fields=["is_active", "auth_epoch"])
        # Cancelling an erasure must not be a way around it.
        DataRequest.objects.filter(user=user, state=DataRequest.State.WAITING).update(reopens=not suspended)
        action = "user.suspended" if suspended else "user.reinstated"
        record_audit(actor=actor, action=action, obj=user, reason=reason)
        tell_by_mail(kind=Kind.SUSPENDED if suspended else Kind.REINSTATED, user=user)
        transaction.on_commit(partial(announce_sign_out, user))
    return user


def suspend_for_violations(*, user: User, points: int) -> bool:
    """Suspend a person whose violations of the rules came to so many ``points``; ends their sessions. Recorded; staff
    can let them back in. False, and nothing changes, for staff and where the account is closed already."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if user.role != Role.USER or not user.is_active:
            return False
        user.is_active = False
        user.auth_epoch += 1
        user.save(update_fields=["is_active", "auth_epoch"])
        reason = "Repeated violations of the rules."
        record_audit(actor=None, action="user.suspended", obj=user, reason=reason, details={"points": points})
        tell_by_mail(kind=Kind.SUSPENDED, user=user)
        transaction.on_commit(partial(announce_sign_out, user))
    return True


def change_role(*, actor: User, user: User, role: Role, reason: str) -> User:
    """Give a person another role; ends their sessions. Recorded with its reason.

    Raises ApplicationError ``forbidden`` (403): only by an admin, never one's own (so one admin always remains), and
    never a guest's.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if not actor.has_perm("accounts.change_role") or actor.pk == user.pk or user.is_guest:
            raise ApplicationError("forbidden", _("You may not change the role of this person."), status=403)
        details = {"from": user.role, "to": str(role)}
        user.role = role
        user.auth_epoch += 1
        user.save(update_fields=["role", "auth_epoch"])
        record_audit(actor=actor, action="user.role_changed", obj=user, reason=reason, details=details)
        transaction.on_commit(partial(announce_sign_out, user))
    return user
