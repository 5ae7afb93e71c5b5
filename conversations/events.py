"""The chat protocol: every event that crosses ``/ws/chat/``, in both directions. Version 1.

A frame is one JSON object with ``type``. What a client sends is decoded by ``decode_command``; what the server sends
is one of the ``Event`` structs, encoded by ``encode``. The documents and the tests are made from these classes.

``seq`` counts the reply's text in Unicode code points after the event, so that a gap shows itself: a delta follows
on a client's text exactly when ``seq - len(text)`` is the client's own ``seq`` and the epochs are equal.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec

from chatbot_project.lib.errors import ApplicationError

PROTOCOL = 1
MAX_FRAME_BYTES = 64 * 1024
MAX_TEXT = 16_000

ClientId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+\Z")]
Slug = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9_-]*\Z")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Cursor: TypeAlias = tuple[int, int]
Cursors = Annotated[
    dict[UUID, Cursor],
    msgspec.Meta(max_length=200, extra_json_schema={"propertyNames": {"type": "string", "format": "uuid"}}),
]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


def event_name(class_name: str) -> str:
    """``MessageSend`` → ``message.send``."""
    return "".join("." + c.lower() if c.isupper() else c for c in class_name).removeprefix(".")


# --- client → server


class Command(msgspec.Struct, tag_field="type", tag=event_name, forbid_unknown_fields=True):
    """What a client asks for. ``client_id`` is made by the client and comes back in the answer or the error."""


class MessageSend(Command):
    """A question. ``conversation`` null starts one with ``persona`` (slug). ``parent`` is the reply it follows;
    left out, the conversation's active leaf. ``bypass_cache``: ask the model, also where it answered the same question
    before. Sending the same ``client_id`` again gives the same answer, once."""

    client_id: ClientId
    text: Text
    conversation: UUID | None = None
    persona: Slug | None = None
    parent: UUID | None = None
    bypass_cache: bool = False


class MessageEdit(Command):
    """The question ``message`` asked anew in other words: a branch beside it; the earlier one stays."""

    client_id: ClientId
    message: UUID
    text: Text


class ReplyRegenerate(Command):
    """Another reply to the question that ``reply`` answered: a branch beside it."""

    client_id: ClientId
    reply: UUID


class ReplyContinue(Command):
    """Go on where an interrupted or stopped reply ended; its text is kept and its epoch rises."""

    client_id: ClientId
    reply: UUID


class ReplyStop(Command):
    """End a queued or streaming reply, keeping what is there. Asking again changes nothing."""

    reply: UUID


class ConversationFollow(Command):
    """Send the conversation as it stands and everything that happens in it. ``cursors`` says how much of each reply
    the client holds, as ``{reply: [epoch, seq]}``; what cannot be joined to it comes as a snapshot."""

    conversation: UUID
    cursors: Cursors = {}


class ConversationUnfollow(Command):
    """Send nothing more of this conversation's replies."""

    conversation: UUID


class Typing(Command):
    """The person is writing; other tabs of the same person may show it."""

    conversation: UUID


class Ping(Command):
    """Answered by ``pong``."""


AnyCommand = (
    MessageSend
    | MessageEdit
    | ReplyRegenerate
    | ReplyContinue
    | ReplyStop
    | ConversationFollow
    | ConversationUnfollow
    | Typing
    | Ping
)
_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


def decode_command(frame: str | bytes) -> AnyCommand:
    """The command in ``frame``.

    Raises ``ValueError`` with a sentence for the client where the frame is not one: bad JSON, unknown type or field,
    a field of the wrong type, too long or missing.
    """
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(str(error)[:300]) from None


# --- server → client


class Event(msgspec.Struct, tag_field="type", tag=event_name, kw_only=True):
    """What the server sends."""


class Ready(Event):
    """First event on a socket: it is open, and the person is known."""

    protocol: int = PROTOCOL


class ConversationInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the conversation list."""

    id: UUID
    title: str
    persona: str
    persona_name: str
    persona_emoji: str
    pinned: bool
    archived: bool
    deleted: bool
    updated_at: Time
    revision: int


class CitationInfo(msgspec.Struct, frozen=True):
    """An approved answer that a reply draws on. ``number`` is the reply's mark for it, ``[1]``; ``question`` its
    title. ``faq`` opens at ``/help/faq/<faq>/``; null where it no longer exists."""

    number: int
    faq: UUID | None
    question: str


class OfferInfo(msgspec.Struct, frozen=True):
    """What is offered below a reply that does not know: ``rephrase`` (ask in other words), ``contact`` (``text`` says
    how) or ``handover`` (ask for a person; ``done`` once that was asked)."""

    kind: str
    text: str = ""
    done: bool = False


class MessageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a client shows it.

    ``status``: ``sent`` for a question; for a reply ``queued``, ``streaming``, ``completed``, ``stopped``,
    ``interrupted`` or ``failed``. ``html`` is safe to insert and is there for replies that have ended; a live reply's
    text follows as ``reply.*`` events. ``siblings`` are the branches at this point in order of creation, itself
    included. ``feedback`` is 1, -1 or 0.

    ``source`` says what a reply came from where the FAQ was asked: ``model``, ``faq`` (an approved answer as it
    stands), ``faq_offline`` (the same, as no model answered) or ``unknown`` (no approved answer; ``offers`` says what
    else can be done). ``cached_at`` says that somebody else had asked the same, and when a model answered it then.
    """

    id: UUID
    parent: UUID | None
    role: Literal["user", "assistant"]
    status: str
    text: str
    html: str
    epoch: int
    seq: int
    siblings: list[UUID]
    created_at: Time
    feedback: int = 0
    feedback_comment: str = ""
    finish_reason: str = ""
    code: str = ""
    model: str = ""
    client_id: str = ""
    source: str = ""
    citations: list[CitationInfo] = []
    offers: list[OfferInfo] = []
    cached_at: Time | None = None


class MessageAccepted(Event):
    """The question is stored for good, and a reply to it is queued. Comes only after commit.

    Answers ``message.send``, ``message.edit``, ``reply.regenerate`` (``message`` is then the question that is answered
    again) and ``reply.continue`` (``reply`` is then the reply that goes on). ``again`` where an earlier command with
    this ``client_id`` was stored: the conversation may have gone on since, so its ``revision`` says nothing of where
    these messages stand.
    """

    client_id: str
    conversation: ConversationInfo
    message: MessageInfo
    reply: MessageInfo
    again: bool = False


class ConversationSnapshot(Event):
    """Answer to ``conversation.follow``: the newest messages of the active branch, oldest first.

    ``more`` says that older ones exist. Replies that are still live go on with ``reply.*`` events.
    """

    conversation: ConversationInfo
    messages: list[MessageInfo]
    more: bool


class ConversationUpdated(Event):
    """Something about a conversation changed. A client that shows it with a lower ``revision`` follows it anew;
    ``client_id`` names the command that caused it, so that its sender need not."""

    conversation: ConversationInfo
    client_id: str = ""


class ConversationsCleared(Event):
    """The person deleted all of their conversations, or all archived ones, at once, or the server may have missed news
    of them: lists are read anew, and what is followed is followed anew."""


class RenderedBlock(msgspec.Struct, frozen=True):
    """A finished block of a live reply: its text ends at code point ``end``, and ``html`` is safe to insert for it."""

    end: int
    html: str


class ReplyEvent(Event):
    """What every event of a reply carries. ``epoch`` rises whenever the reply is taken up anew; a lower one is past."""

    conversation: UUID
    reply: UUID
    epoch: int
    seq: int


class ReplyQueued(ReplyEvent):
    """The reply waits; ``position`` 1 is next in its provider's line. ``wait`` is about how many seconds that takes at
    the pace of the last minutes; null where none was measured. Comes again whenever either changes."""

    position: int
    wait: int | None = None


class ReplyStarted(ReplyEvent):
    """A worker has taken the reply up."""

    model: str = ""


class ReplySnapshot(ReplyEvent):
    """The whole text so far: replaces what the client holds."""

    text: str
    blocks: list[RenderedBlock] = []


class ReplyDelta(ReplyEvent):
    """More text. ``blocks`` are those that this text finished."""

    text: str
    blocks: list[RenderedBlock] = []


class ReplyCitations(ReplyEvent):
    """The approved answers that the reply draws on. Comes before the ending, which says it again."""

    citations: list[CitationInfo]


class UsageInfo(msgspec.Struct, frozen=True):
    """Tokens; ``estimated`` where the model did not say."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool


class ReplyEnding(ReplyEvent):
    """What the four endings carry: the whole text, the HTML to show for it, and what it came from;
    ``cached_at`` as in a message."""

    text: str
    html: str
    usage: UsageInfo | None = None
    source: str = ""
    citations: list[CitationInfo] = []
    offers: list[OfferInfo] = []
    finish_reason: str = ""
    code: str = ""
    detail: str = ""
    cached_at: Time | None = None


class ReplyCompleted(ReplyEnding):
    """The model ended the reply itself; ``finish_reason`` ``length`` means that it ran into its limit."""


class ReplyStopped(ReplyEnding):
    """The person stopped it."""


class ReplyInterrupted(ReplyEnding):
    """The worker or the model broke off; ``code`` says which. The partial text is kept and can be continued."""


class ReplyFailed(ReplyEnding):
    """Nothing could be shown; ``code`` and ``detail`` say why and what to do. Where what had been shown was withdrawn
    (``content_withdrawn``, ``moderation_unavailable``), the epoch is a new one and the text empty: show it no more.
    """


class Error(Event):
    """A command was refused and changed nothing. ``retry_after``: the seconds to wait, where waiting helps. ``busy``
    says at which ``position`` the question would have waited, for about ``wait`` seconds where that is known.
    ``client_id`` names the command, or ``conversation`` what it was about where commands of its kind have no name."""

    code: str
    detail: str
    client_id: str = ""
    conversation: UUID | None = None
    retry_after: int | None = None
    position: int | None = None
    wait: int | None = None


def error_of(error: ApplicationError, *, client_id: str = "", conversation: UUID | None = None) -> Error:
    """The event that tells of ``error``."""
    position, wait = getattr(error, "position", None), getattr(error, "wait", None)
    return Error(
        code=error.code,
        detail=error.detail,
        client_id=client_id,
        conversation=conversation,
        retry_after=error.retry_after,
        position=position,
        wait=wait,
    )


class ServerDraining(Event):
    """This server is going away: reconnect after a random wait of up to ``within`` milliseconds."""

    within: int


class TypingSeen(Event):
    """Another tab of the same person is being written in."""

    conversation: UUID


class Pong(Event):
    """Answers ``ping``."""


def leaves(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """The commands or events below ``kind`` that cross the wire, in the order in which they stand here."""
    below = [leaf for each in kind.__subclasses__() for leaf in leaves(each)]
    return below or [kind]


def tag_of(event: msgspec.Struct | type[msgspec.Struct]) -> str:
    """The event's ``type`` as it stands in its frame."""
    return str(event.__struct_config__.tag)


_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The event's frame, as UTF-8 JSON."""
    return _encoder.encode(event)


# --- close codes

CLOSE_GOING_AWAY = 1012
CLOSE_BAD_FRAME = 4400
CLOSE_SIGNED_OUT = 4401
CLOSE_TOO_SLOW = 4408
CLOSE_TOO_MANY = 4429

CLOSE_CODES = {
    1007: "a text frame that is no UTF-8",
    1009: "a frame above the bound",
    CLOSE_GOING_AWAY: "the server restarts: come back",
    CLOSE_BAD_FRAME: "a binary frame",
    CLOSE_SIGNED_OUT: "no session or ticket that is good, or it has ended: sign in again",
    CLOSE_TOO_SLOW: "the reader did not read: come back and resume",
    CLOSE_TOO_MANY: "too many frames or sockets: come back later",
}
