"""What a chat page makes of the server's events, rule by rule as in ``static/js/protocol.js``, for tests.

``Mirror`` is the page's state, ``Tab`` a client that keeps one: it follows, follows anew and sends again by itself.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import websockets

from .client import ENDINGS, ChatClient

LIVE = {"queued", "streaming"}
SHOWN = (
    "id", "parent", "role", "status", "text", "html", "epoch", "siblings", "feedback", "finish_reason", "source",
    "citations", "offers",
)  # fmt: skip
Message = dict[str, Any]
Command = dict[str, Any]


@dataclass
class Held:
    """A conversation as the page holds it: ``revision`` is the one that ``order`` shows, ``wanted`` the highest heard
    of; ``elsewhere`` are replies of branches that are not shown."""

    info: dict[str, Any]
    revision: int = 0
    wanted: int = 0
    resyncing: bool = False
    order: list[str] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    more: bool = False
    elsewhere: set[str] = field(default_factory=set)


def is_live(message: Message) -> bool:
    return message["role"] == "assistant" and message["status"] in LIVE


def fresh(info: Message) -> Message:
    """A message as a snapshot shows it; a stream is always taken from its start."""
    base = {**info, "tail": info["text"], "blocks": [], "position": 0}
    return {**base, "text": "", "seq": 0, "tail": ""} if info["status"] == "streaming" else base


class Mirror:
    """``apply(event)`` changes the state and returns the commands to send for it."""

    def __init__(self) -> None:
        self.conversations: dict[str, Held] = {}
        self.followed: set[str] = set()
        self.own: set[str] = set()

    def shown(self, conversation: str) -> list[Message]:
        held = self.conversations.get(conversation)
        return [held.messages[pk] for pk in held.order] if held else []

    def live(self, conversation: str) -> Message | None:
        return next((m for m in reversed(self.shown(conversation)) if is_live(m)), None)

    def view(self, conversation: str) -> dict[str, Any]:
        """All that a person can see of a conversation, in a form to compare."""
        held = self.conversations[conversation]
        return {
            "info": held.info,
            "revision": held.revision,
            "more": held.more,
            "messages": [{name: m[name] for name in SHOWN} for m in self.shown(conversation)],
        }

    def apply(self, event: dict[str, Any]) -> list[Command]:
        match event["type"]:
            case "ready" | "conversations.cleared":
                return [command for pk in sorted(self.followed) for command in self.follow(pk)]
            case "message.accepted":
                if event["again"]:
                    return self._updated(event["conversation"], "")
                return self._accepted(event["conversation"], event["message"], event["reply"], event["client_id"])
            case "conversation.snapshot":
                return self._snapshot(event["conversation"], event["messages"], event["more"])
            case "conversation.updated":
                return self._updated(event["conversation"], event["client_id"])
            case kind if kind.startswith("reply."):
                return self._reply(kind, event)
        return []

    def follow(self, pk: str) -> list[Command]:
        """Ask for the conversation as it stands, saying how much of its live replies is held."""
        self.followed.add(pk)
        if held := self.conversations.get(pk):
            held.resyncing = True
        cursors = {m["id"]: [m["epoch"], m["seq"]] for m in self.shown(pk) if is_live(m)}
        return [{"type": "conversation.follow", "conversation": pk, "cursors": cursors}]

    # --- a conversation

    def _snapshot(self, info: dict[str, Any], messages: list[Message], more: bool) -> list[Command]:
        pk = info["id"]
        if pk not in self.followed:
            return []
        held = self.conversations.setdefault(pk, Held(info))
        older = self._still_older(held, messages)
        kept = {each: held.messages[each] for each in older}
        kept |= {m["id"]: self._merged(held.messages.get(m["id"]), m) for m in messages}
        self._inform(held, info)
        held.revision, held.resyncing, held.elsewhere = info["revision"], False, set()
        held.wanted = max(held.wanted, info["revision"])
        held.more = held.more if older else more
        held.order, held.messages = [*older, *(m["id"] for m in messages)], kept
        return self.follow(pk) if held.wanted > info["revision"] else []

    def _still_older(self, held: Held, messages: list[Message]) -> list[str]:
        """Held messages before a snapshot's first, which it leaves out but does not contradict."""
        if not messages or messages[0]["id"] not in held.order:
            return []
        at = held.order.index(messages[0]["id"])
        return held.order[:at] if at > 0 and held.order[at - 1] == messages[0]["parent"] else []

    def _merged(self, held: Message | None, info: Message) -> Message:
        if held is None or held["role"] != "assistant":
            return fresh(info)
        behind = info["epoch"] < held["epoch"]
        if behind or (info["epoch"] == held["epoch"] and info["status"] == "streaming"):
            return held | {name: info[name] for name in ("siblings", "feedback", "feedback_comment")}
        return fresh(info)

    def _inform(self, held: Held, info: dict[str, Any]) -> None:
        if info["revision"] >= held.info["revision"]:
            held.info = info

    def _updated(self, info: dict[str, Any], client_id: str) -> list[Command]:
        held = self.conversations.get(info["id"])
        is_own = client_id and client_id in self.own
        if held is None:  # the first snapshot is under way and may have been read before this
            return self.follow(info["id"]) if info["id"] in self.followed and not is_own and not info["deleted"] else []
        self._inform(held, info)
        if info["deleted"] or is_own or info["revision"] <= held.revision:
            return []
        held.wanted = max(held.wanted, info["revision"])
        return [] if held.resyncing or info["id"] not in self.followed else self.follow(info["id"])

    def _accepted(self, info: dict[str, Any], message: Message, reply: Message, client_id: str) -> list[Command]:
        pk = info["id"]
        if pk not in self.followed:
            return []
        held = self.conversations.setdefault(pk, Held(info, revision=info["revision"] - 1))
        before, before_order = held.revision, held.order
        self._inform(held, info)
        is_new = info["revision"] > before
        order = self._branch(held.order, message, reply, client_id) if is_new else held.order
        if order is None:
            return self.follow(pk)
        if is_new or reply["id"] in held.order:
            for each in (message, reply):
                siblings = self._siblings(held, before_order, order, each)
                held.messages[each["id"]] = self._merged(held.messages.get(each["id"]), {**each, "siblings": siblings})
        held.order = order
        held.revision = max(before, min(info["revision"], before + 1))
        held.wanted = max(held.wanted, info["revision"])
        held.messages = {each: held.messages[each] for each in order}
        return self.follow(pk) if info["revision"] > before + 1 else []

    def _branch(self, order: list[str], message: Message, reply: Message, client_id: str) -> list[str] | None:
        """``order`` up to where ``message`` belongs, then it and its reply; None where it belongs nowhere shown, or is
        an earlier question of a branch that is not."""
        if message["id"] in order:
            end = order.index(message["id"])
        elif message["client_id"] != client_id:
            return None
        elif message["parent"] is None:
            end = 0
        elif message["parent"] in order:
            end = order.index(message["parent"]) + 1
        else:
            return None
        return [*order[:end], message["id"], reply["id"]]

    def _siblings(self, held: Held, shown: list[str], order: list[str], info: Message) -> list[str]:
        """The branches at ``info``: known already, or those of the message that stood in its place, and itself."""
        if len(info["siblings"]) > 1:
            return list(info["siblings"])
        if known := held.messages.get(info["id"]):
            return list(known["siblings"])
        at = order.index(info["id"])
        before = held.messages.get(shown[at]) if at < len(shown) else None
        if not before or before["parent"] != info["parent"]:
            return [info["id"]]
        return list(dict.fromkeys([*before["siblings"], info["id"]]))

    # --- a reply

    def _reply(self, kind: str, event: dict[str, Any]) -> list[Command]:
        held = self.conversations.get(event["conversation"])
        if held is None or event["conversation"] not in self.followed:
            return []
        message = held.messages.get(event["reply"])
        if message is None:
            if event["reply"] in held.elsewhere:
                return []
            commands = [] if held.resyncing else self.follow(event["conversation"])
            held.elsewhere.add(event["reply"])
            return commands
        if event["epoch"] < message["epoch"]:
            return []
        changed = self._changed(kind, message, event)
        if changed is None:
            return [] if held.resyncing else self.follow(event["conversation"])
        held.messages[event["reply"]] = changed
        return []

    def _changed(self, kind: str, message: Message, event: dict[str, Any]) -> Message | None:
        """The reply after the event; None where it does not join on to what is held."""
        same_epoch = event["epoch"] == message["epoch"]
        if kind == "reply.queued":
            if not is_live(message) or message["seq"] > event["seq"]:
                return message if same_epoch else None
            return message | {"epoch": event["epoch"], "status": "queued", "position": event["position"]}
        if kind == "reply.started":
            if same_epoch and (not is_live(message) or event["seq"] < message["seq"]):
                return message
            if event["seq"] == 0:
                return self._with_text(message, event, "")
            if event["seq"] != message["seq"]:
                return None
            return message | {"status": "streaming", "epoch": event["epoch"]}
        if kind == "reply.snapshot":
            return message if same_epoch and not is_live(message) else self._with_text(message, event, event["text"])
        if kind == "reply.delta":
            return self._continued(message, event, same_epoch)
        if kind == "reply.citations":
            return message | {"citations": event["citations"]} if same_epoch else message
        if kind in ENDINGS:
            told = ("epoch", "seq", "text", "html", "finish_reason", "source", "citations", "offers")
            ending = {name: event[name] for name in told}
            return message | ending | {"status": kind.removeprefix("reply."), "tail": "", "blocks": []}
        return message

    def _with_text(self, message: Message, event: dict[str, Any], text: str) -> Message:
        blocks = list(event.get("blocks", []))
        tail = text[blocks[-1]["end"] :] if blocks else text
        new = {"status": "streaming", "epoch": event["epoch"], "seq": event["seq"], "text": text, "html": ""}
        return message | new | {"tail": tail, "blocks": blocks}

    def _continued(self, message: Message, event: dict[str, Any], same_epoch: bool) -> Message | None:
        if not same_epoch:
            return None
        if not is_live(message):
            return message
        known = message["seq"] - (event["seq"] - len(event["text"]))
        if known < 0:
            return None
        added = event["text"][known:]
        end = message["blocks"][-1]["end"] if message["blocks"] else 0
        blocks = message["blocks"] + [block for block in event["blocks"] if block["end"] > end]
        text = message["text"] + added
        new = {"status": "streaming", "seq": max(event["seq"], message["seq"]), "text": text, "blocks": blocks}
        return message | new | {"tail": text[blocks[-1]["end"] :] if blocks else text}


class Tab(ChatClient):
    """A page that shows one conversation: what it asked for and was not answered goes out again after a break."""

    def __init__(self, url: str, key: str, conversation: str = "") -> None:
        super().__init__(url, key)
        self.mirror = Mirror()
        self.conversation = conversation
        self.outbox: dict[str, Command] = {}
        self.refused: list[dict[str, Any]] = []
        self._sending: set[asyncio.Task[None]] = set()
        if conversation:
            self.mirror.followed.add(conversation)

    @property
    def is_open(self) -> bool:
        return self._reader is not None and not self._reader.done() and self.close_code is None

    def command(self, kind: str, **fields: Any) -> str:  # type: ignore[override]
        """Keep a command until it is answered, and send it where there is a connection. Returns its ``client_id``."""
        client_id = uuid4().hex
        self.outbox[client_id] = {"type": kind, "client_id": client_id, **fields}
        self.mirror.own.add(client_id)
        self.post(self.outbox[client_id])
        return client_id

    def post(self, command: Command) -> None:
        """Send without waiting; what is lost with the connection is made up for by ``ready``."""
        task = asyncio.get_running_loop().create_task(self._post(command))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _post(self, command: Command) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.send(**command)

    def take(self, event: dict[str, Any]) -> None:
        super().take(event)
        kind = event["type"]
        if kind == "message.accepted":
            self.outbox.pop(event["client_id"], None)
            if self.conversation == "":
                self.conversation = event["conversation"]["id"]
            is_shown = event["conversation"]["id"] == self.conversation
            if is_shown and self.conversation not in self.mirror.followed:
                self._post_all(self.mirror.follow(self.conversation))
        elif kind == "error":
            self.refused.append(event)
            if event["client_id"]:
                self.outbox.pop(event["client_id"], None)
        self._post_all(self.mirror.apply(event))
        if kind == "conversation.snapshot":
            for message in event["messages"]:
                self.outbox.pop(message["client_id"], None)
        if kind == "ready":
            self._post_all(list(self.outbox.values()))

    def _post_all(self, commands: list[Command]) -> None:
        for command in commands:
            self.post(command)
