"""Who may keep an FAQ right."""

from django.db.models import QuerySet

from accounts.models import User
from accounts.roles import STAFF_ROLES


def owners() -> QuerySet[User]:
    """Staff who can sign in, by name."""
    return User.objects.filter(role__in=STAFF_ROLES, is_active=True).order_by("username")
