"""Who looked at a person's data, as that person is told it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.audit.reading import AuditEntry, events_about
from accounts.models import User
from accounts.roles import Role

MOST = 200
#: What was looked at, by the event that is recorded of it.
LOOKED_AT: Mapping[str, Any] = {
    "conversation.read": gettext_lazy("Read a conversation of yours"),
    "conversation.shown": gettext_lazy("Looked up a conversation of yours, without its text"),
    "quality.opened": gettext_lazy("Judged a reply of yours, drawn for review, without being told whose it is"),
    "feedback.shown": gettext_lazy("Read a comment of yours on a reply"),
    "handover.shown": gettext_lazy("Opened your request for a person"),
    "moderationitem.shown": gettext_lazy("Looked at what was noted about a message of yours"),
    "user.shown": gettext_lazy("Opened your account"),
    "apikey.shown": gettext_lazy("Looked at an API key of yours; not at the key itself"),
    "refreshfamily.shown": gettext_lazy("Looked at where a program of yours is signed in"),
    "datarequest.shown": gettext_lazy("Looked at what you asked for about your data"),
    "figures.read": gettext_lazy("Looked at figures of how you use this site"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """``who`` is a name, or "" for somebody who is gone; ``conversation`` the id of the one that was opened, or ""."""

    entry: AuditEntry
    what: str
    who: str
    role: str
    conversation: str


def looks_at(person: User) -> list[Look]:
    """The newest 200 times that somebody else looked at what is the person's, newest first. Two queries."""
    entries = events_about(person, actions=list(LOOKED_AT), others=True, most=MOST)
    return [_look(entry) for entry in entries]


def _look(entry: AuditEntry) -> Look:
    role = Role(entry.role).label if entry.role in Role.values else _("staff")
    is_conversation = entry.object_type == "conversations.conversation"
    return Look(
        entry=entry,
        what=str(LOOKED_AT[entry.action]),
        who=entry.actor,
        role=str(role),
        conversation=entry.object_id if is_conversation else "",
    )
