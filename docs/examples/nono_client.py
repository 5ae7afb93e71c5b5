"""A small client of Nono's API in one file, to be copied. Needs Python 3.11 and aiohttp.

::

    async with Nono("https://chat.example.org", api_key="nono_sk_…") as nono:
        reply = await nono.ask("When are you open?")                  # the whole reply, over HTTP
        async for reply in nono.stream("And on Sundays?", conversation=reply.conversation):
            print(reply.take(), end="")                               # as it is written, by Server-Sent Events
        async with nono.chat() as chat:                               # many replies, over one WebSocket
            reply = await chat.ask("And today?", conversation=reply.conversation)
            async for piece in reply:
                print(piece, end="")

What is asked is stored once and answered once, however often the connection breaks: every question carries a
``client_id`` that is sent again with it. A reply does not depend on the connection either; it is resumed where it was
heard last. Whatever the server refuses is raised as ``NonoError``.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import aiohttp

Json = dict[str, Any]

LIVE = ("queued", "streaming")
WAIT = 25  # seconds for which one request waits for a reply's end: less than proxies do
MAX_TRIES = 8
BAD_FRAME, TOO_MANY = 4400, 4429


class NonoError(Exception):
    """The server refused. ``code`` is stable and for programs, ``retry_after`` the seconds to wait where that helps."""

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after


@dataclass(frozen=True)
class Tokens:
    """What a sign-in is kept by. ``refresh`` works once: keep the newest pair, and only that."""

    access: str
    refresh: str
    expires_at: float  # of ``access``, in seconds of time.time()


@dataclass(eq=False)
class Reply:
    """A reply as far as it was heard. Over a WebSocket, iterating gives its text in pieces as they come."""

    id: str
    conversation: str
    text: str = ""
    status: str = "queued"
    epoch: int = 0
    detail: str = ""
    citations: list[Json] = field(default_factory=list)
    error: Exception | None = None
    _taken: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_live(self) -> bool:
        return self.status in LIVE and self.error is None

    @property
    def cursor(self) -> tuple[int, int]:
        """Where it is resumed. Python counts text in code points, as the protocol does."""
        return self.epoch, len(self.text)

    def take(self) -> str:
        """The text that is new since this was last called. A reply that was begun anew starts on a line of its own."""
        anew = not self.text.startswith(self._taken)
        new = f"\n{self.text}" if anew else self.text[len(self._taken) :]
        self._taken = self.text
        return new

    def learn(self, message: Json) -> None:
        """Take over a message's stored state, where the reply has ended."""
        if message["status"] not in LIVE:
            self.text, self.status, self.epoch = message["text"], message["status"], message["epoch"]
            self.citations = message["citations"]
        self._changed.set()

    def apply(self, event: Json) -> bool:
        """Apply a ``reply.*`` event. False where it does not join on to what was heard: then follow it anew."""
        kind, epoch = event["type"].removeprefix("reply."), event["epoch"]
        if epoch < self.epoch or (epoch == self.epoch and not self.is_live):
            return True  # past
        if kind == "delta":
            missing = event["seq"] - len(event["text"]) - len(self.text)
            if epoch != self.epoch or missing > 0:
                return False
            self.text += event["text"][-missing:] if missing else event["text"]
        elif kind in ("started", "snapshot"):
            self.text = event.get("text", "") if kind == "snapshot" or event["seq"] == 0 else self.text
        elif kind == "citations":
            self.citations = event["citations"]
        elif kind in ("completed", "stopped", "interrupted", "failed"):
            self.text, self.status, self.detail = event["text"], kind, event["detail"]
            self.citations = event["citations"]
        if kind != "queued":
            self.epoch = epoch
        self._changed.set()
        return True

    def fail(self, error: Exception) -> None:
        """Nothing more will be heard of it here."""
        self.error = error
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            self._changed.clear()
            if piece := self.take():
                yield piece
            elif self.error is not None:
                raise self.error
            elif not self.is_live:
                return
            else:
                await self._changed.wait()


class Nono:
    """One person's way to a server. ``urls`` are addresses of the same service, of which the next is tried where one
    does not answer; one is enough behind a load balancer. ``on_tokens`` is called with each new pair of tokens."""

    def __init__(
        self,
        *urls: str,
        api_key: str = "",
        tokens: Tokens | None = None,
        on_tokens: Callable[[Tokens], None] | None = None,
    ) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._api_key, self.tokens, self._on_tokens = api_key, tokens, on_tokens
        self._refreshing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # Long replies keep a connection open; a stream says something every 15 seconds.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
        self.http = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.close()

    @property
    def url(self) -> str:
        """The address that is used now."""
        return self._urls[0]

    def turn(self) -> None:
        """Use the next address from now on."""
        self._urls.append(self._urls.pop(0))

    # --- signing in

    async def sign_in(self, email: str, password: str, device: str = "nono_client") -> None:
        """Sign in with an address and a password."""
        self._keep(await self.call("POST", "auth/login", {"email": email, "password": password, "device": device}))

    async def sign_in_as_guest(self, device: str = "nono_client") -> None:
        """Go on without an account, where the installation allows it."""
        self._keep(await self.call("POST", "auth/guest", {"device": device}))

    async def sign_out(self) -> None:
        """End the sign-in; its sockets close."""
        await self.call("POST", "auth/logout", {})
        self.tokens = None

    def _keep(self, pair: Json) -> None:
        self.tokens = Tokens(pair["access"], pair["refresh"], time.time() + pair["expires_in"])
        if self._on_tokens:
            self._on_tokens(self.tokens)

    async def _refresh(self, used: str) -> None:
        """Replace ``used``, unless another task just did. Never tried twice: a refresh token that comes again is taken
        for stolen, and ends the sign-in."""
        async with self._refreshing:
            if self.tokens is None or self.tokens.access != used:
                return
            body = {"refresh": self.tokens.refresh}
            async with self.http.post(f"{self.url}/api/v1/auth/refresh", json=body) as answer:
                if answer.status >= 400:
                    self.tokens = None
                    raise await _refusal(answer)
                self._keep(await answer.json())

    async def headers(self) -> dict[str, str]:
        """What a request shows who it is from."""
        if self.tokens is not None and self.tokens.expires_at - time.time() < 30:
            await self._refresh(self.tokens.access)
        token = self._api_key or (self.tokens.access if self.tokens else "")
        return {"Authorization": f"Bearer {token}"} if token else {}

    # --- calling

    async def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Any endpoint below ``/api/v1/``. Tried again where the connection breaks or the server is away, so whatever
        must not happen twice carries a ``client_id`` or an Idempotency-Key. Raises NonoError."""
        once = {"Idempotency-Key": uuid4().hex} if method == "POST" and not path.startswith("auth/") else {}
        for tries in range(MAX_TRIES):
            try:
                async with await self.open(method, path, body, once) as answer:
                    return dict(await answer.json()) if answer.status != 204 else {}
            except NonoError as error:
                if error.status not in (429, 503) or tries + 1 == MAX_TRIES:
                    raise
                await asyncio.sleep(error.retry_after or backoff(tries))
            except (aiohttp.ClientError, TimeoutError):
                if tries + 1 == MAX_TRIES or path.startswith("auth/"):
                    raise
                self.turn()
                await asyncio.sleep(backoff(tries))
        raise AssertionError("unreachable")

    async def open(
        self, method: str, path: str, body: Json | None = None, headers: dict[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """One request, whose answer is still to be read. Raises NonoError for any refusal."""
        for may_refresh in (True, False):
            shown = await self.headers()
            sent = {**shown, **(headers or {})}
            answer = await self.http.request(method, f"{self.url}/api/v1/{path}", json=body, headers=sent)
            if answer.status < 400:
                return answer
            error = await _refusal(answer)
            if answer.status == 401 and may_refresh and self.tokens is not None and shown:
                await self._refresh(shown["Authorization"].removeprefix("Bearer "))
                continue
            raise error
        raise AssertionError("unreachable")

    async def pages(self, path: str) -> AsyncIterator[Json]:
        """Everything in a list, page after page: ``pages("conversations?limit=100")``."""
        mark, cursor = "&" if "?" in path else "?", ""
        while True:
            page = await self.call("GET", f"{path}{cursor}")
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            cursor = f"{mark}cursor={page['next']}"

    # --- asking

    async def ask(self, text: str, *, conversation: str | None = None, persona: str | None = None) -> Reply:
        """The whole reply. Its ``status`` says whether it was completed."""
        body = _question(text, conversation, persona) | {"wait": WAIT}
        while True:
            answer = await self.call("POST", "chat/send", body)  # the same client_id: the same question
            reply = _reply_of(answer["conversation"]["id"], answer["reply"])
            if not reply.is_live:
                return reply

    async def stream(
        self, text: str, *, conversation: str | None = None, persona: str | None = None
    ) -> AsyncIterator[Reply]:
        """The reply, each time that it has changed, over Server-Sent Events. A stream that breaks is gone on with."""
        body = _question(text, conversation, persona)
        reply: Reply | None = None
        last_id, tries = "", 0
        while reply is None or reply.is_live:
            try:
                async with await self._open_stream(reply, body, last_id) as answer:
                    async for event_id, event in _server_sent_events(answer):
                        last_id, tries = event_id or last_id, 0
                        if event["type"] == "error":
                            raise NonoError(503, event["code"], event["detail"], event["retry_after"])
                        if event["type"] == "message.accepted":
                            reply = _reply_of(event["conversation"]["id"], event["reply"])
                        elif reply is not None and not reply.apply(event):
                            last_id = ""  # never seen: the server joins what it sends. Hear it from the beginning.
                            break
                        if reply is not None:
                            yield reply
            except (aiohttp.ClientError, TimeoutError):
                self.turn()
            except NonoError as error:
                if error.status not in (429, 503) or tries >= MAX_TRIES:
                    raise
                await asyncio.sleep(error.retry_after or 0)
            if reply is None or reply.is_live:
                if tries >= MAX_TRIES:
                    raise NonoError(503, "unavailable", "The server does not answer.")
                await asyncio.sleep(backoff(tries))
                tries += 1

    async def _open_stream(self, reply: Reply | None, body: Json, last_id: str) -> aiohttp.ClientResponse:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        if reply is None:
            return await self.open("POST", "chat/send", body, headers)
        return await self.open("GET", f"messages/{reply.id}/events", None, headers)

    def chat(self) -> "Chat":
        """A WebSocket, to be entered with ``async with``."""
        return Chat(self)


class Chat:
    """One WebSocket that is opened again whenever it closes: what was not acknowledged is sent again, what is live is
    followed from where it was heard last."""

    def __init__(self, nono: Nono) -> None:
        self._nono = nono
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._asked: dict[str, tuple[Json, asyncio.Future[Reply]]] = {}
        self._live: dict[str, Reply] = {}
        self.reconnects = 0

    async def __aenter__(self) -> Self:
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, text: str, *, conversation: str | None = None, persona: str | None = None) -> Reply:
        """The reply, which is still to come, once the question is stored. Raises NonoError where it is refused."""
        return await self._command({"type": "message.send", **_question(text, conversation, persona)})

    async def regenerate(self, reply: Reply) -> Reply:
        """Another reply to the same question."""
        return await self._command({"type": "reply.regenerate", "client_id": uuid4().hex, "reply": reply.id})

    async def stop(self, reply: Reply) -> None:
        """End the reply with what it has; iterating it ends then."""
        await self._send({"type": "reply.stop", "reply": reply.id})

    async def _command(self, command: Json) -> Reply:
        if self._task.done():
            self._task.result()
        accepted: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[command["client_id"]] = command, accepted
        try:
            await self._send(command)
            return await accepted
        finally:
            self._asked.pop(command["client_id"], None)

    async def _send(self, command: Json) -> None:
        """Nothing is lost where there is no connection: see ``_catch_up``."""
        if self._socket is not None and not self._socket.closed:
            try:
                await self._socket.send_str(json.dumps(command))
            except (aiohttp.ClientError, ConnectionError):
                return

    async def _run(self) -> None:
        tries = 0
        try:
            while True:
                code = None
                try:
                    ticket = (await self._nono.call("POST", "chat/ws-ticket"))["ticket"]
                    code = await self._one_socket(ticket)
                    tries = 0 if self._ready.is_set() else tries
                except (aiohttp.ClientError, TimeoutError):
                    self._nono.turn()
                if code == BAD_FRAME:
                    raise NonoError(400, "bad_frame", "The server does not understand this client.")
                await asyncio.sleep(backoff(tries + (4 if code == TOO_MANY else 0)))
                tries, self.reconnects = tries + 1, self.reconnects + 1
        except Exception as error:
            for _command, accepted in self._asked.values():
                if not accepted.done():
                    accepted.set_exception(error)
            for reply in self._live.values():
                reply.fail(error)
            raise

    async def _one_socket(self, ticket: str) -> int | None:
        """Hear one socket to its end; the code of its close."""
        self._ready.clear()
        address = f"{self._nono.url.replace('http', 'ws', 1)}/ws/chat/?ticket={ticket}"
        async with self._nono.http.ws_connect(address, heartbeat=20, max_msg_size=0) as socket:
            self._socket = socket
            async for frame in socket:
                if frame.type == aiohttp.WSMsgType.TEXT:
                    await self._hear(json.loads(frame.data), socket)
            return socket.close_code

    async def _hear(self, event: Json, socket: aiohttp.ClientWebSocketResponse) -> None:
        kind = event["type"]
        if kind == "ready":
            await self._catch_up()
            self._ready.set()
        elif kind == "message.accepted":
            self._accepted(event)
        elif kind == "conversation.snapshot":
            for message in event["messages"]:
                if message["id"] in self._live:
                    self._live[message["id"]].learn(message)
        elif kind == "error" and event["client_id"] in self._asked:
            self._refused(event)
        elif kind == "server.draining":
            await asyncio.sleep(random.uniform(0, event["within"] / 1000))  # noqa: S311  spreads clients, no secret
            await socket.close()
        elif kind.startswith("reply.") and event["reply"] in self._live:
            reply = self._live[event["reply"]]
            if not reply.apply(event):
                await self._follow(reply.conversation)
        self._live = {pk: reply for pk, reply in self._live.items() if reply.is_live}

    async def _catch_up(self) -> None:
        for command, _accepted in list(self._asked.values()):
            await self._send(command)
        for conversation in {reply.conversation for reply in self._live.values()}:
            await self._follow(conversation)

    async def _follow(self, conversation: str) -> None:
        cursors = {pk: reply.cursor for pk, reply in self._live.items() if reply.conversation == conversation}
        await self._send({"type": "conversation.follow", "conversation": conversation, "cursors": cursors})

    def _accepted(self, event: Json) -> None:
        _command, accepted = self._asked.get(event["client_id"], (None, None))
        if accepted is not None and not accepted.done():
            reply = _reply_of(event["conversation"]["id"], event["reply"])
            self._live[reply.id] = reply
            accepted.set_result(reply)

    def _refused(self, event: Json) -> None:
        command, accepted = self._asked[event["client_id"]]
        if event["code"] == "unavailable":  # nothing was stored: the same again, in a while
            asyncio.get_running_loop().call_later(1, lambda: asyncio.ensure_future(self._send(command)))
        elif not accepted.done():
            accepted.set_exception(NonoError(400, event["code"], event["detail"], event["retry_after"]))


def backoff(tries: int) -> float:
    """Seconds to wait after so many tries in vain: longer each time, and never the same for all clients."""
    return random.uniform(0.5, 1.0) * min(0.25 * 2.0**tries, 15.0)  # noqa: S311  spreads clients, no secret


def _question(text: str, conversation: str | None, persona: str | None) -> Json:
    return {"client_id": uuid4().hex, "text": text, "conversation": conversation, "persona": persona}


def _reply_of(conversation: str, message: Json) -> Reply:
    reply = Reply(message["id"], conversation, epoch=message["epoch"])
    reply.learn(message)
    return reply


async def _refusal(answer: aiohttp.ClientResponse) -> NonoError:
    """The error that an answer tells of, in the API's one shape or, from a proxy, in none."""
    text = await answer.text()
    try:
        problem = json.loads(text)
        return NonoError(answer.status, problem["code"], problem["detail"], problem.get("retry_after"))
    except (ValueError, KeyError, TypeError):
        return NonoError(answer.status, "http_error", f"HTTP status {answer.status}")


async def _server_sent_events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Json]]:
    """The id and the data of each event."""
    event_id, data = "", ""
    async for raw in answer.content:
        name, _, value = raw.decode().rstrip("\r\n").partition(": ")
        if name == "id":
            event_id = value
        elif name == "data":
            data += value
        elif not name and data:
            yield event_id, json.loads(data)
            event_id, data = "", ""
