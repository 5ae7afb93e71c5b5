"""One example of each command and event, for the protocol's documentation: a question, and what becomes of it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from conversations import events

_CONVERSATION = UUID("01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10")
_QUESTION = UUID("01935f6e-7c1b-7a04-8d52-6f0e9a7b1c22")
_REPLY = UUID("01935f6e-7c1b-7d9f-b2c8-1e4d5a6f7b33")
_FAQ = UUID("01935f60-0a2b-7c3d-8e4f-5a6b7c8d9e44")
_CLIENT_ID = "q-8f14e45f"
_TEXT = "How long are my messages kept?"
_ANSWER = "As long as you keep them [1]."
_SAID = "As long as you "
_AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

_CITATION = events.CitationInfo(1, _FAQ, "How long does Nono keep messages?")
_INFO = events.ConversationInfo(
    id=_CONVERSATION,
    title=_TEXT,
    persona="support",
    persona_name="Support Assistant",
    persona_emoji="🛟",
    pinned=False,
    archived=False,
    deleted=False,
    updated_at=_AT,
    revision=1,
)
_ASKED = events.MessageInfo(
    id=_QUESTION,
    parent=None,
    role="user",
    status="sent",
    text=_TEXT,
    html="",
    epoch=0,
    seq=len(_TEXT),
    siblings=[_QUESTION],
    created_at=_AT,
    client_id=_CLIENT_ID,
)
_WAITING = events.MessageInfo(
    id=_REPLY,
    parent=_QUESTION,
    role="assistant",
    status="queued",
    text="",
    html="",
    epoch=0,
    seq=0,
    siblings=[_REPLY],
    created_at=_AT,
)


def _reply(kind: type[events.ReplyEvent], *, text: str = "", **fields: Any) -> events.ReplyEvent:
    said = {"seq": len(text)} | ({"text": text} if "text" in kind.__struct_fields__ else {})
    return kind(conversation=_CONVERSATION, reply=_REPLY, epoch=1, **(said | fields))


def _ending(kind: type[events.ReplyEnding], text: str, **fields: Any) -> events.ReplyEvent:
    return _reply(kind, text=text, html=f"<p>{text.strip()}</p>", source="model", **fields)


EXAMPLES: list[events.Command | events.Event] = [
    events.MessageSend(client_id=_CLIENT_ID, text=_TEXT, persona="support"),
    events.MessageSend(client_id="q-6512bd43", text="And attachments?", conversation=_CONVERSATION),
    events.MessageEdit(client_id="q-c20ad4d7", message=_QUESTION, text="How long are my conversations kept?"),
    events.ReplyRegenerate(client_id="q-c51ce410", reply=_REPLY),
    events.ReplyContinue(client_id="q-aab32389", reply=_REPLY),
    events.ReplyStop(reply=_REPLY),
    events.ConversationFollow(conversation=_CONVERSATION, cursors={_REPLY: (1, len(_SAID))}),
    events.ConversationUnfollow(conversation=_CONVERSATION),
    events.Typing(conversation=_CONVERSATION),
    events.Ping(),
    events.Ready(),
    events.MessageAccepted(client_id=_CLIENT_ID, conversation=_INFO, message=_ASKED, reply=_WAITING),
    events.ConversationSnapshot(conversation=_INFO, messages=[_ASKED, _WAITING], more=False),
    events.ConversationUpdated(conversation=_INFO, client_id=_CLIENT_ID),
    events.ConversationsCleared(),
    _reply(events.ReplyQueued, position=3, wait=15),
    _reply(events.ReplyStarted, model="openai/gpt-4o-mini"),
    _reply(events.ReplySnapshot, text=_SAID),
    _reply(events.ReplyDelta, text="keep them", seq=len(_SAID + "keep them")),
    _reply(events.ReplyCitations, seq=len(_ANSWER), citations=[_CITATION]),
    _ending(
        events.ReplyCompleted,
        _ANSWER,
        usage=events.UsageInfo(412, 9, estimated=False),
        citations=[_CITATION],
        finish_reason="stop",
    ),
    _ending(events.ReplyStopped, _SAID),
    _ending(events.ReplyInterrupted, _SAID, code="llm_cut"),
    _reply(
        events.ReplyFailed,
        html="",
        code="llm_unavailable",
        detail="The model cannot be reached. Try again later.",
    ),
    events.Error(code="reply_in_progress", detail="Wait for the reply, or stop it first.", client_id="q-6512bd43"),
    events.Error(code="not_found", detail="There is no such thing here.", conversation=_CONVERSATION),
    events.Error(
        code="rate_limited",
        detail="That was too much at once. Try again in 12 s.",
        client_id="q-70efdf2e",
        retry_after=12,
    ),
    events.Error(
        code="busy",
        detail="Everybody asks at once. You would be number 260 in line, for about 180 s.",
        client_id="q-c74d97b0",
        retry_after=66,
        position=260,
        wait=180,
    ),
    events.ServerDraining(within=3000),
    events.TypingSeen(conversation=_CONVERSATION),
    events.Pong(),
]


def examples_of(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The examples of one command or event, as JSON has them."""
    return [msgspec.json.decode(msgspec.json.encode(example)) for example in EXAMPLES if type(example) is kind]
