"""Everything that writes messages, each in one transaction; who may do it is decided here, for every surface. What is
done with conversations as a whole is in keeping.py.

Another person's object answers as an absent one, and that is recorded. Doorbells ring only after commit.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audience import visibilities_for
from accounts.models import User
from chatbot_project.lib.correlation import bound_ids
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.text import clean_text, shorten
from conversations import doorbell
from conversations.busy import refuse_if_busy
from conversations.keeping import announce
from conversations.models import Conversation, Feedback, Message
from conversations.refusals import recorded
from conversations.replies.cache.emptying import forget_reply
from conversations.safety.scores import slow_down
from conversations.signals import figures_changed, reply_disliked
from conversations.store import Room, find_persona_version, insert_conversation, insert_messages, lock_conversation
from conversations.transcript import load_citations
from personas.models import PersonaVersion

TITLE_LENGTH = 60
BLOCKED = "content_blocked"  # the code of a reply that a moderators' rule ended
UNCHECKED = "moderation_unavailable"  # of one that could not be judged where that fails closed
WITHDRAWN = "content_withdrawn"  # of one that was shown before the endpoint condemned it, and was taken back
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
    channel: str | None = None,
    bypass_cache: bool = False,
) -> Accepted:
    """Store a question and queue its reply, in ``conversation_id`` or in a new conversation with ``persona_slug``,
    which keeps the ``channel`` it came by. With ``bypass_cache`` a model is asked, whatever it said before.

    The same ``client_id`` again gives what the first call stored. Raises ApplicationError: ``empty_text``,
    ``not_found``, ``reply_in_progress`` (the branch's last reply is still live), ``too_many_replies``, ``busy``.
    """

    def store() -> Accepted:
        words = checked_text(text)
        if conversation_id is None:
            return _start_conversation(user, client_id, words, persona_slug, channel, bypass_cache=bypass_cache)
        conversation = _locked_to_ask(user, conversation_id)
        parent = conversation.active_leaf if parent_id is None else _message(conversation, parent_id)
        if parent is not None and parent.role != Message.Role.ASSISTANT:
            raise ApplicationError("bad_parent", _("A question follows a reply."))
        _refuse_while_live(parent)
        return _ask(conversation, client_id, words, parent, bypass_cache=bypass_cache)

    return _once(user, client_id, store)


@recorded
def edit_message(*, user: User, client_id: str, message_id: UUID, text: str) -> Accepted:
    """Ask the question ``message_id`` anew in other words: a branch beside it, which becomes the active one."""

    def store() -> Accepted:
        words = checked_text(text)
        question = _find(user, message_id, Message.Role.USER)
        conversation = _locked_to_ask(user, question.conversation_id)
        _refuse_while_live(conversation.active_leaf)
        return _ask(conversation, client_id, words, question.parent)

    return _once(user, client_id, store)


@recorded
def regenerate_reply(*, user: User, client_id: str, reply_id: UUID) -> Accepted:
    """Queue another reply, by a model, to the question that ``reply_id`` answered: a branch beside it."""

    def store() -> Accepted:
        old = _find(user, reply_id, Message.Role.ASSISTANT)
        conversation = _locked_to_ask(user, old.conversation_id)
        _refuse_while_live(conversation.active_leaf)
        if old.parent is None:
            raise NotFound
        reply = _new_reply(conversation, old.parent, client_id=client_id, bypass_cache=True)
        return _save(conversation, old.parent, reply, [reply])

    return _once(user, client_id, store)


@recorded
def continue_reply(*, user: User, client_id: str, reply_id: UUID) -> Accepted:
    """Queue ``reply_id`` again so that it goes on behind the text it has. While it waits or streams, and for the same
    ``client_id`` also afterwards, asking again changes nothing.

    Raises ApplicationError ``not_continuable`` where it neither was cut nor ran into its limit.
    """
    with transaction.atomic():
        found = _find(user, reply_id, Message.Role.ASSISTANT)
        conversation, room = _locked(user, found.conversation_id)
        reply = Message.objects.select_related("parent").get(pk=found.pk)
        if reply.parent is None:
            raise NotFound
        again = reply.is_live or reply.continued_as == client_id
        if not again:
            _check_continuable(reply)
            check_room(user, room, conversation.persona_version)
            _refuse_while_live(conversation.active_leaf)
            now = timezone.now()
            reply.status, reply.queued_at, reply.finished_at = Message.Status.QUEUED, now, None
            reply.stop_requested, reply.error_code, reply.finish_reason = False, "", ""
            reply.continued_as, reply.request_id = client_id, bound_ids().get("request_id")
            reply.bypass_cache = True
            reply.save()
            _move_to(conversation, reply)
            conversation.save(update_fields=["active_leaf", "updated_at", "revision"])
            announce(conversation, client_id, reply_waits=True, again=True)
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


def stop_replies(*, user: User) -> None:
    """Ask for the end of all that waits or streams for ``user``."""
    live = Message.objects.filter(owner=user, role=Message.Role.ASSISTANT, status__in=Message.LIVE)
    for reply_id in live.values_list("pk", flat=True):
        with suppress(NotFound):  # deleted in this very moment, which stops it, too
            request_stop(user=user, reply_id=reply_id)


# --- what a reply is worth


@recorded
def give_feedback(*, user: User, message_id: UUID, value: int, comment: str = "") -> Feedback | None:
    """Record what the person thinks of a reply: 1, -1, or 0 to take it back. Returns what is stored, None where it was
    taken back. Raises NotFound, ``bad_feedback``."""
    reply = _find(user, message_id, Message.Role.ASSISTANT)
    if value not in (1, 0, -1):
        raise ApplicationError("bad_feedback", _("Feedback is 1, -1 or 0."))
    if value == 0:
        with transaction.atomic():
            Feedback.objects.filter(message=reply).delete()
            figures_changed.send(Message, times=[reply.created_at])
        return None
    with transaction.atomic():
        figures_changed.send(Message, times=[reply.created_at])
        given, _is_new = Feedback.objects.update_or_create(
            message=reply, defaults={"value": value, "comment": clean_text(comment)[:2000].strip()}
        )
        if value < 0:
            forget_reply(reply)
            transaction.on_commit(partial(reply_disliked.send, Message, reply=reply.pk))
        return given


# --- parts


def _once(user: User, client_id: str, store: Callable[[], Accepted]) -> Accepted:
    """``store()`` in a transaction; where it is refused, what ``client_id`` stored before, if it did."""
    try:
        with transaction.atomic():
            return store()
    except (IntegrityError, ApplicationError):
        accepted = stored_before(user, client_id)
        if accepted is None:
            raise
        return accepted


def stored_before(user: User, client_id: str) -> Accepted | None:
    """What ``client_id`` stored, if it did."""
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


def continued_before(user: User, client_id: str, reply_id: UUID) -> Accepted | None:
    """The reply that ``client_id`` let go on, if it did."""
    found = (
        Message.objects.visible_to(user)
        .replies()
        .filter(pk=reply_id, continued_as=client_id)
        .select_related("conversation__persona_version__persona", "parent")
        .first()
    )
    return Accepted(found.conversation, found.parent, found, again=True) if found and found.parent else None


def checked_text(text: str) -> str:
    """``text`` as a question is stored. Raises ``empty_text``."""
    cleaned = clean_text(text).strip()
    if not cleaned:
        raise ApplicationError("empty_text", _("A message needs some text."))
    return cleaned


def _locked(user: User, conversation_id: UUID) -> tuple[Conversation, Room]:
    """The person's conversation with its persona and active leaf, its row locked: one writer at a time; and whether the
    person may ask. Raises NotFound."""
    found = lock_conversation(user.pk, conversation_id)
    if found is None:
        raise NotFound
    return found


def _locked_to_ask(user: User, conversation_id: UUID) -> Conversation:
    """The same where a reply will be added. Raises ``too_many_replies``, ``rate_limited``, Busy."""
    conversation, room = _locked(user, conversation_id)
    check_room(user, room, conversation.persona_version)
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
    cut = reply.status in (Message.Status.INTERRUPTED, Message.Status.STOPPED) and reply.error_code != BLOCKED
    if (not cut and reply.finish_reason != "length") or reply.children.exists():
        raise ApplicationError("not_continuable", _("This reply is whole: there is nothing to continue."), status=409)


def check_room(user: User, room: Room, version: PersonaVersion) -> None:
    """Raise ``too_many_replies`` where so many of the person's replies are under way that one more is too much,
    ``rate_limited`` where their violations slow them down, and Busy where ``version``'s provider has too many waiting.
    """
    if room.live >= MAX_LIVE_REPLIES:
        metrics.RATE_LIMITED.labels("replies").inc()
        detail = _("Too many replies are under way. Wait for one to end.")
        raise ApplicationError("too_many_replies", detail, status=429)
    refuse_if_busy(user, room.live, provider_of(version))
    slow_down(user.pk, room.points)


def _start_conversation(
    user: User, client_id: str, text: str, persona_slug: str | None, channel: str | None, *, bypass_cache: bool
) -> Accepted:
    found = find_persona_version(user.pk, visibilities_for(user), persona_slug)
    if found is None:
        raise NotFound(_("There is no such persona."))
    version, room = found
    check_room(user, room, version)
    title = shorten(text, TITLE_LENGTH)
    conversation = Conversation(owner=user, persona_version=version, title=title, channel=channel)
    question, reply = new_exchange(conversation, client_id, text, None, bypass_cache=bypass_cache)
    conversation.active_leaf_id = reply.pk
    insert_conversation(conversation, [question, reply])
    announce(conversation, client_id, reply_waits=True)
    return Accepted(conversation, question, reply)


def _ask(
    conversation: Conversation, client_id: str, text: str, parent: Message | None, *, bypass_cache: bool = False
) -> Accepted:
    if conversation.active_leaf_id is None and conversation.title_source == Conversation.TitleSource.QUESTION:
        conversation.title = shorten(text, TITLE_LENGTH)
        conversation.save(update_fields=["title"])
    question, reply = new_exchange(conversation, client_id, text, parent, bypass_cache=bypass_cache)
    return _save(conversation, question, reply, [question, reply])


def new_exchange(
    conversation: Conversation,
    client_id: str | None,
    text: str,
    parent: Message | None,
    *,
    bypass_cache: bool = False,
) -> tuple[Message, Message]:
    """A question and the queued reply to it, not stored yet."""
    question = Message(
        conversation=conversation,
        owner_id=conversation.owner_id,
        parent=parent,
        role=Message.Role.USER,
        status=Message.Status.SENT,
        text=text,
        client_id=client_id,
    )
    return question, _new_reply(conversation, question, bypass_cache=bypass_cache)


def _new_reply(
    conversation: Conversation, question: Message, client_id: str | None = None, *, bypass_cache: bool = False
) -> Message:
    return Message(
        id=uuid7(),
        conversation=conversation,
        owner_id=conversation.owner_id,
        parent=question,
        role=Message.Role.ASSISTANT,
        status=Message.Status.QUEUED,
        client_id=client_id,
        provider=provider_of(conversation.persona_version),
        queued_at=timezone.now(),
        bypass_cache=bypass_cache or None,
        request_id=bound_ids().get("request_id"),
    )


def model_of(version: PersonaVersion) -> str:
    """The model that a persona's version asks, as ``provider/name``."""
    return version.model or settings.DEFAULT_MODEL


def provider_of(version: PersonaVersion) -> str:
    """Whose slots replies by a persona's version take."""
    return model_of(version).partition("/")[0]


def _save(conversation: Conversation, question: Message, reply: Message, new: list[Message]) -> Accepted:
    _move_to(conversation, reply)
    insert_messages(conversation, new)
    announce(conversation, new[0].client_id or "", reply_waits=True)
    return Accepted(conversation, question, reply)


def _move_to(conversation: Conversation, leaf: Message) -> None:
    """Note the activity: the new active leaf, the list's order, and a revision that open pages compare."""
    conversation.active_leaf = leaf
    conversation.updated_at = timezone.now()
    conversation.revision += 1
