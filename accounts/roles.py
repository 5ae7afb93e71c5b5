"""Which role may do what. The one place that says so: code and the admin ask ``user.has_perm``.

Permissions carry Django's names (``app.action_model``), so that the admin understands them; there are no groups and no
permissions of single people.
"""

from collections.abc import Mapping

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    USER = "user", _("User")
    MODERATOR = "moderator", _("Moderator")
    ADMIN = "admin", _("Admin")


#: Roles that may enter the admin.
STAFF_ROLES = frozenset({Role.MODERATOR, Role.ADMIN})

_MODERATOR = frozenset(
    {
        "accounts.view_user",
        "accounts.change_user",  # the form of a person; what it may change is asked of the two below
        "accounts.suspend_user",
        "personas.view_persona",
        "personas.view_personaversion",
        "conversations.view_conversation",
        "conversations.view_message",
        "conversations.view_feedback",
        "conversations.view_handover",
        "conversations.change_handover",  # note that it is done
        "conversations.view_moderationrule",
        "conversations.add_moderationrule",
        "conversations.change_moderationrule",
        "conversations.delete_moderationrule",
        "conversations.view_moderationitem",
        "conversations.change_moderationitem",  # decide on it
        "analytics.view_figures",
        "analytics.view_report",
        "analytics.view_person",  # another's figures
        "analytics.review_replies",  # judges replies that were drawn, without being told whose
        "conversations.read_text",  # opens the text of a conversation, with a reason that is recorded
        # The knowledge is theirs to keep; only its removal for good is an admin's.
        "faqs.view_category",
        "faqs.add_category",
        "faqs.change_category",
        "faqs.delete_category",  # only an empty one can go
        "faqs.view_faq",
        "faqs.add_faq",
        "faqs.change_faq",
        "faqs.publish_faq",
        "faqs.view_faqversion",
        "faqs.view_phrasing",
        "faqs.view_faqfeedback",
        "faqs.view_gap",
        "faqs.change_gap",
        "faqs.view_gapquestion",
    }
)

#: Admins are not listed: they may do everything.
PERMISSIONS: Mapping[str, frozenset[str]] = {Role.USER: frozenset(), Role.MODERATOR: _MODERATOR}


def role_has_permission(role: str, permission: str) -> bool:
    """Whether ``role`` may do ``permission`` (``app.codename``). An unknown role may do nothing."""
    return role == Role.ADMIN or permission in PERMISSIONS.get(role, frozenset())


def role_has_module(role: str, app_label: str) -> bool:
    """Whether ``role`` may do anything at all in that app."""
    return role == Role.ADMIN or any(name.startswith(f"{app_label}.") for name in PERMISSIONS.get(role, frozenset()))
