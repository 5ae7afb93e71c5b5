"""Questions of programs that hold the conversation themselves: told whole with each question, answered by one reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audience import visibilities_for
from accounts.models import User
from chatbot_project.lib.api.idempotency import reused
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.llm.tokens import estimate_tokens
from chatbot_project.lib.text import clean_text, shorten
from conversations import doorbell
from conversations.keeping import announce, note_accepted
from conversations.models import Conversation, Message
from conversations.replies.prompt import Turn, cost_of_instructions
from conversations.replies.work import read_version
from conversations.services import (
    TITLE_LENGTH,
    Accepted,
    check_room,
    checked_text,
    new_exchange,
    stored_before,
)
from conversations.store import find_persona_version, insert_conversation, insert_history
from personas.models import ROOM_FOR_A_QUESTION, ROOM_FOR_SOURCES, PersonaVersion


@dataclass(frozen=True, slots=True)
class Asking:
    """What a program asks: the ``question``, the ``history`` before it (oldest first, questions and replies in turn),
    and what it tells the persona beside its own prompt. ``max_tokens`` bounds the reply where it is nearer than the
    persona's bound. ``store`` makes it a conversation in the person's list; else it is in no list, and kept for as long
    as the policy says (Class.PASSING). ``bypass_cache``: a model is asked, also where one has answered the same
    before."""

    question: str
    history: Sequence[Turn] = ()
    instructions: str = ""
    max_tokens: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    store: bool = False
    bypass_cache: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """By what a program asks again without asking twice: ``client_id`` is made of its key alone, ``request`` of the key
    and all that was asked. They are kept as the client_id of the question and of the reply."""

    client_id: str
    request: str


def ask_whole(*, user: User, persona_slug: str, asking: Asking, key: Key | None = None) -> Accepted:
    """Store the conversation that ``asking`` tells and queue a reply to its question, in one transaction.

    The same ``key`` again gives what the first call stored. Raises ApplicationError: ``not_found`` (no such persona for
    this person), ``empty_text``, ``context_length_exceeded``, ``too_many_replies``, and as ``find_asked`` does.
    """
    try:
        with transaction.atomic():
            return _store(user, persona_slug, asking, key)
    except (IntegrityError, ApplicationError):
        accepted = find_asked(user=user, key=key) if key else None
        if accepted is None:
            raise
        return accepted


def find_asked(*, user: User, key: Key) -> Accepted | None:
    """What was stored under ``key``, if anything was. Raises ``idempotency_key_reused`` (422) where that was another
    request."""
    accepted = stored_before(user, key.client_id)
    if accepted is not None and accepted.reply.client_id != key.request:
        raise reused()
    return accepted


def _store(user: User, persona_slug: str, asking: Asking, key: Key | None) -> Accepted:
    text = checked_text(asking.question)
    found = find_persona_version(user.pk, visibilities_for(user), persona_slug) if persona_slug else None
    if found is None:
        raise NotFound(_("There is no such persona."))
    version, room = found
    check_room(user, room, version)
    instructions = clean_text(asking.instructions).strip()
    if instructions:
        _check_fit(read_version(version.pk), instructions, text)
    conversation = Conversation(
        owner=user,
        persona_version=version,
        expires_at=None if asking.store else timezone.now() + timedelta(days=room.in_passing),
        channel=Conversation.Channel.OPENAI,
        metadata={clean_text(name): clean_text(value) for name, value in asking.metadata.items()} or None,
        instructions=instructions or None,
    )
    history = _messages(conversation, asking.history)
    first = next((m.text for m in history if m.role == Message.Role.USER), text)
    conversation.title = shorten(first, TITLE_LENGTH)
    client_id, request = (key.client_id, key.request) if key else (None, None)
    parent = history[-1] if history else None
    question, reply = new_exchange(conversation, client_id, text, parent, bypass_cache=asking.bypass_cache)
    reply.client_id, reply.max_tokens = request, asking.max_tokens
    conversation.active_leaf_id = reply.pk
    if history:
        insert_history(conversation, history)
    insert_conversation(conversation, [question, reply])
    if asking.store:
        announce(conversation, reply_waits=True)
    else:
        transaction.on_commit(doorbell.ring_workers)  # no list shows it
        note_accepted(conversation.pk, reply.pk)
    return Accepted(conversation, question, reply)


def _messages(conversation: Conversation, history: Sequence[Turn]) -> list[Message]:
    """``history`` as messages below each other, all older than now."""
    now = timezone.now()
    messages: list[Message] = []
    for place, turn in enumerate(history):
        is_reply = turn.role == Message.Role.ASSISTANT
        message = Message(
            conversation=conversation,
            owner_id=conversation.owner_id,
            parent=messages[-1] if messages else None,
            role=Message.Role.ASSISTANT if is_reply else Message.Role.USER,
            status=Message.Status.COMPLETED if is_reply else Message.Status.SENT,
            text=clean_text(turn.text).strip(),
            epoch=1 if is_reply else 0,
            created_at=now - timedelta(microseconds=len(history) - place),
        )
        messages.append(message)
    return messages


def _check_fit(version: PersonaVersion, instructions: str, question: str) -> None:
    """Instructions always go to the model, and whole: they have to leave room for the question."""
    needed = estimate_tokens(version.system_prompt) + cost_of_instructions(instructions)
    needed += max(estimate_tokens(question), ROOM_FOR_A_QUESTION)
    needed += ROOM_FOR_SOURCES if version.answers_from_faqs else 0
    if needed > version.context_budget:
        detail = _("Instructions and question need about %(needed)d tokens; there is room for %(most)d.")
        room = {"needed": needed, "most": version.context_budget}
        raise ApplicationError("context_length_exceeded", detail % room, status=400)
