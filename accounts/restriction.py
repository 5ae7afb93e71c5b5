"""Restriction of processing (Article 18 GDPR): what an account holds stays, and nothing is done with it until the pause
is lifted. Reading it, a copy of it, having it erased, and what keeps the account safe go on.

Whatever way a write comes in, it is refused at the gate of that way, which asks here: the API's permissions, the
middleware of the pages, the dispatch of the socket's commands.
"""

from uuid import UUID

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.request import Request

from accounts.audit.recording import record_audit
from accounts.models import User
from accounts.signals import processing_restricted
from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.errors import ApplicationError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: What may be done all the same, by method and route: leaving, one's language, what keeps strangers out, and the ticket
#: by which one reads over a socket.
ALLOWED = frozenset(
    {
        "DELETE api/v1/me",
        "POST api/v1/auth/logout",
        "POST api/v1/auth/password/change",
        "DELETE api/v1/auth/api-keys/<uuid:key_id>",
        "DELETE api/v1/sessions/<uuid:session_id>",
        "POST api/v1/chat/ws-ticket",
        "POST accounts/sign-in/",
        "POST accounts/sign-in/code/",
        "POST accounts/sign-out/",
        "POST accounts/sign-out/everywhere/",
        "POST accounts/language/",
        "POST accounts/password/",
        "POST accounts/password/forgot/",
        "POST accounts/link/reset/<str:token>/",
        "POST accounts/link/export/<str:token>/",
        "POST accounts/link/cancel-erasure/<str:token>/",
        "POST accounts/keys/<uuid:key_id>/revoke/",
        "POST accounts/sessions/<uuid:sign_in_id>/end/",
        "POST admin/logout/",
    }
)
#: One's rights over one's data: consents, copies, erasure, and the pause itself.
ALLOWED_BELOW = ("api/v1/privacy/", "privacy/")


class ProcessingRestricted(ApplicationError):
    """The person's processing is paused, and this would go on with it."""

    def __init__(self) -> None:
        detail = _("Processing of your data is paused. Lift the pause on the page about your data to go on.")
        super().__init__("processing_restricted", detail, status=403)


def refuse_if_restricted(request: HttpRequest | Request, user: User) -> None:
    """Raise ProcessingRestricted where ``request`` would process what ``user`` holds while that is paused."""
    if user.restricted_at is None or request.method in SAFE_METHODS:
        return
    match = request.resolver_match
    route = match.route if match else ""
    if f"{request.method} {route}" not in ALLOWED and not route.startswith(ALLOWED_BELOW):
        raise ProcessingRestricted


def refuse_if_restricted_now(user_id: UUID) -> None:
    """Raise ProcessingRestricted while the person's processing is paused. One query: for what stays open for hours, and
    was opened before the pause."""
    if fetch_prepared("SELECT 1 FROM accounts_user WHERE id = %s AND restricted_at IS NOT NULL", [user_id]):
        raise ProcessingRestricted


def restrict(*, actor: User, user: User, reason: str = "") -> User:
    """Pause the processing of what ``user`` holds; what was under way is stopped. Recorded. Returns the person as
    stored. By the person themselves, or by who may, with a reason: then only who may lifts it. Once paused by the
    person, it may become staff's; the other way round nothing changes.

    Raises ApplicationError ``forbidden`` (403).
    """
    is_own = _checked_own(actor, user)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if user.restricted_at is not None and (is_own or user.restricted_by_staff):
            return user
        user.restricted_at = user.restricted_at or timezone.now()
        user.restricted_by_staff = not is_own
        user.save(update_fields=["restricted_at", "restricted_by_staff"])
        record_audit(actor=actor, action="processing.restricted", obj=user, reason=reason)
        processing_restricted.send(sender=User, user=user)
    return user


def resume(*, actor: User, user: User, reason: str = "") -> User:
    """Lift the pause. Recorded. Returns the person as stored; where nothing is paused, nothing changes.

    Raises ApplicationError ``restricted_by_staff`` (403) for the person themselves where staff paused it, ``forbidden``
    (403) for another who may not.
    """
    is_own = _checked_own(actor, user)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if user.restricted_at is None:
            return user
        if is_own and user.restricted_by_staff:
            detail = _("Staff of this service paused it, and only they can lift it.")
            raise ApplicationError("restricted_by_staff", detail, status=403)
        user.restricted_at, user.restricted_by_staff = None, False
        user.save(update_fields=["restricted_at", "restricted_by_staff"])
        record_audit(actor=actor, action="processing.resumed", obj=user, reason=reason)
    return user


def hand_over(*, guest: User, user: User) -> None:
    """What was paused of a guest is paused of the account that takes them over. Inside the transaction that does it."""
    if guest.restricted_at is None:
        return
    user = User.objects.select_for_update().get(pk=user.pk)
    if user.restricted_at is None or (guest.restricted_by_staff and not user.restricted_by_staff):
        user.restricted_at = user.restricted_at or guest.restricted_at
        user.restricted_by_staff = user.restricted_by_staff or guest.restricted_by_staff
        user.save(update_fields=["restricted_at", "restricted_by_staff"])
        record_audit(actor=None, action="processing.restricted", obj=user, details={"from": "guest"})
        processing_restricted.send(sender=User, user=user)


def _checked_own(actor: User, user: User) -> bool:
    """Whether it is one's own. Raises ``forbidden`` where it is neither that nor allowed."""
    if actor.pk == user.pk:
        return True
    if not actor.has_perm("accounts.restrict_user"):
        raise ApplicationError("forbidden", _("You may not pause or resume processing for this person."), status=403)
    return False
