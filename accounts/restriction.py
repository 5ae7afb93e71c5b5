"""Restriction of processing (Article 18 GDPR): what an account holds stays, and nothing is done with it until the pause
is lifted. Reading it, a copy of it, having it erased, and what keeps the account safe go on.

Whatever way a write comes in, it is refused at the gate of that way, which asks here: the API's permissions, the
middleware of the pages, the dispatch of the socket's commands. What had passed a gate in the moment of the pause is
refused where it is stored (MAY_PROCESS_SQL).
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.request import Request

from accounts.audit.recording import record_audit
from accounts.models import OutgoingMail, User
from accounts.retention.holds import come_into_force
from accounts.signals import processing_restricted
from chatbot_project.lib.db import fetch_prepared
from chatbot_project.lib.errors import ApplicationError

#: Whose processing goes on, as a part of what stores their messages: its row is locked, so that a pause waits for what
#: is being stored, and what is being stored for a pause. Whichever was first, nothing is begun after a pause.
MAY_PROCESS_SQL = "SELECT id FROM accounts_user WHERE id = %s AND restricted_at IS NULL FOR KEY SHARE"
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
    person, it may become staff's; the other way round nothing changes, unless its end was announced: then it stays
    paused, by whoever wants that.

    Raises ApplicationError ``forbidden`` (403).
    """
    is_own = _checked_own(actor, user)
    with transaction.atomic():
        come_into_force()
        user = User.objects.select_for_update().get(pk=user.pk)
        is_ending = user.restriction_ends_at is not None
        if user.restricted_at is not None and not is_ending and (is_own or user.restricted_by_staff):
            return user
        _store(user, since=user.restricted_at or timezone.now(), by_staff=not is_own)
        record_audit(actor=actor, action="processing.restricted", obj=user, reason=reason)
        processing_restricted.send(sender=User, user=user)
    return user


def resume(*, actor: User, user: User, reason: str = "") -> User:
    """Lift the pause, at once where the person wants it. Staff's lifting is announced first, as Article 18 (3) asks: it
    takes effect after RESTRICTION_NOTICE_DAYS (``lift_due``), and from its announcement on the person may have it at
    once, or keep the pause (``restrict``). Recorded. Returns the person as stored; where nothing is paused, or its end
    was announced already, nothing changes.

    Raises ApplicationError ``restricted_by_staff`` (403) for the person themselves where staff paused it, ``forbidden``
    (403) for another who may not.
    """
    is_own = _checked_own(actor, user)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        if user.restricted_at is None:
            return user
        if not is_own:
            return _announce(actor, user, reason)
        if user.restricted_by_staff and user.restriction_ends_at is None:
            detail = _("Staff of this service paused it, and only they can lift it.")
            raise ApplicationError("restricted_by_staff", detail, status=403)
        _store(user, since=None, by_staff=False)
        record_audit(actor=actor, action="processing.resumed", obj=user, reason=reason)
    return user


def lift_due() -> int:
    """Lift what was announced to be lifted by now; how many. Whom the announcement has not reached, as it waits to be
    mailed still, stays paused. May be run at any time, by several at once."""
    announcing = OutgoingMail.objects.filter(user=OuterRef("pk"), kind=OutgoingMail.Kind.RESTRICTION_ENDS)
    lifted = 0
    due = User.objects.filter(~Exists(announcing), restriction_ends_at__lte=timezone.now())
    for pk in list(due.values_list("pk", flat=True)[:1000]):
        with transaction.atomic():
            user = due.select_for_update(of=("self",)).filter(pk=pk).first()
            if user is not None:
                _store(user, since=None, by_staff=False)
                record_audit(actor=None, action="processing.resumed", obj=user, details={"announced": True})
                lifted += 1
    return lifted


def _announce(actor: User, user: User, reason: str) -> User:
    from accounts.services import queue_mail  # which leads here

    if user.restriction_ends_at is None:
        days = settings.RESTRICTION_NOTICE_DAYS
        user.restriction_ends_at = timezone.now() + timedelta(days=days)
        user.save(update_fields=["restriction_ends_at"])
        record_audit(actor=actor, action="processing.resuming", obj=user, reason=reason, details={"days": days})
        if user.email:
            queue_mail(kind=OutgoingMail.Kind.RESTRICTION_ENDS, to=user.email, user=user)
    return user


def _store(user: User, *, since: datetime | None, by_staff: bool) -> None:
    user.restricted_at, user.restricted_by_staff, user.restriction_ends_at = since, by_staff, None
    user.save(update_fields=["restricted_at", "restricted_by_staff", "restriction_ends_at"])


def hand_over(*, guest: User, user: User) -> None:
    """What was paused of a guest is paused of the account that takes them over, until it is lifted there. Inside the
    transaction that does it."""
    if guest.restricted_at is None:
        return
    user = User.objects.select_for_update().get(pk=user.pk)
    if user.restricted_at is None or (guest.restricted_by_staff and not user.restricted_by_staff):
        by_staff = user.restricted_by_staff or guest.restricted_by_staff
        _store(user, since=user.restricted_at or guest.restricted_at, by_staff=by_staff)
        record_audit(actor=None, action="processing.restricted", obj=user, details={"from": "guest"})
        processing_restricted.send(sender=User, user=user)


def _checked_own(actor: User, user: User) -> bool:
    """Whether it is one's own. Raises ``forbidden`` where it is neither that nor allowed."""
    if actor.pk == user.pk:
        return True
    if not actor.has_perm("accounts.restrict_user"):
        raise ApplicationError("forbidden", _("You may not pause or resume processing for this person."), status=403)
    return False
