"""Everything that writes a conversation, each in one transaction; who may do it is decided here, for every surface.

Another person's object answers as an absent one, and that is recorded. Doorbells ring only after commit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audience import visibilities_for
from accounts.models import User
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.text import clean_text, shorten
from conversations import doorbell, events
from conversations.models import Conversation, Feedback, Message
from conversations.refusals import recorded
from conversations.signals import reply_disliked
from conversations.store import find_persona_version, insert_conversation, insert_messages, lock_conversation
from conversations.transcript import conversation_info, load_citations
from personas.models import PersonaVersion

TITLE_LENGTH = 60
MAX_LIVE_REPLIES = 20  # of one person: what waits or streams in all of their conversations


@dataclass(frozen=True, slots=True)
class Accepted:
    """What one command stored: the question, the reply that is queued for it, and their conversation.

    ``again`` where it was stored by an earlier call: the conversation may have gone on since.
    """

    conversation: Conversation
    question: Message
    reply: Message
    again: bool = False


# --- asking


@recorded
def send_message(
    *,
    user: User,
    client_id: str,
    text: str,
    conversation_id: UUID | None = None,
    persona_slug: str | None = None,
    parent_id: UUID | None = None,
) -> Accepted:
    """Store a question and queue its reply, in ``conversation_id`` or in a new conversation with ``persona_slug``.

    The same ``client_id`` again gives what the first call stored. Raises ApplicationError: ``empty_text``,
    ``not_found``, ``reply_in_progress`` (the branch's last reply is still live), ``too_many_replies``.
    """

    def store() -> Accepted:
        words = _checked_text(text)
        if conversation_id is None:
            return _start_conversation(user, client_id, words, persona_slug)
        conversation = _locked_to_ask(user, conversation_id)
        parent = conversation.active_leaf if parent_id is None else _message(conversation, parent_id)
        if parent is not None and parent.role != Message.Role.ASSISTANT:
            raise ApplicationError("bad_parent", _("A question follows a reply."))
        _refuse_while_live(parent)
        return _ask(conversation, client_id, words, parent)

    return _once(user, client_id, store)


@recorded
def edit_message(*, user: User, client_id: str, message_id: UUID, text: str) -> Accepted:
    """Ask the question ``message_id`` anew in other words: a branch beside it, which becomes the active one."""

    def store() -> Accepted:
        words = _checked_text(text)
        question = _find(user, message_id, Message.Role.USER)
        conversation = _locked_to_ask(user, question.conversation_id)
        _refuse_while_live(conversation.active_leaf)
        return _ask(conversation, client_id, words, question.parent)

    return _once(user, client_id, store)


@recorded
def regenerate_reply(*, user: User, client_id: str, reply_id: UUID) -> Accepted:
    """Queue another reply to the question that ``reply_id`` answered: a branch beside it."""

    def store() -> Accepted:
        old = _find(user, reply_id, Message.Role.ASSISTANT)
        conversation = _locked_to_ask(user, old.conversation_id)
        _refuse_while_live(conversation.active_leaf)
        if old.parent is None:
            raise NotFound
        reply = _new_reply(conversation, old.parent, client_id=client_id)
        return _save(conversation, old.parent, reply, [reply])

    return _once(user, client_id, store)


@recorded
def continue_reply(*, user: User, client_id: str, reply_id: UUID) -> Accepted:
    """Queue ``reply_id`` again so that it goes on behind the text it has. Once it waits, asking again changes nothing.

    Raises ApplicationError ``not_continuable`` where it neither was cut nor ran into its limit.
    """
    with transaction.atomic():
        found = _find(user, reply_id, Message.Role.ASSISTANT)
        conversation, live_replies = _locked(user, found.conversation_id)
        reply = Message.objects.select_related("parent").get(pk=found.pk)
        if reply.parent is None:
            raise NotFound
        again = reply.is_live
        if not again:
            _check_continuable(reply)
            _check_room(live_replies)
            _refuse_while_live(conversation.active_leaf)
            now = timezone.now()
            reply.status, reply.queued_at, reply.finished_at = Message.Status.QUEUED, now, None
            reply.stop_requested, reply.error_code, reply.finish_reason = False, "", ""
            reply.save()
            _move_to(conversation, reply)
            conversation.save(update_fields=["active_leaf", "updated_at", "revision"])
            _announce(conversation, client_id, reply_waits=True)
        return Accepted(conversation, reply.parent, reply, again)


@recorded
def request_stop(*, user: User, reply_id: UUID) -> Message:
    """Ask for the end of a reply. One that still waits is stopped here and now; a streaming one by its worker.

    Returns the reply as it is then. Raises NotFound. Asking for a reply that has ended changes nothing.
    """
    with transaction.atomic():
        reply = Message.objects.visible_to(user).replies().select_for_update(of=("self",)).filter(pk=reply_id).first()
        if reply is None:
            raise NotFound
        if reply.status == Message.Status.QUEUED:
            reply.status, reply.finished_at = Message.Status.STOPPED, timezone.now()
            reply.finish_reason, reply.epoch = "stop_requested", reply.epoch + 1
            reply.save(update_fields=["status", "finished_at", "finish_reason", "epoch"])
        elif reply.status == Message.Status.STREAMING and not reply.stop_requested:
            reply.stop_requested = True
            reply.save(update_fields=["stop_requested"])
    if reply.status == Message.Status.STREAMING:
        doorbell.ask_to_stop(reply.pk)
    else:
        load_citations([reply])
    return reply


# --- the conversation itself


@recorded
def rename_conversation(*, user: User, conversation_id: UUID, title: str) -> Conversation:
    """Give it a title of its person's own, which no model replaces. Raises ``empty_title``, NotFound."""
    title = shorten(clean_text(title), 120)
    if not title:
        raise ApplicationError("empty_title", _("A title needs at least one character."))
    return _change(user, conversation_id, title=title, title_source=Conversation.TitleSource.PERSON)


@recorded
def set_pinned(*, user: User, conversation_id: UUID, pinned: bool) -> Conversation:
    """Keep it at the top of the list, or no longer."""
    return _change(user, conversation_id, pinned=pinned)


@recorded
def set_archived(*, user: User, conversation_id: UUID, archived: bool) -> Conversation:
    """Move it out of the list, or back."""
    return _change(user, conversation_id, archived_at=timezone.now() if archived else None)


@recorded
def delete_conversation(*, user: User, conversation_id: UUID) -> Conversation:
    """Hide it at once, ending what still streams. Until it is purged, ``restore_conversation`` undoes it."""
    with transaction.atomic():
        conversation = _change(user, conversation_id, deleted_at=timezone.now())
        live = list(Message.objects.filter(conversation=conversation, status__in=Message.LIVE))
        Message.objects.filter(pk__in=[m.pk for m in live], status=Message.Status.STREAMING).update(stop_requested=True)
        Message.objects.filter(pk__in=[m.pk for m in live], status=Message.Status.QUEUED).update(
            status=Message.Status.STOPPED, finished_at=timezone.now(), epoch=F("epoch") + 1
        )
        for reply in live:
            transaction.on_commit(partial(doorbell.ask_to_stop, reply.pk))
        return conversation


@recorded
def restore_conversation(*, user: User, conversation_id: UUID) -> Conversation:
    """Undo a deletion. Raises NotFound where it was purged or never there."""
    return _change(user, conversation_id, deleted_at=None, among=Conversation.objects.filter(owner=user))


@recorded
def select_branch(*, user: User, conversation_id: UUID, message_id: UUID) -> Conversation:
    """Show the branch that goes through ``message_id``: its newest leaf becomes the active one."""
    with transaction.atomic():
        if not Message.objects.visible_to(user).filter(conversation=conversation_id, pk=message_id).exists():
            raise NotFound
        return _change(user, conversation_id, active_leaf_id=_newest_leaf(message_id))


@recorded
def touch_conversation(*, user: User, conversation_id: UUID) -> Conversation:
    """Something about it changed elsewhere: open pages look again."""
    return _change(user, conversation_id)


@recorded
def give_feedback(*, user: User, message_id: UUID, value: int, comment: str = "") -> None:
    """Record what the person thinks of a reply: 1, -1, or 0 to take it back. Raises NotFound, ``bad_feedback``."""
    reply = _find(user, message_id, Message.Role.ASSISTANT)
    if value not in (1, 0, -1):
        raise ApplicationError("bad_feedback", _("Feedback is 1, -1 or 0."))
    if value == 0:
        Feedback.objects.filter(message=reply).delete()
        return
    with transaction.atomic():
        Feedback.objects.update_or_create(
            message=reply, defaults={"value": value, "comment": clean_text(comment)[:2000].strip()}
        )
        if value < 0:
            transaction.on_commit(partial(reply_disliked.send, Message, reply=reply.pk))


# --- parts


def _once(user: User, client_id: str, store: Callable[[], Accepted]) -> Accepted:
    """``store()`` in a transaction; where it is refused, what ``client_id`` stored before, if it did."""
    try:
        with transaction.atomic():
            return store()
    except (IntegrityError, ApplicationError):
        accepted = _stored_before(user, client_id)
        if accepted is None:
            raise
        return accepted


def _stored_before(user: User, client_id: str) -> Accepted | None:
    found = (
        Message.objects.filter(owner=user, client_id=client_id)
        .select_related("conversation__persona_version__persona", "parent")
        .first()
    )
    if found is None:
        return None
    if found.role == Message.Role.ASSISTANT:
        return Accepted(found.conversation, found.parent, found, again=True) if found.parent else None
    reply = found.children.order_by("created_at", "pk").first()
    return Accepted(found.conversation, found, reply, again=True) if reply else None


def _checked_text(text: str) -> str:
    cleaned = clean_text(text).strip()
    if not cleaned:
        raise ApplicationError("empty_text", _("A message needs some text."))
    return cleaned


def _locked(user: User, conversation_id: UUID) -> tuple[Conversation, int]:
    """The person's conversation with its persona and active leaf, its row locked: one writer at a time; and how many
    replies the person has under way. Raises NotFound."""
    found = lock_conversation(user.pk, conversation_id)
    if found is None:
        raise NotFound
    return found


def _locked_to_ask(user: User, conversation_id: UUID) -> Conversation:
    """The same where a reply will be added. Raises ``too_many_replies``."""
    conversation, live_replies = _locked(user, conversation_id)
    _check_room(live_replies)
    return conversation


def _find(user: User, message_id: UUID, role: str) -> Message:
    found = Message.objects.visible_to(user).select_related("parent").filter(pk=message_id, role=role).first()
    if found is None:
        raise NotFound
    return found


def _message(conversation: Conversation, message_id: UUID) -> Message:
    found = Message.objects.filter(conversation=conversation, pk=message_id).first()
    if found is None:
        raise NotFound
    return found


def _refuse_while_live(leaf: Message | None) -> None:
    if leaf is not None and leaf.is_live:
        raise ApplicationError("reply_in_progress", _("Wait for the reply, or stop it first."), status=409)


def _check_continuable(reply: Message) -> None:
    cut = reply.status in (Message.Status.INTERRUPTED, Message.Status.STOPPED)
    if (not cut and reply.finish_reason != "length") or reply.children.exists():
        raise ApplicationError("not_continuable", _("This reply is whole: there is nothing to continue."), status=409)


def _check_room(live_replies: int) -> None:
    if live_replies >= MAX_LIVE_REPLIES:
        detail = _("Too many replies are under way. Wait for one to end.")
        raise ApplicationError("too_many_replies", detail, status=429)


def _start_conversation(user: User, client_id: str, text: str, persona_slug: str | None) -> Accepted:
    found = find_persona_version(user.pk, visibilities_for(user), persona_slug)
    if found is None:
        raise NotFound(_("There is no such persona."))
    version, live_replies = found
    _check_room(live_replies)
    conversation = Conversation(owner=user, persona_version=version, title=shorten(text, TITLE_LENGTH))
    question, reply = _exchange(conversation, client_id, text, None)
    conversation.active_leaf_id = reply.pk
    insert_conversation(conversation, [question, reply])
    _announce(conversation, client_id, reply_waits=True)
    return Accepted(conversation, question, reply)


def _ask(conversation: Conversation, client_id: str, text: str, parent: Message | None) -> Accepted:
    question, reply = _exchange(conversation, client_id, text, parent)
    return _save(conversation, question, reply, [question, reply])


def _exchange(conversation: Conversation, client_id: str, text: str, parent: Message | None) -> tuple[Message, Message]:
    question = Message(
        conversation=conversation,
        owner_id=conversation.owner_id,
        parent=parent,
        role=Message.Role.USER,
        status=Message.Status.SENT,
        text=text,
        client_id=client_id,
    )
    return question, _new_reply(conversation, question)


def _new_reply(conversation: Conversation, question: Message, client_id: str | None = None) -> Message:
    return Message(
        id=uuid7(),
        conversation=conversation,
        owner_id=conversation.owner_id,
        parent=question,
        role=Message.Role.ASSISTANT,
        status=Message.Status.QUEUED,
        client_id=client_id,
        provider=model_of(conversation.persona_version).partition("/")[0],
        queued_at=timezone.now(),
    )


def model_of(version: PersonaVersion) -> str:
    """The model that a persona's version asks, as ``provider/name``."""
    return version.model or settings.DEFAULT_MODEL


def _save(conversation: Conversation, question: Message, reply: Message, new: list[Message]) -> Accepted:
    _move_to(conversation, reply)
    insert_messages(conversation, new)
    _announce(conversation, new[0].client_id or "", reply_waits=True)
    return Accepted(conversation, question, reply)


def _move_to(conversation: Conversation, leaf: Message) -> None:
    """Note the activity: the new active leaf, the list's order, and a revision that open pages compare."""
    conversation.active_leaf = leaf
    conversation.updated_at = timezone.now()
    conversation.revision += 1


def _announce(conversation: Conversation, client_id: str = "", *, reply_waits: bool = False) -> None:
    event = events.ConversationUpdated(conversation=conversation_info(conversation), client_id=client_id)
    transaction.on_commit(partial(doorbell.tell_user, conversation.owner_id, event, reply_waits=reply_waits))


def _change(user: User, conversation_id: UUID, *, among: Any = None, **fields: Any) -> Conversation:
    with transaction.atomic():
        visible = Conversation.objects.visible_to(user) if among is None else among
        rows = visible.select_for_update(of=("self",)).select_related("persona_version__persona")
        conversation: Conversation | None = rows.filter(pk=conversation_id).first()
        if conversation is None:
            raise NotFound
        for name, value in fields.items():
            setattr(conversation, name, value)
        conversation.revision += 1
        conversation.save(update_fields=[*fields, "revision"])
        _announce(conversation)
        return conversation


def _newest_leaf(message_id: UUID) -> UUID:
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
