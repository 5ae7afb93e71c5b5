"""How an endpoint that asks a model answers: the reply as a stream, or whole once it has ended."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.authentication import credential_of, person_of
from accounts.credentials import Credential
from accounts.models import User
from accounts.scopes import Scope
from accounts.throttles import give_ask_back, take_ask
from chatbot_project.lib.api.idempotency import HEADER, checked_key
from chatbot_project.lib.api.late import LONGEST_WAIT, LateResponse
from chatbot_project.lib.db import run_db
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations import events, services
from conversations.api.event_stream import EventStreamRenderer, stream_reply, wants_stream
from conversations.api.serializers import ConversationSerializer, MessageSerializer
from conversations.busy import Busy
from conversations.listening import listen
from conversations.models import Message
from conversations.store import find_exchange
from conversations.transcript import conversation_info, load_shown, message_info

MAX_WAIT = 600  # that may be asked for; LONGEST_WAIT is what is waited
Post = TypeVar("Post", bound=Callable[..., HttpResponseBase])


class ReplyView(APIView):
    """Base of the views whose POST asks a model: ``Accept`` chooses JSON or Server-Sent Events."""

    renderer_classes = [JSONRenderer, EventStreamRenderer]
    scopes = {"POST": Scope.CHAT}


def exactly_once(post: Post) -> Post:
    """Decorates a ``post`` whose service takes ``client_id_of(request, …)``: the schema names the header."""
    post.is_idempotent = True  # type: ignore[attr-defined]
    return post


def ask_once(
    request: Request, ask: Callable[[], services.Accepted], before: Callable[[], services.Accepted | None]
) -> services.Accepted:
    """What ``ask`` stores for one question that is taken from the budgets of who asks, and given back where it is
    turned away as too many wait or was stored by an earlier request.

    Where nothing can be taken: what ``before`` finds of an earlier request, else raises as ``take_ask`` does.
    """
    user = person_of(request)
    try:
        take_ask(user, request)
    except ApplicationError:
        found = before()
        if found is None:
            raise
        return found
    try:
        accepted = ask()
    except Busy:
        give_ask_back(user, request)
        raise
    if accepted.again:
        give_ask_back(user, request)
    return accepted


def client_id_of(request: Request, given: str | None) -> str:
    """What makes sending again harmless: the body's own ``client_id``, else one made of the request's Idempotency-Key,
    else a new one. Raises InvalidInput for a key that is none, also beside a ``client_id``."""
    key = request.headers.get(HEADER)
    if key is not None:
        checked_key(key)
    if given or key is None:
        return given or uuid4().hex
    words = f"{request.get_full_path()}\0{key}"
    return f"key-{sha256(words.encode()).hexdigest()[:48]}"


def answer_reply(
    request: Request, accepted: services.Accepted, *, wait: float = MAX_WAIT, client_id: str = ""
) -> HttpResponseBase:
    """The reply to what was accepted.

    Server-Sent Events where the request accepts them: ``message.accepted``, then the reply's own. Else JSON
    ``{"conversation", "message", "reply"}`` once the reply has ended, whichever way it did (200); or as it stands (202,
    with its address in ``Location``) where ``wait`` seconds are over or this server goes away before. ``client_id`` is
    what the request went by, where the messages do not tell.
    """
    if wants_stream(request):
        return stream_reply(request, accepted.reply, _accepted_event(accepted, client_id))
    user, credential = person_of(request), credential_of(request)
    return LateResponse(lambda: _whole(accepted.reply, user, credential, min(wait, LONGEST_WAIT)))


def _accepted_event(accepted: services.Accepted, client_id: str) -> events.MessageAccepted:
    return events.MessageAccepted(
        client_id=client_id or accepted.reply.client_id or accepted.question.client_id or "",
        conversation=conversation_info(accepted.conversation),
        message=message_info(accepted.question),
        reply=message_info(accepted.reply),
        again=accepted.again,
    )


async def _whole(reply: Message, user: User, credential: Credential, wait: float) -> HttpResponse:
    await _until_ended(reply, user, credential, wait)
    body = await run_db(_exchange, user, reply.pk)
    ended = body["reply"]["status"] not in Message.LIVE
    headers = {} if ended else {"Location": f"/api/v1/messages/{reply.pk}"}
    raw = JSONRenderer().render(body)
    return HttpResponse(raw, status=200 if ended else 202, headers=headers, content_type="application/json")


async def _until_ended(reply: Message, user: User, credential: Credential, wait: float) -> None:
    """Return when the reply has ended, ``wait`` seconds are over, or this server cannot tell any more."""
    if not (reply.is_live and wait > 0):
        return
    try:
        heard_by = listen(reply, user=user, credential=credential, endings_only=True)
        async with asyncio.timeout(wait), aclosing(heard_by):
            async for _heard in heard_by:
                pass
    except TimeoutError:
        return
    except ApplicationError as error:
        if error.status == 401:
            raise
        # The question is stored and its reply goes on: the caller is told where it can be read.


def _exchange(user: User, reply_id: UUID) -> dict[str, Any]:
    """The answer's body: the reply as it is stored now, its question and their conversation."""
    reply = find_exchange(user.pk, reply_id)
    if reply is None or reply.parent is None:
        raise NotFound
    load_shown(reply.conversation_id, [reply.parent, reply])
    return {
        "conversation": ConversationSerializer(reply.conversation).data,
        "message": MessageSerializer(reply.parent).data,
        "reply": MessageSerializer(reply).data,
    }
