"""A conversation as it is shown: the newest messages of its active branch, and where other branches leave it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from chatbot_project.lib import markdown
from conversations.events import CitationInfo, ConversationInfo, MessageInfo, OfferInfo, UsageInfo
from conversations.models import Citation, Conversation, Message

_NO_BOUND = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Transcript:
    """A page of messages, oldest first; ``more`` where the branch has older ones."""

    messages: list[MessageInfo]
    more: bool


def conversation_info(conversation: Conversation) -> ConversationInfo:
    """Its line in the list. Reads persona_version and persona: select them with the conversation."""
    version = conversation.persona_version
    return ConversationInfo(
        id=conversation.pk,
        title=conversation.title,
        persona=version.persona.slug,
        persona_name=version.name,
        persona_emoji=version.emoji,
        pinned=conversation.pinned,
        archived=conversation.archived_at is not None,
        deleted=conversation.deleted_at is not None,
        updated_at=conversation.updated_at,
        revision=conversation.revision,
    )


def read_transcript(conversation: Conversation, *, limit: int = 50, before: UUID | None = None) -> Transcript:
    """The last ``limit`` messages of the active branch, or of those before ``before``. Three queries, and one more
    where the FAQ was asked for any of them.

    A ``before`` that is not of this conversation gives an empty page.
    """
    rows, more = read_branch(conversation.pk, conversation.active_leaf_id, limit=limit, before=before)
    return Transcript([message_info(row) for row in rows], more)


def read_branch(
    conversation_id: UUID, leaf: UUID | None, *, limit: int, before: UUID | None = None
) -> tuple[list[Message], bool]:
    """The last ``limit`` messages of the branch that ends in ``leaf``, or of those before ``before``: oldest first, as
    ``message_info`` takes them; and whether the branch has older ones. As many queries as ``read_transcript``."""
    start = before or leaf
    ids = _path_up(conversation_id, start, limit + (2 if before else 1)) if start else []
    if before:
        ids = ids[1:]
    by_id = {row.pk: row for row in Message.objects.filter(pk__in=ids[:limit]).select_related("feedback")}
    rows = [by_id[pk] for pk in reversed(ids[:limit]) if pk in by_id]
    load_shown(conversation_id, rows)
    return rows, len(ids) > limit


def branch_ids(conversation_id: UUID, leaf: UUID | None) -> list[UUID]:
    """All messages of the branch that ends in ``leaf``, from the first question on. One query."""
    return _path_up(conversation_id, leaf, _NO_BOUND)[::-1] if leaf else []


def read_messages(ids: Sequence[UUID]) -> list[Message]:
    """The messages of these ids that there are, in that order, with citations and opinion. Up to two queries."""
    by_id = {row.pk: row for row in Message.objects.filter(pk__in=ids).select_related("feedback")}
    rows = [by_id[pk] for pk in ids if pk in by_id]
    load_citations(rows)
    for row in rows:
        row.opinion = getattr(row, "feedback", None)
    return rows


def load_shown(conversation_id: UUID, messages: list[Message]) -> None:
    """Read what ``message_info`` tells of ``messages`` beside their own columns. They are of one conversation, their
    feedback selected with them. One query, and one more where the FAQ was asked for any of them."""
    load_citations(messages)
    siblings = _siblings(conversation_id, messages)
    for message in messages:
        message.beside = siblings[message.parent_id]
        message.opinion = getattr(message, "feedback", None)


def load_citations(messages: Iterable[Message]) -> None:
    """Read what ``messages`` cite into ``cited``. One query, none where the FAQ was asked for none of them."""
    asked = {message.pk: message for message in messages if message.source}
    if not asked:
        return
    found: dict[UUID, list[Citation]] = defaultdict(list)
    for citation in Citation.objects.filter(message__in=asked).order_by("number"):
        found[citation.message_id].append(citation)
    for pk, message in asked.items():
        message.cited = found[pk]


def citation_infos(message: Message) -> list[CitationInfo]:
    """What the reply cites, as clients get it; nothing before ``load_citations``."""
    return [CitationInfo(c.number, c.faq_id, c.question) for c in message.cited]


def offer_infos(message: Message) -> list[OfferInfo]:
    """What is offered below the reply, as clients get it."""
    return [OfferInfo(**offer) for offer in message.offers or ()]


def usage_info(message: Message) -> UsageInfo | None:
    """The tokens that a reply took, as clients get them; None where no model was asked or none ended yet."""
    if message.prompt_tokens is None or message.completion_tokens is None:
        return None
    return UsageInfo(message.prompt_tokens, message.completion_tokens, message.usage_estimated)


def message_info(message: Message, *, with_html: bool = True) -> MessageInfo:
    """The message as clients get it; ``html`` is rendered for replies that have ended, unless it is not wanted. Queries
    nothing: what is not the message's own is told after ``load_shown``."""
    is_reply = message.role == Message.Role.ASSISTANT
    feedback = message.opinion
    return MessageInfo(
        id=message.pk,
        parent=message.parent_id,
        role="assistant" if is_reply else "user",
        status=message.status,
        text=message.text,
        html=markdown.render(message.text) if with_html and is_reply and not message.is_live else "",
        epoch=message.epoch,
        seq=len(message.text),
        siblings=list(message.beside) or [message.pk],
        created_at=message.created_at,
        feedback=feedback.value if feedback else 0,
        feedback_comment=feedback.comment if feedback else "",
        finish_reason=message.finish_reason,
        code=message.error_code,
        model=message.model,
        client_id=message.client_id or "",
        source=message.source or "",
        citations=citation_infos(message),
        offers=offer_infos(message),
        cached_at=message.cached_at,
    )


def _path_up(conversation_id: UUID, leaf_id: UUID, count: int) -> list[UUID]:
    """Ids from ``leaf_id`` up to ``count`` messages towards the root. One query, bounded by ``count``."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE path(id, parent_id, depth) AS (
                SELECT id, parent_id, 1 FROM conversations_message WHERE id = %s AND conversation_id = %s
                UNION ALL
                SELECT m.id, m.parent_id, p.depth + 1
                FROM path p JOIN conversations_message m ON m.id = p.parent_id WHERE p.depth < %s
            )
            SELECT id FROM path ORDER BY depth
            """,
            [leaf_id, conversation_id, count],
        )
        return [row[0] for row in cursor.fetchall()]


def _siblings(conversation_id: UUID, messages: list[Message]) -> dict[UUID | None, list[UUID]]:
    """For each parent among ``messages``: its children in order of creation. The root's parent is None."""
    found: dict[UUID | None, list[UUID]] = defaultdict(list)
    parents = [m.parent_id for m in messages if m.parent_id]
    children = Message.objects.filter(parent_id__in=parents)
    if any(m.parent_id is None for m in messages):
        children |= Message.objects.filter(conversation_id=conversation_id, parent_id=None)
    for pk, parent_id in children.order_by("created_at", "pk").values_list("pk", "parent_id"):
        found[parent_id].append(pk)
    return found
