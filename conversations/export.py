"""A conversation as a file, JSON or Markdown, piece by piece: what is held at a time is bounded, however long it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from msgspec import to_builtins

from chatbot_project.lib.quoting import escaped, quoted
from conversations.api.serializers import ConversationSerializer
from conversations.models import Conversation, Message
from conversations.transcript import branch_ids, message_info, read_messages, usage_info

BATCH = 100
FORMAT = "nono.conversation/1"
MESSAGE_FIELDS = (
    *("id", "parent", "role", "status", "text", "created_at", "finish_reason", "code", "model"),
    *("feedback", "feedback_comment", "source", "citations"),
)


@dataclass(frozen=True, slots=True)
class Export:
    """What goes into the file: ``ids`` of messages, oldest first, as it is known at the beginning."""

    conversation: Conversation
    ids: Sequence[UUID]
    is_whole_tree: bool = False
    at: datetime = field(default_factory=timezone.now)

    @classmethod
    def of(cls, conversation: Conversation, *, whole_tree: bool = False) -> "Export":
        """The branch that is shown, or all branches. One query."""
        if whole_tree:
            rows = Message.objects.filter(conversation=conversation).order_by("created_at", "pk")
            return cls(conversation, list(rows.values_list("pk", flat=True)), is_whole_tree=True)
        return cls(conversation, branch_ids(conversation.pk, conversation.active_leaf_id))

    def filename(self, extension: str) -> str:
        """Made of the title: letters, digits and hyphens of any script, short enough for every file system."""
        words = slugify(self.conversation.title, allow_unicode=True).replace("_", "-")[:50].strip("-")
        return "-".join(filter(None, ("nono", words, f"{self.at:%Y-%m-%d}"))) + f".{extension}"

    def batches(self) -> Iterator[list[Message]]:
        """The messages in order. Two queries a batch."""
        for start in range(0, len(self.ids), BATCH):
            yield read_messages(self.ids[start : start + BATCH])


# --- JSON


def as_json(export: Export) -> Iterator[str]:
    """One JSON object, whose ``messages`` come last."""
    head = {
        "format": FORMAT,
        "exported_at": export.at,
        "branches": "all" if export.is_whole_tree else "active",
        "conversation": dict(ConversationSerializer(export.conversation).data),
    }
    yield f'{json.dumps(to_builtins(head), ensure_ascii=False)[:-1]}, "messages": ['
    first = True
    for batch in export.batches():
        lines = ",\n".join(json.dumps(exported_message(row), ensure_ascii=False) for row in batch)
        if lines:
            yield ("\n" if first else ",\n") + lines
            first = False
    yield "\n]}\n"


def exported_message(message: Message) -> dict[str, Any]:
    """A message as the file has it: what is told elsewhere as well, without what only a page needs."""
    told = to_builtins(message_info(message, with_html=False))
    return {**{name: told[name] for name in MESSAGE_FIELDS}, "usage": to_builtins(usage_info(message))}


# --- Markdown


def as_markdown(export: Export) -> Iterator[str]:
    """A document with a heading for each message, whose text stands in a quote that it cannot leave.

    Call it in the person's language: the words are taken at once, the messages when they are asked for.
    """
    conversation = export.conversation
    persona = conversation.persona_version.name
    asked, answered = escaped(_("You")), escaped(persona)
    states: Mapping[str, str] = {
        Message.Status.QUEUED: _("This reply is not written yet."),
        Message.Status.STREAMING: _("This reply was being written."),
        Message.Status.STOPPED: _("You stopped this reply."),
        Message.Status.INTERRUPTED: _("This reply was interrupted. What arrived is kept."),
        Message.Status.FAILED: _("No reply could be made."),
    }
    sources = _("Sources")
    head = f"# {escaped(conversation.title)}\n\n{answered} · {_moment(export.at)}\n"

    def parts() -> Iterator[str]:
        yield head
        for batch in export.batches():
            yield "".join(section(row) for row in batch)

    def section(row: Message) -> str:
        who = asked if row.role == Message.Role.USER else answered
        lines = [f"\n## {who} · {_moment(row.created_at)}\n"]
        if row.text:
            lines.append(f"\n{quoted(row.text)}\n")
        if row.status in states:
            lines.append(f"\n*{escaped(states[row.status])}*\n")
        if row.cited:
            cited = "".join(f"- \\[{each.number}\\] {escaped(each.question)}\n" for each in row.cited)
            lines.append(f"\n{sources}:\n\n{cited}")
        return "".join(lines)

    return parts()


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
