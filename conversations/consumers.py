"""The chat socket: parses, authorises, calls one service, answers. It owns no reply and holds no work.

Nothing long runs in a handler: Channels gives a consumer one frame at a time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import structlog
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.utils import await_many_dispatch
from django.db import DatabaseError, DataError, InterfaceError
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from accounts.models import User
from accounts.restriction import refuse_if_restricted_now
from accounts.scopes import ALL_SCOPES, Scope
from accounts.sources import scope_source
from chatbot_project.lib import tracing
from chatbot_project.lib.correlation import bound, id_for
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.maintenance import refuse_if_on
from chatbot_project.lib.metrics import names as metrics
from conversations import doorbell, events, services
from conversations.admission import admit, is_admissible
from conversations.busy import Busy
from conversations.hub import NOTHING, Hub, next_epoch, running_hub
from conversations.models import Conversation, Message
from conversations.outbox import Outbox
from conversations.selectors import find_conversation
from conversations.transcript import Transcript, conversation_info, message_info, read_transcript

log = structlog.get_logger(__name__)

MAX_SOCKETS_PER_PERSON = 50
FRAMES_PER_SECOND = 20
FRAMES_AT_ONCE = 100
FLUSH_SECONDS = 2.0
WRITES = (
    *(events.MessageSend, events.MessageEdit, events.ReplyRegenerate, events.ReplyContinue, events.ReplyStop),
    events.Typing,
)
STORING = tuple(command for command in WRITES if command is not events.Typing)  # typing is told to one's own tabs alone
CLIENT_CODES = frozenset({1000, 1001, 1002, 1005, 1006, 1009, 1011, 1012})
LAYER_SECONDS = 1.0  # Redis may hang: a tab does not wait for it
metrics.ERRORS.labels("websocket", "internal_error")  # from 0: alerts see the first one as a rise


class ChatConsumer(AsyncWebsocketConsumer):
    """One open tab. ``offer`` and ``close_soon`` are what the hub uses of it."""

    user: User
    credential: str = ""  # the name of what let it in (accounts/credentials.py)
    user_id: UUID
    auth_epoch: int = 0
    scopes: frozenset[Scope] = ALL_SCOPES
    _opened = False  # whether the hub knows it
    _grouped = False  # whether the channel layer may have it in its person's group

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # As in Channels, except that Redis being away keeps nobody out: that its person was signed out then shows at
        # the next look at the sessions.
        self.scope, self.base_send = scope, send
        sources = [receive]
        layer = get_channel_layer()
        try:
            async with asyncio.timeout(LAYER_SECONDS):
                self.channel_name = await layer.new_channel()
            self.channel_layer = layer
            sources.append(partial(layer.receive, self.channel_name))
        except (RedisError, OSError) as error:
            self.channel_layer = None
            log.warning("socket.no_channel_layer", error=type(error).__name__)
        try:
            with suppress(StopConsumer):
                await await_many_dispatch(sources, self.dispatch)
        finally:
            # Whoever leaves while being let in breaks the handshake, and no disconnection is told; one that was closed
            # from here left the hub before its end is told.
            self._leave_hub()
            if self._grouped:
                await self._in_group(join=False)

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels would hop into a thread for every frame to close old connections; this loop has none to close.
        handler = self._HANDLERS.get(message.get("type", ""))
        if handler is not None:
            await handler(self, message)

    # --- opening and closing

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        if not is_admissible(self.scope):
            metrics.SOCKET_CLOSES.labels("403", "server").inc()
            await self.close()  # before accepting: the handshake is answered with 403
            return
        hub = running_hub()
        self._tokens, self._counted_at = float(FRAMES_AT_ONCE), time.monotonic()
        self._outbox = Outbox(self.base_send, lambda: self.close_soon(events.CLOSE_TOO_SLOW))
        self._following: set[UUID] = set()
        try:
            admission = await run_db(admit, self.scope)
        except (DatabaseError, InterfaceError, RedisError) as error:
            log.warning("socket.nobody_can_be_asked", error=type(error).__name__)
            await self._refuse(events.CLOSE_GOING_AWAY)
            return
        if admission is None:
            await self._refuse(events.CLOSE_SIGNED_OUT)
            return
        self.user, self.credential, self.scopes = admission.user, admission.credential, admission.scopes
        self.user_id, self.auth_epoch = self.user.pk, self.user.auth_epoch
        if hub.draining:
            await self._refuse(events.CLOSE_GOING_AWAY)
            return
        if hub.count_of(self.user_id) >= MAX_SOCKETS_PER_PERSON:
            metrics.RATE_LIMITED.labels("sockets").inc()
            await self._refuse(events.CLOSE_TOO_MANY)
            return
        await self._open(hub)

    async def _refuse(self, code: int) -> None:
        """Close with a code that the client can read, which takes an accepted handshake."""
        metrics.SOCKET_CLOSES.labels(str(code), "server").inc()
        await self.accept()
        await self.close(code)

    async def _open(self, hub: Hub) -> None:
        self._hub, self._opened = hub, True
        hub.add(self, transport="websocket")
        await self.accept()
        await self._in_group(join=True)
        self.push(events.Ready())

    async def _in_group(self, *, join: bool) -> None:
        """Join or leave the channel layer's group of this person's tabs, where the layer is there."""
        if self.channel_layer is None:
            return
        self._grouped = join
        change = self.channel_layer.group_add if join else self.channel_layer.group_discard
        try:
            async with asyncio.timeout(LAYER_SECONDS):
                await change(self.user.socket_group, self.channel_name)
        except (RedisError, OSError) as error:
            log.warning("socket.no_channel_layer", error=type(error).__name__)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        if self._opened:
            is_flood = message.get("code") == events.CLOSE_TOO_MANY  # lib/frames.py has closed it
            code, by = (str(events.CLOSE_TOO_MANY), "server") if is_flood else (_client_code(message), "client")
            metrics.SOCKET_CLOSES.labels(code, by).inc()
        self._leave_hub()
        raise StopConsumer

    def _leave_hub(self) -> None:
        """Hear of nothing any more, where it did."""
        if self._opened:
            self._opened = False
            self._hub.remove(self)
            self._outbox.close()

    def offer(self, frame: bytes) -> None:
        """Send an encoded event; never waits."""
        self._outbox.offer(frame)

    def push(self, event: events.Event) -> None:
        """Send an event; never waits."""
        self._outbox.offer(events.encode(event))

    def close_soon(self, code: int) -> None:
        """Close with ``code`` once what was offered has been sent, or at once where the reader does not read."""
        if self._opened:
            self._opened = False
            metrics.SOCKET_CLOSES.labels(str(code), "server").inc()
            self._hub.remove(self)
            self._hub.run(self._close(code))

    async def _close(self, code: int) -> None:
        await self._outbox.flush(FLUSH_SECONDS)
        self._outbox.close()
        with suppress(OSError):  # the client has left meanwhile
            await self.close(code)

    # --- from the channel layer

    async def signed_out(self, message: dict[str, Any]) -> None:
        """Some session of this person ended: see whether it was this one."""
        if self._opened:
            self._hub.run(self._hub.check_sessions([self]))

    # --- from the client

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        if not self._opened:
            return
        if not self._within_rate():
            metrics.RATE_LIMITED.labels("frames").inc()
            self.close_soon(events.CLOSE_TOO_MANY)
            return
        text = message.get("text")
        if text is None:
            self.close_soon(events.CLOSE_BAD_FRAME)
            return
        try:
            command = events.decode_command(text)
        except ValueError as error:
            metrics.ERRORS.labels("websocket", "bad_command").inc()
            self.push(events.Error(code="bad_command", detail=str(error)))
            return
        await self._obey(command)

    async def _obey(self, command: events.AnyCommand) -> None:
        tag = events.tag_of(type(command))
        metrics.SOCKET_COMMANDS.labels(tag).inc()
        # The client's own name for it, which errors tell: what somebody reports is found by it.
        with bound(request_id=id_for(getattr(command, "client_id", ""))), tracing.request_began():
            log.debug("socket.command", command=tag)
            await self._answer(command)

    async def _answer(self, command: events.AnyCommand) -> None:
        refused = _name_of(command)
        try:
            self._require_scope(command)
            if isinstance(command, STORING):
                await run_db(refuse_if_restricted_now, self.user_id)
            await self._COMMANDS[type(command)](self, command)
        except ApplicationError as error:
            metrics.ERRORS.labels("websocket", error.code).inc()
            self.push(events.error_of(error, **refused))
        except DataError as error:
            # No value can be so: sent again, it would be refused again.
            log.warning("socket.bad_value", command=type(command).__name__, error=type(error.__cause__).__name__)
            metrics.ERRORS.labels("websocket", "bad_command").inc()
            self.push(events.Error(code="bad_command", detail=_("The request cannot be read."), **refused))
        except (DatabaseError, InterfaceError) as error:
            # Nothing was acknowledged: the client sends it again, under the same client_id.
            metrics.ERRORS.labels("websocket", "unavailable").inc()
            log.warning("socket.database_away", command=type(command).__name__, error=type(error).__name__)
            detail = _("The service cannot store anything right now. It will be tried again.")
            self.push(events.Error(code="unavailable", detail=detail, **refused))
        except Exception:
            # The edge of one command: a fault of ours is answered and logged, and the socket stays.
            metrics.ERRORS.labels("websocket", "internal_error").inc()
            log.exception("socket.command_broke", command=type(command).__name__)
            detail = _("Something went wrong on our side. It has been noted.")
            self.push(events.Error(code="internal_error", detail=detail, **refused))

    def _require_scope(self, command: events.AnyCommand) -> None:
        """Raise ApplicationError ``scope_missing`` where what let the socket in is not good for the command."""
        needed = Scope.CHAT if isinstance(command, WRITES) else Scope.READ
        if needed not in self.scopes:
            detail = _("This API key lacks the scope “%(scope)s”.") % {"scope": needed}
            raise ApplicationError("scope_missing", detail, status=403)

    def _within_rate(self) -> bool:
        now = time.monotonic()
        self._tokens = min(float(FRAMES_AT_ONCE), self._tokens + (now - self._counted_at) * FRAMES_PER_SECOND)
        self._counted_at = now
        self._tokens -= 1
        return self._tokens >= 0

    async def _send_message(self, command: events.MessageSend) -> None:
        await self._accept(
            services.send_message,
            client_id=command.client_id,
            text=command.text,
            conversation_id=command.conversation,
            persona_slug=command.persona,
            parent_id=command.parent,
            bypass_cache=command.bypass_cache,
        )

    async def _edit_message(self, command: events.MessageEdit) -> None:
        await self._accept(
            services.edit_message, client_id=command.client_id, message_id=command.message, text=command.text
        )

    async def _regenerate(self, command: events.ReplyRegenerate) -> None:
        await self._accept(services.regenerate_reply, client_id=command.client_id, reply_id=command.reply)

    async def _continue(self, command: events.ReplyContinue) -> None:
        await self._accept(
            services.continue_reply,
            partial(services.continued_before, reply_id=command.reply),
            client_id=command.client_id,
            reply_id=command.reply,
        )

    async def _accept(
        self,
        service: Callable[..., services.Accepted],
        before: Callable[..., services.Accepted | None] = services.stored_before,
        **arguments: Any,
    ) -> None:
        """Acknowledge what ``service`` stored, or ``before`` finds of an earlier time, and follow its reply."""
        source = scope_source(self.scope)
        try:
            refuse_if_on(self.user)
            await self._hub.take_ask(self.user, source)
        except ApplicationError:
            found = await run_db(before, self.user, arguments["client_id"])
            if found is None:
                raise
            accepted = found
        else:
            accepted = await self._ask(service, source, **arguments)
        reply = accepted.reply
        self.push(
            events.MessageAccepted(
                client_id=arguments["client_id"],
                conversation=conversation_info(accepted.conversation),
                message=message_info(accepted.question),
                reply=message_info(reply),
                again=accepted.again,
            )
        )
        if reply.is_live:
            self._hub.follow(self, reply.conversation_id, reply.pk, (reply.epoch, 0), epoch=next_epoch(reply))

    async def _ask(self, service: Callable[..., services.Accepted], source: str, **arguments: Any) -> services.Accepted:
        """What ``service`` stored for a question that was taken from the budgets, and is given back where no model is
        asked for it."""
        try:
            accepted = await run_db(service, user=self.user, **arguments)
        except Busy:
            await self._hub.give_ask_back(self.user, source)
            raise
        if accepted.again:
            await self._hub.give_ask_back(self.user, source)
        return accepted

    async def _stop(self, command: events.ReplyStop) -> None:
        reply = await run_db(services.request_stop, user=self.user, reply_id=command.reply)
        if not reply.is_live:
            self._hub.tell_ending(reply)

    async def _follow(self, command: events.ConversationFollow) -> None:
        async with self._hub.reading(self.user_id):
            conversation, transcript = await run_db(
                _read_followed, user=self.user, conversation_id=command.conversation
            )
        self.push(
            events.ConversationSnapshot(
                conversation=conversation_info(conversation), messages=transcript.messages, more=transcript.more
            )
        )
        self._hub.presence.turned_to(self, conversation.pk)
        for message in transcript.messages:
            if message.role == "assistant" and message.status in Message.LIVE:
                cursor = command.cursors.get(message.id, NOTHING)
                if cursor[0] > message.epoch:
                    cursor = NOTHING  # no server ever said so
                self._hub.follow(self, conversation.pk, message.id, cursor, epoch=next_epoch(message))

    async def _unfollow(self, command: events.ConversationUnfollow) -> None:
        self._hub.unfollow(self, command.conversation)

    async def _typing(self, command: events.Typing) -> None:
        doorbell.tell_user(self.user_id, events.TypingSeen(conversation=command.conversation))

    async def _ping(self, command: events.Ping) -> None:
        self.push(events.Pong())

    _COMMANDS: ClassVar[dict[type, Callable[["ChatConsumer", Any], Awaitable[None]]]] = {
        events.MessageSend: _send_message,
        events.MessageEdit: _edit_message,
        events.ReplyRegenerate: _regenerate,
        events.ReplyContinue: _continue,
        events.ReplyStop: _stop,
        events.ConversationFollow: _follow,
        events.ConversationUnfollow: _unfollow,
        events.Typing: _typing,
        events.Ping: _ping,
    }
    _HANDLERS: ClassVar[dict[str, Callable[["ChatConsumer", dict[str, Any]], Awaitable[None]]]] = {
        "websocket.connect": websocket_connect,
        "websocket.receive": websocket_receive,
        "websocket.disconnect": websocket_disconnect,
        "signed.out": signed_out,
    }


def _name_of(command: events.AnyCommand) -> dict[str, Any]:
    """By what an error names the command that it refuses: see ``events.Error``."""
    if hasattr(command, "client_id"):
        return {"client_id": command.client_id}
    return {"conversation": getattr(command, "conversation", None)}


def _client_code(message: dict[str, Any]) -> str:
    """The code that a client closed with, of those that browsers and servers send; any may send any."""
    code = message.get("code")
    return str(code) if code in CLIENT_CODES else "other"


def _read_followed(*, user: User, conversation_id: UUID) -> tuple[Conversation, Transcript]:
    conversation = find_conversation(user=user, conversation_id=conversation_id)
    return conversation, read_transcript(conversation)
