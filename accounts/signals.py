"""Signals of this app, and what it does when somebody is signed in or out by whichever page."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.dispatch import Signal, receiver
from django.http import HttpRequest

from accounts.models import User

#: ``guest``, ``user``: a guest has signed in to an existing account, which takes over what the guest owns. Sent inside
#: the transaction that retires the guest; whoever keeps things of people moves them here.
guest_merged = Signal()


@receiver(user_logged_in)
def take_over_guest(sender: object, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Hand what the guest of this request owned to the account signed in to, and close the guest.

    The closed guest is only switched off here; ``expire_guests`` removes the row once it is idle.
    """
    request.person_signed_in = user  # type: ignore[attr-defined]  # PersonMiddleware remembers the device
    before = getattr(request, "person", None)
    if before is None or not before.is_guest or before.pk == user.pk:
        return
    with transaction.atomic():
        guest = User.objects.select_for_update().filter(pk=before.pk, is_guest=True, is_active=True).first()
        if guest is None:
            return
        guest_merged.send(sender=User, guest=guest, user=user)
        guest.is_active = False
        guest.auth_epoch += 1
        guest.save(update_fields=["is_active", "auth_epoch"])
    request.people_signed_out = [guest]  # type: ignore[attr-defined]


@receiver(user_logged_out)
def note_sign_out(sender: object, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    """The session's row goes only after this signal: PersonMiddleware tells the sockets at the request's end."""
    if user is not None:
        request.people_signed_out = [user]  # type: ignore[attr-defined]
