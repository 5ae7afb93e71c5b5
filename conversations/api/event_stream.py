"""A reply as Server-Sent Events: the frames of the socket, each with an id by which it is gone on from."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing

from django.http import StreamingHttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from accounts.api.authentication import credential_of, person_of
from chatbot_project.lib.errors import ApplicationError
from conversations import events
from conversations.hub import NOTHING
from conversations.listening import Heard, listen
from conversations.models import Message

MEDIA_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
KEEP_ALIVE_SECONDS = 15.0  # proxies close what is silent for longer
RETRY_MILLISECONDS = 1000
_ID = re.compile(r"(\d{1,18})-(\d{1,18})(-end)?")


class EventStreamRenderer(JSONRenderer):
    """Lets a view take requests that accept only an event stream. What it renders is errors before the stream begins,
    and they are JSON."""

    media_type = MEDIA_TYPE
    format = "sse"


def wants_stream(request: Request) -> bool:
    """Whether the caller asked for Server-Sent Events. The view lists ``EventStreamRenderer``."""
    return request.accepted_renderer.media_type == MEDIA_TYPE


def cursor_of(request: Request) -> events.Cursor:
    """Where ``Last-Event-ID`` says that the client is; the beginning for anything that is no id of ours."""
    found = _ID.fullmatch(request.headers.get(LAST_EVENT_ID, ""))
    return (int(found[1]), int(found[2])) if found else NOTHING


def heard_all(request: Request) -> bool:
    """Whether ``Last-Event-ID`` is that of an ending: a browser asks again all the same."""
    return request.headers.get(LAST_EVENT_ID, "").endswith("-end")


def stream_reply(request: Request, reply: Message, first: events.Event | None = None) -> StreamingHttpResponse:
    """The events of ``reply`` from where the client is, with ``first`` before them."""
    response = StreamingHttpResponse(_lines(request, reply, first), content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _lines(request: Request, reply: Message, first: events.Event | None) -> AsyncIterator[bytes]:
    head = b"retry: %d\n\n" % RETRY_MILLISECONDS
    yield head if first is None else head + _event(events.tag_of(first), events.encode(first))
    heard_by = listen(
        reply,
        user=person_of(request),
        credential=credential_of(request),
        cursor=cursor_of(request),
        idle=KEEP_ALIVE_SECONDS,
    )
    try:
        async with aclosing(heard_by):
            async for heard in heard_by:
                yield b": still here\n\n" if heard is None else _reply_event(heard)
    except ApplicationError as error:
        refusal = events.error_of(error)
        yield _event(events.tag_of(refusal), events.encode(refusal))


def _reply_event(heard: Heard) -> bytes:
    heading = heard.heading
    end = "-end" if heading.is_ending else ""
    return _event(heading.type, heard.frame, f"{heading.epoch}-{heading.seq}{end}")


def _event(name: str, frame: bytes, event_id: str = "") -> bytes:
    """JSON has no line break in it: one ``data`` line."""
    id_line = f"id: {event_id}\n" if event_id else ""
    return f"{id_line}event: {name}\ndata: ".encode() + frame + b"\n\n"
