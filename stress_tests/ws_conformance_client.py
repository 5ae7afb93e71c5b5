"""The conformance script's way to a server: its API by HTTP, its chat socket, and what a client makes of the events.

Needs only aiohttp, and nothing of the server's own code: it takes the protocol as docs/protocol.md has it.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from socket import SHUT_RDWR
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import uuid4

import aiohttp

Json = dict[str, Any]
Found = TypeVar("Found")

LIVE = ("queued", "streaming")
ENDINGS = ("reply.completed", "reply.stopped", "reply.interrupted", "reply.failed")
MAX_HEARD = 100_000


class Failed(Exception):
    """The server did not do what the protocol says."""


class Skipped(Exception):
    """It cannot be told here."""


class CannotRun(Exception):
    """Nothing can be told: there is no such server, or it does not let us in."""


@dataclass
class Credentials:
    """What shows who somebody is: an API key, or else an address and a password, or else nothing: a guest."""

    api_key: str = ""
    email: str = ""
    password: str = ""


class Api:
    """The server's HTTP side, for one person."""

    def __init__(self, url: str, http: aiohttp.ClientSession, patience: float) -> None:
        self.url, self._http, self._patience = url.rstrip("/"), http, patience
        self._token = ""

    async def sign_in(self, credentials: Credentials) -> None:
        """Raises CannotRun where the server does not let the person in."""
        if credentials.api_key:
            self._token = credentials.api_key
            await self.post("chat/ws-ticket")
            return
        if credentials.email:
            body = {"email": credentials.email, "password": credentials.password, "device": "ws_conformance"}
            answer = await self.post("auth/login", **body)
        else:
            answer = await self.post("auth/guest", device="ws_conformance")
        self._token = str(answer["access"])

    async def post(self, path: str, **body: Any) -> Json:
        """The answer's JSON. Waits where it is told to, within the patience; raises CannotRun for any refusal."""
        try:
            async with self._http.post(f"{self.url}/api/v1/{path}", json=body, headers=self._shown()) as answer:
                text = await answer.text()
                if answer.status == 429:
                    wait = float(answer.headers.get("Retry-After", "60"))
                    return await self._again(wait, path, body)
                if answer.status >= 300:
                    raise CannotRun(f"POST /api/v1/{path} answered {answer.status}: {text[:200]}")
                made: Json = json.loads(text)
                return made
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise CannotRun(f"POST /api/v1/{path}: {type(error).__name__}: {error}") from error

    async def _again(self, wait: float, path: str, body: Json) -> Json:
        if wait > self._patience:
            raise CannotRun(f"POST /api/v1/{path} is limited for {wait:.0f} s more")
        self._patience -= wait
        await asyncio.sleep(wait)
        return await self.post(path, **body)

    async def personas(self) -> list[str]:
        """The slugs of those that the person may chat with, where the server lists them."""
        try:
            async with self._http.get(f"{self.url}/api/v1/personas", headers=self._shown()) as answer:
                return [str(persona["slug"]) for persona in (await answer.json())["items"]]
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
            return []

    async def delete(self, path: str) -> bool:
        """Whether the server deleted it."""
        try:
            async with self._http.delete(f"{self.url}/api/v1/{path}", headers=self._shown()) as answer:
                return answer.status == 204
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _shown(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def ticket(self) -> Json:
        """``ticket`` and ``expires_in``."""
        return await self.post("chat/ws-ticket")

    async def tab(self, *, origin: str | None = None) -> "Tab":
        """A new socket, past ``ready``."""
        tab = await self.connect((await self.ticket())["ticket"], origin=origin)
        if tab.first["type"] != "ready":
            raise Failed(f"a fresh ticket opened a socket whose first event is {tab.first}")
        return tab

    async def connect(self, ticket: str | None, *, origin: str | None = None) -> "Tab":
        """A socket that has said something or was closed. Raises Refused where the handshake is."""
        parts = urlsplit(self.url)
        query = "" if ticket is None else urlencode({"ticket": ticket})
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        address = urlunsplit((scheme, parts.netloc, "/ws/chat/", query, ""))
        try:
            socket = await self._http.ws_connect(address, origin=origin, max_msg_size=0, autoclose=True)
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(error.status) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Failed(f"the handshake broke: {type(error).__name__}: {error}") from error
        return await Tab(socket).opened()


class Refused(Failed):
    """The handshake was answered by an HTTP status other than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the handshake was answered with {status}")
        self.status = status


@dataclass
class Reply:
    """A reply as a client holds it; ``joins`` is False while nothing can follow on what it holds."""

    epoch: int = 0
    text: str = ""
    ending: str = ""
    joins: bool = True
    deltas: int = 0
    first: str = ""  # the first event that gave it text since it was followed
    told: bool = False  # how it ended was told by an acknowledgement: what follows was under way before that

    def take(self, event: Json) -> None:
        """Apply an event by the protocol's rules. Raises Failed where it breaks one."""
        kind, epoch, seq = event["type"], event["epoch"], event["seq"]
        if kind in ("reply.queued", "reply.citations"):
            return
        if epoch < self.epoch:
            raise Failed(f"{kind} of epoch {epoch} after one of epoch {self.epoch}")
        if self.ending and epoch == self.epoch:
            self._take_late(kind, event)
            return
        self.first = self.first or kind
        if kind == "reply.delta":
            self._follow_on(event)
        elif kind == "reply.started":
            self.text = ""
        elif kind == "reply.snapshot":
            self.text = event["text"]
        elif kind in ENDINGS:
            self._end(kind, event)
        else:
            return
        if seq != len(self.text):
            raise Failed(f"{kind} says seq {seq} where the text has {len(self.text)} code points")
        self.epoch, self.joins = epoch, True

    def _take_late(self, kind: str, event: Json) -> None:
        """Of a reply that has ended: its ending may be said again, and nothing else."""
        if kind in ENDINGS and (kind, event["text"]) != (self.ending, self.text):
            raise Failed(f"{kind} with another text after {self.ending}")
        if kind not in ENDINGS and not self.told:
            raise Failed(f"{kind} after {self.ending}")

    def _follow_on(self, event: Json) -> None:
        before = event["seq"] - len(event["text"])
        if not self.joins:
            raise Failed("reply.delta where only the whole text could follow")
        if event["epoch"] != self.epoch:
            raise Failed(f"reply.delta of epoch {event['epoch']}, which nothing began, after epoch {self.epoch}")
        if before != len(self.text):
            what = "doubled" if before < len(self.text) else "missing"
            raise Failed(f"text is {what}: a delta from {before} where {len(self.text)} code points are held")
        self.text += event["text"]
        self.deltas += 1

    def _end(self, kind: str, event: Json) -> None:
        same = event["epoch"] == self.epoch and self.joins
        if same and not event["text"].startswith(self.text):
            raise Failed(f"{kind} holds another text than the deltas before it")
        self.text, self.ending = event["text"], kind


@dataclass(eq=False)
class Tab:
    """One socket: what it hears is kept, and applied to the replies that it follows."""

    socket: aiohttp.ClientWebSocketResponse
    heard: list[Json] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)
    broken: Failed | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _reader: asyncio.Task[None] | None = None

    async def opened(self) -> Self:
        """Past the first event, or closed."""
        self._reader = asyncio.create_task(self._read())
        await self.until(lambda: self.heard or self.is_closed, "the first event or a close")
        return self

    @property
    def first(self) -> Json:
        return self.heard[0] if self.heard else {"type": f"closed {self.close_code}"}

    @property
    def is_closed(self) -> bool:
        return self._reader is not None and self._reader.done()

    @property
    def close_code(self) -> int | None:
        return self.socket.close_code

    async def _read(self) -> None:
        try:
            async for frame in self.socket:
                if frame.type == aiohttp.WSMsgType.TEXT and len(self.heard) < MAX_HEARD:
                    self._take(frame.data)
                self._changed.set()
        except Failed as error:
            self.broken = error
        finally:
            self._changed.set()

    def _take(self, text: str) -> None:
        try:
            event = json.loads(text)
            kind = event["type"]
            self.heard.append(event)
            if kind == "message.accepted":
                self.replies[event["reply"]["id"]] = _accepted_reply(event["reply"])
            elif kind.startswith("reply.") and event["reply"] in self.replies:
                self.replies[event["reply"]].take(event)
        except (ValueError, KeyError, TypeError) as error:
            raise Failed(f"a frame that is no event ({type(error).__name__} {error}): {text[:120]!r}") from error

    async def until(self, condition: Callable[[], Found], what: str, seconds: float = 15.0) -> Found:
        """The first true answer of ``condition``, asked after each event. Raises Failed after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._changed.clear()
                    if self.broken is not None:
                        raise self.broken
                    if found := condition():
                        return found
                    if self.is_closed:
                        raise Failed(f"closed with {self.close_code} before {what}")
                    await self._changed.wait()
        except TimeoutError:
            last = [event["type"] for event in self.heard[-5:]]
            raise Failed(f"not within {seconds:.0f} s: {what}; heard last: {last}") from None

    async def send(self, kind: str, **fields: Any) -> None:
        await self.send_raw(json.dumps({"type": kind, **fields}))

    async def send_raw(self, frame: str) -> None:
        try:
            await self.socket.send_str(frame)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise Failed(f"the socket is gone: {error}; closed with {self.close_code}") from error

    async def answer(self, kind: str, *, of: Callable[[Json], bool], **fields: Any) -> Json:
        """Send a command and wait for the first event from then on that ``of`` knows for its answer."""
        before = len(self.heard)
        await self.send(kind, **fields)
        return await self.next(of, f"an answer to {kind}", before)

    async def next(self, of: Callable[[Json], bool], what: str, before: int | None = None) -> Json:
        """The first event from now, or from ``before``, that ``of`` knows."""
        start = len(self.heard) if before is None else before
        found = await self.until(lambda: [e for e in self.heard[start:] if of(e)], what)
        return found[0]

    async def command(self, kind: str, *, patience: float = 60.0, **fields: Any) -> Json:
        """Send a command under a ``client_id``; the event that answers it. Waits where it is told to, once."""
        client_id = fields.pop("client_id", None) or uuid4().hex
        answer = await self.answer(
            kind, of=lambda event: event.get("client_id") == client_id and event["type"] in ANSWERS,
            client_id=client_id, **fields,
        )  # fmt: skip
        wait = answer.get("retry_after")
        if answer.get("code") == "rate_limited" and wait is not None and wait <= patience:
            await asyncio.sleep(wait)
            return await self.command(kind, patience=0, client_id=client_id, **fields)
        return answer

    async def accepted(self, kind: str, **fields: Any) -> Json:
        """The acknowledgement of a command. Raises Failed where it was refused."""
        answer = await self.command(kind, **fields)
        if answer["type"] != "message.accepted":
            raise Failed(f"{kind} was refused: {answer['code']}: {answer['detail']}")
        return answer

    async def follow(self, conversation: str, **cursors: tuple[int, int]) -> Json:
        """The conversation's snapshot. Live replies in it are applied from the cursors on: see ``hold``."""
        answer = await self.answer(
            "conversation.follow", of=lambda e: _is_snapshot(e, conversation) or e["type"] == "error",
            conversation=conversation, cursors=cursors,
        )  # fmt: skip
        if answer["type"] == "error":
            raise Failed(f"conversation.follow was refused: {answer['code']}: {answer['detail']}")
        return answer

    def hold(self, reply: str, state: Reply) -> None:
        """From here on apply the reply's events to ``state``."""
        self.replies[reply] = state

    async def ended(self, reply: str, seconds: float = 60.0) -> Reply:
        """The reply once it has ended."""
        await self.until(lambda: self.replies[reply].ending, "the end of a reply", seconds)
        return self.replies[reply]

    async def ping(self) -> None:
        """A ping and its pong: everything that was sent before has been heard."""
        await self.answer("ping", of=lambda event: event["type"] == "pong")

    async def closed(self) -> int | None:
        """The code with which the server closes."""
        await self.until(lambda: self.is_closed, "the server's close")
        return self.close_code

    async def close(self) -> None:
        """Leave."""
        await self.socket.close()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=5)

    def drop(self) -> None:
        """Break the connection without a word."""
        self.socket.get_extra_info("socket").shutdown(SHUT_RDWR)


ANSWERS = ("message.accepted", "error")


def _is_snapshot(event: Json, conversation: str) -> bool:
    return bool(event["type"] == "conversation.snapshot" and event["conversation"]["id"] == conversation)


def _accepted_reply(message: Json) -> Reply:
    """What a client holds of a reply when its question is acknowledged: of a live one nothing yet."""
    if message["status"] in LIVE:
        return Reply(epoch=message["epoch"])
    ending = f"reply.{message['status']}"
    return Reply(epoch=message["epoch"], text=message["text"], ending=ending, told=True)
