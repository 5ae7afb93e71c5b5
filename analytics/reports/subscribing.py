"""Who gets reports, and how somebody ends that from within a mail."""

from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse

from accounts.models import User
from accounts.models.people import normalise_address
from accounts.services import record_audit
from analytics.models import Subscription

_SALT = "analytics.unsubscribe"
PERMISSION = "analytics.view_figures"


def unsubscribe_link(subscription: Subscription) -> str:
    """Works as long as the subscription is there: whoever finds an old mail can end it."""
    token = signing.dumps(str(subscription.pk), salt=_SALT)
    return f"{settings.BASE_URL}{reverse('reports:unsubscribe', args=[token])}"


def read_unsubscribe_token(token: str) -> Subscription | None:
    try:
        found = UUID(signing.loads(token, salt=_SALT))
    except (signing.BadSignature, ValueError):
        return None
    return Subscription.objects.select_related("user").filter(pk=found).first()


def unsubscribe(subscription: Subscription) -> None:
    """End it, and its mails that wait. Once or again."""
    with transaction.atomic():
        if not Subscription.objects.filter(pk=subscription.pk, is_active=True).update(is_active=False):
            return
        record_audit(
            actor=subscription.user, action="subscription.ended", obj=subscription, subject=subscription.user,
            details={"by": "mail"},
        )  # fmt: skip


def address_of(subscription: Subscription) -> str | None:
    """Where its mail goes now; None for an account that may not see figures, or whose data may not be used. An address
    of an account counts as the account."""
    user = subscription.user or account_of(subscription.address)
    if user is None:
        return subscription.address
    return user.email if may_receive(user) else None


def account_of(address: str) -> User | None:
    return User.objects.filter(email=normalise_address(address)).first()


def may_receive(user: User) -> bool:
    return bool(user.email) and user.has_perm(PERMISSION) and user.restricted_at is None
