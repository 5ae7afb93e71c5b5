"""What happens when somebody is signed in or out by whichever page."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import services
from accounts.devices import device_label
from accounts.models import Consent, SignUp, User
from accounts.privacy import consents
from accounts.privacy.policies import policies
from accounts.sessions import DEVICE, SINCE
from accounts.signals import sign_up_completed


@receiver(user_logged_in)
def note_sign_in(sender: object, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Hand what the guest of this request owned to the account signed in to, and let the session say what it is."""
    request.person_signed_in = user  # type: ignore[attr-defined]  # PersonMiddleware remembers the device
    request.session[SINCE] = int(timezone.now().timestamp())
    request.session[DEVICE] = device_label(request)
    before = getattr(request, "person", None)
    if before is not None and before.is_guest and before.pk != user.pk:
        services.merge_guest(guest=before, user=user)
    if not user.is_guest:
        services.record_audit(actor=user, action="sign_in.succeeded", obj=user, details={"way": "page"})


@receiver(user_logged_out)
def note_sign_out(sender: object, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    """The session's row goes only after this signal: PersonMiddleware tells the sockets at the request's end."""
    if user is not None:
        request.people_signed_out = [user]  # type: ignore[attr-defined]
        if not user.is_guest:
            services.record_audit(actor=user, action="sign_in.ended", obj=user, details={"way": "page"})


@receiver(sign_up_completed)
def note_consents(sender: object, sign_up: SignUp, user: User, **kwargs: Any) -> None:
    """What was said to the policies when signing up is the account's first word on them, of that moment."""
    for policy in policies():
        said = sign_up.consents.get(policy.purpose)
        if said and said["version"] == policy.version:  # a newer one is asked anew
            consents.decide(
                user=user,
                purpose=policy.purpose,
                granted=said["granted"],
                version=said["version"],
                language=said["language"],
                source=Consent.Source.SIGN_UP,
                at=sign_up.created_at,
            )
