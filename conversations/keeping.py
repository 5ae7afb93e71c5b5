"""What a person does with a conversation beside asking: begin it empty, change what it is called and where it stands,
delete it and take that back. Each in one transaction.

Another person's object answers as an absent one, and that is recorded. Doorbells ring only after commit.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, TypedDict, Unpack
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audience import visibilities_for
from accounts.models import User
from accounts.retention.policies import Class, kept_since
from chatbot_project.lib import tracing
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.text import clean_text, shorten
from conversations import doorbell, events
from conversations.models import Conversation, ConversationQuerySet, Message
from conversations.refusals import recorded
from conversations.store import find_persona_version
from conversations.transcript import conversation_info

log = structlog.get_logger(__name__)

MAX_TITLE = 120
#: Refuses a change by raising; called with the conversation as it stands, under the lock under which it is changed.
Check = Callable[[Conversation], None]


class Changes(TypedDict, total=False):
    """What ``change_conversation`` sets. ``metadata`` replaces all there is."""

    title: str
    pinned: bool
    archived: bool
    metadata: Mapping[str, str]


def create_conversation(
    *, user: User, persona_slug: str | None = None, title: str = "", metadata: Mapping[str, str] | None = None
) -> Conversation:
    """Begin one without a message, as programs do, with the persona of that slug or the first there is. Without a title
    of its own it gets the first question's. Raises ``empty_title``, NotFound where the person may not see the persona.
    """
    found = find_persona_version(user.pk, visibilities_for(user), persona_slug)
    if found is None:
        raise NotFound(_("There is no such persona."))
    version, _room = found
    with transaction.atomic():
        conversation = Conversation(
            owner=user,
            persona_version=version,
            title=_("New chat"),
            metadata=metadata or None,
            channel=Conversation.Channel.API,
        )
        if title:
            conversation.title, conversation.title_source = _checked_title(title), Conversation.TitleSource.PERSON
        conversation.save(force_insert=True)
        announce(conversation)
        return conversation


@recorded
def change_conversation(
    *, user: User, conversation_id: UUID, check: Check | None = None, **changes: Unpack[Changes]
) -> Conversation:
    """Set what ``changes`` names. A title of its person's own no model replaces. What changes nothing raises no
    revision. Raises ``empty_title``, NotFound, and what ``check`` raises."""
    with transaction.atomic():
        conversation = _locked(Conversation.objects.visible_to(user), conversation_id)
        if check is not None:
            check(conversation)
        _set(conversation, _fields(changes, conversation))
        return conversation


@recorded
def delete_conversation(*, user: User, conversation_id: UUID, check: Check | None = None) -> Conversation:
    """Hide it at once, ending what still streams. For some days, one by default, ``restore_conversation`` undoes it.

    Raises NotFound, and what ``check`` raises.
    """
    with transaction.atomic():
        conversation = _locked(Conversation.objects.visible_to(user), conversation_id)
        if check is not None:
            check(conversation)
        _set(conversation, {"deleted_at": timezone.now()})
        _end_replies(user, [conversation.pk])
        return conversation


@recorded
def restore_conversation(*, user: User, conversation_id: UUID) -> Conversation:
    """Undo a deletion. Raises NotFound where that is too late, or it was never there."""
    with transaction.atomic():
        theirs = Conversation.objects.filter(owner=user).kept()
        in_time = Q(deleted_at=None) | Q(deleted_at__gt=kept_since(Class.DELETED))
        conversation = _locked(theirs.filter(in_time), conversation_id)
        if conversation.deleted_at is not None:
            _set(conversation, {"deleted_at": None})
        return conversation


def clear_conversations(*, user: User, archived_only: bool = False) -> int:
    """Delete all of the person's conversations, or those that are archived, as ``delete_conversation`` does; returns
    how many. Three statements, however many there are."""
    with transaction.atomic():
        found = Conversation.objects.visible_to(user)
        if archived_only:
            found = found.filter(archived_at__isnull=False)
        # In one order, so that two at once wait for each other and do not block each other for good.
        ids = list(found.order_by("pk").select_for_update().values_list("pk", flat=True))
        if ids:
            Conversation.objects.filter(pk__in=ids).update(deleted_at=timezone.now(), revision=F("revision") + 1)
            _end_replies(user, ids)
            transaction.on_commit(partial(doorbell.tell_user, user.pk, events.ConversationsCleared()))
        return len(ids)


@recorded
def select_branch(*, user: User, conversation_id: UUID, message_id: UUID) -> Conversation:
    """Show the branch that goes through ``message_id``: its newest leaf becomes the active one."""
    with transaction.atomic():
        if not Message.objects.visible_to(user).filter(conversation=conversation_id, pk=message_id).exists():
            raise NotFound
        conversation = _locked(Conversation.objects.visible_to(user), conversation_id)
        _set(conversation, {"active_leaf_id": newest_leaf(message_id)}, always=True)
        return conversation


@recorded
def touch_conversation(*, user: User, conversation_id: UUID) -> Conversation:
    """Something about it changed elsewhere: open pages look again."""
    with transaction.atomic():
        conversation = _locked(Conversation.objects.visible_to(user), conversation_id)
        _set(conversation, {}, always=True)
        return conversation


def announce(
    conversation: Conversation, client_id: str = "", *, reply_waits: bool = False, again: bool = False
) -> None:
    """Once this is committed, tell the person's open pages; with ``reply_waits``, the workers as well: of the active
    leaf, which goes on where that is ``again``."""
    event = events.ConversationUpdated(conversation=conversation_info(conversation), client_id=client_id)
    transaction.on_commit(partial(doorbell.tell_user, conversation.owner_id, event, reply_waits=reply_waits))
    if reply_waits and conversation.active_leaf_id is not None:
        note_accepted(conversation.pk, conversation.active_leaf_id, again=again)


def note_accepted(conversation: UUID, reply: UUID, *, again: bool = False) -> None:
    """Once this is committed, log and trace which reply the request at hand has queued: what leads from one to the
    other. ``again`` for a reply that goes on behind the text it has."""

    def note() -> None:
        log.info("question.accepted", conversation=str(conversation), reply=str(reply))
        tracing.question_accepted(reply, again=again)

    transaction.on_commit(note)


def newest_leaf(message_id: UUID) -> UUID:
    """The newest message below ``message_id`` or itself; a child is newer than its parent, so it is a leaf."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE below(id, created_at) AS (
                SELECT id, created_at FROM conversations_message WHERE id = %s
                UNION ALL
                SELECT m.id, m.created_at FROM below b JOIN conversations_message m ON m.parent_id = b.id
            )
            SELECT id FROM below ORDER BY created_at DESC, id DESC LIMIT 1
            """,
            [message_id],
        )
        row = cursor.fetchone()
    return row[0] if row else message_id


def _checked_title(title: str) -> str:
    title = shorten(clean_text(title), MAX_TITLE)
    if not title:
        raise ApplicationError("empty_title", _("A title needs at least one character."))
    return title


def _fields(changes: Changes, conversation: Conversation) -> dict[str, Any]:
    """The columns in which ``changes`` differs from what is."""
    fields: dict[str, Any] = {}
    if "title" in changes and (title := _checked_title(changes["title"])) != conversation.title:
        fields |= {"title": title, "title_source": Conversation.TitleSource.PERSON}
    if "pinned" in changes and changes["pinned"] != conversation.pinned:
        fields["pinned"] = changes["pinned"]
    if "archived" in changes and changes["archived"] != (conversation.archived_at is not None):
        fields["archived_at"] = timezone.now() if changes["archived"] else None
    if "metadata" in changes and dict(changes["metadata"]) != (conversation.metadata or {}):
        fields["metadata"] = dict(changes["metadata"]) or None
    return fields


def _locked(among: ConversationQuerySet, conversation_id: UUID) -> Conversation:
    """The conversation with its persona, its row locked. Raises NotFound."""
    rows = among.select_for_update(of=("self",)).select_related("persona_version__persona")
    found = rows.filter(pk=conversation_id).first()
    if found is None:
        raise NotFound
    return found


def _set(conversation: Conversation, fields: Mapping[str, Any], *, always: bool = False) -> None:
    """Store ``fields`` with a new revision, and tell the person's open pages; nothing where there are none, unless
    ``always``."""
    if not fields and not always:
        return
    for name, value in fields.items():
        setattr(conversation, name, value)
    conversation.revision += 1
    conversation.save(update_fields=[*fields, "revision"])
    announce(conversation)


def _end_replies(user: User, conversations: Collection[UUID]) -> None:
    """Stop what waits or streams in these conversations of ``user``. Their rows are locked, so nothing is added; one
    statement, as a reply may be claimed or given back at any moment."""
    gone = set(conversations)
    live = Message.objects.filter(owner=user, status__in=Message.LIVE).values_list("pk", "conversation_id")
    ids = [pk for pk, conversation_id in live if conversation_id in gone]
    if not ids:
        return
    waits = Q(status=Message.Status.QUEUED)
    Message.objects.filter(pk__in=ids, status__in=Message.LIVE).update(
        stop_requested=True,
        status=Case(When(waits, then=Value(Message.Status.STOPPED)), default=F("status")),
        finished_at=Case(When(waits, then=Value(timezone.now())), default=F("finished_at")),
        epoch=F("epoch") + Case(When(waits, then=1), default=0),
    )
    for pk in ids:
        transaction.on_commit(partial(doorbell.ask_to_stop, pk))
