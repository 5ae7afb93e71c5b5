"""What happens when somebody is signed in or out by whichever page."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import services
from accounts.devices import device_label
from accounts.models import User
from accounts.sessions import DEVICE, SINCE


@receiver(user_logged_in)
def note_sign_in(sender: object, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Hand what the guest of this request owned to the account signed in to, and let the session say what it is."""
    request.person_signed_in = user  # type: ignore[attr-defined]  # PersonMiddleware remembers the device
    request.session[SINCE] = int(timezone.now().timestamp())
    request.session[DEVICE] = device_label(request)
    before = getattr(request, "person", None)
    if before is not None and before.is_guest and before.pk != user.pk:
        services.merge_guest(guest=before, user=user)


@receiver(user_logged_out)
def note_sign_out(sender: object, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    """The session's row goes only after this signal: PersonMiddleware tells the sockets at the request's end."""
    if user is not None:
        request.people_signed_out = [user]  # type: ignore[attr-defined]
