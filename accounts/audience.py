"""For whom something published is meant: personas and FAQs alike."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class Visibility(models.TextChoices):
    """Who may see something: each choice includes the people of the ones after it."""

    GUESTS = "guests", _("Everyone, guests included")
    USERS = "users", _("Signed-in people")
    STAFF = "staff", _("Staff")


def visibilities_for(user: Any) -> list[str]:
    """The visibilities that ``user`` (a User or AnonymousUser) may see, by what they showed themselves with."""
    if isinstance(user, AnonymousUser) or not user.is_authenticated or user.is_guest:
        return [Visibility.GUESTS]
    if user.is_staff:
        return [Visibility.GUESTS, Visibility.USERS, Visibility.STAFF]
    return [Visibility.GUESTS, Visibility.USERS]
