"""A model server that does what it is told: real HTTP, the OpenAI protocol, timing and faults by request.

In a test, in a thread of its own::

    server = FakeModelServer()
    base_url = server.start()
    server.enqueue(Script(tokens=5, token_ms=20, cut_after=3))   # the next chat request
    ...
    server.stop()

On its own: ``python -m stress_tests.fake_model --port 9000 --first-ms 200 --token-ms 20 --tokens 60``. There, and in
tests, a request chooses for itself with a model name such as ``fake?tokens=200&token_ms=0`` (fields of ``Script``).

Streams due at the same moment share one timer and write straight to their transports: a thousand of them cost little.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import hashlib
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import httptools
import uvloop

from .fake_script import (
    Gate,
    Script,
    checksum_token,
    chunk_frame,
    final_frames,
    fresh_frame,
    http_chunk,
    role_frame,
    script_from_model,
    sse,
    stamp_token,
    token_texts,
)

__all__ = ["CHAT", "FakeModelServer", "Gate", "Recorded", "Script", "closed_port", "main"]

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
PULL = "/api/pull"
EMBEDDING_DIMENSIONS = 256
SLOT = 0.001
TOKENS_AT_ONCE = 256
PIECE = b"a" * 65536
HTML_PAGE = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A request as it came in. ``at`` is ``time.monotonic``; header names are in lower case."""

    path: str
    model: str
    messages: list[dict[str, Any]]
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float


def closed_port() -> int:
    """A local port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class _Wheel:
    """Calls back at a moment, rounded up to a slot; one loop timer per slot however many wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}

    def at(self, when: float, callback: Callable[[], None]) -> None:
        slot = int(when / SLOT) + 1
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [callback]
            self._loop.call_at(slot * SLOT, self._run, slot)
        else:
            waiting.append(callback)

    def _run(self, slot: int) -> None:
        for callback in self._slots.pop(slot):
            callback()


class _Stream:
    """One streamed reply: which tokens are due, and what comes after the last one."""

    def __init__(
        self, connection: "_Connection", script: Script, request: Recorded, usage: dict[str, int] | None
    ) -> None:
        self._connection = connection
        self._server = connection.server
        self._script = script
        self._model = request.model
        self._usage = usage
        last = next((m.get("content") for m in reversed(request.messages) if m.get("role") == "user"), "")
        self._tokens = token_texts(script, str(last))
        self._sent = 0
        self._finished = False
        self._first_at = self._server.loop.time() + script.first_ms / 1000
        self._huge_left = script.huge_line
        self._fails_at = script.fails_at()
        if script.gate is not None:
            loop = self._server.loop
            script.gate.listen(lambda: loop.call_soon_threadsafe(self.step))

    @property
    def finished(self) -> bool:
        return self._finished

    def start(self) -> None:
        if self._script.first_ms:
            self._server.wheel.at(self._first_at, self.step)
        else:
            self.step()

    def step(self) -> None:
        """Write what is due, then arrange for the next step. Called by the wheel, a gate, or a transport with room
        again.
        """
        connection = self._connection
        if self._finished or connection.stream is not self or connection.paused:
            return
        now = self._server.loop.time()
        if now < self._first_at:
            self._server.wheel.at(self._first_at, self.step)
            return
        self._write_due(now)
        total = len(self._tokens)
        if self._fails_at is not None and self._sent >= min(self._fails_at, total):
            self._break_off()
        elif self._sent == total:
            self._end(final_frames(self._model, self._script, self._usage))
        elif self._script.token_ms:
            self._server.wheel.at(max(now, self._first_at + self._sent * self._script.token_ms / 1000), self.step)
        elif self._sent < self._limit():
            self._server.loop.call_soon(self.step)

    def _limit(self) -> int:
        limit: float = len(self._tokens)
        if self._fails_at is not None:
            limit = min(limit, self._fails_at)
        if self._script.gate is not None:
            limit = min(limit, self._script.gate.allowed)
        return int(limit)

    def _write_due(self, now: float) -> None:
        due = self._limit()
        if self._script.token_ms:
            due = min(due, 1 + int((now - self._first_at) * 1000 / self._script.token_ms + 1e-6))
        due = min(due, self._sent + TOKENS_AT_ONCE)
        if due <= self._sent:
            return
        frames = [role_frame(self._model)] if self._sent == 0 else []
        if self._script.stamp:
            frames += [fresh_frame(self._model, text) for text in self._stamps(due)]
        else:
            frames += [chunk_frame(self._model, text) for text in self._tokens[self._sent : due]]
        self._sent = due
        self._connection.write(b"".join(frames))

    def _stamps(self, due: int) -> list[str]:
        """The tokens up to ``due`` of a stamped stream, made now; kept for the checksum, which is the last."""
        last = len(self._tokens) - 1
        for number in range(self._sent, due):
            self._tokens[number] = stamp_token() if number < last else checksum_token("".join(self._tokens[:last]))
        return self._tokens[self._sent : due]

    def _break_off(self) -> None:
        script = self._script
        if script.error_after is not None:
            event = {"error": script.error or {"message": "the model broke off", "type": "server_error", "code": 500}}
            self._end(http_chunk(sse(event)) + b"0\r\n\r\n")
        elif script.malformed_after is not None:
            self._end(http_chunk(b'data: {"choices": [{"delta": {"conte\n\n') + final_frames(self._model, script, None))
        elif script.cut_after is not None:
            self._cut()
        elif script.huge_line:
            self._write_huge_line()
        elif script.keep_alives_only:
            self._keep_alive()

    def _cut(self) -> None:
        if self._script.cut == "eof":
            self._end(b"0\r\n\r\n")
            return
        self._finished = True
        if self._script.cut == "reset":
            self._connection.reset()
        else:
            self._connection.close()

    def _write_huge_line(self) -> None:
        if self._huge_left == self._script.huge_line:
            self._connection.write(http_chunk(b'data: {"choices":[{"index":0,"delta":{"content":"'))
        while self._huge_left > 0 and not self._connection.paused:
            self._huge_left -= len(PIECE)
            self._connection.write(http_chunk(PIECE))
            self._server.huge_bytes_sent += len(PIECE)
        if self._huge_left <= 0:
            self._end(http_chunk(b'"}}]}\n\n') + final_frames(self._model, self._script, None))

    def _keep_alive(self) -> None:
        event = sse({"object": "chat.completion.chunk", "choices": []})
        self._connection.write(http_chunk(b": keep-alive\n\n") + http_chunk(event))
        self._server.wheel.at(self._server.loop.time() + self._script.keep_alive_ms / 1000, self.step)

    def _end(self, last: bytes) -> None:
        self._finished = True
        self._connection.write(last)
        self._connection.stream_ended()


class _Connection(asyncio.Protocol):
    """One client connection: parses requests, answers each by its script."""

    def __init__(self, server: "FakeModelServer") -> None:
        self.server = server
        self.paused = False
        self.stream: _Stream | None = None
        self._transport: asyncio.Transport | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.server.connections.discard(self)
        stream, self.stream = self.stream, None
        if stream is not None and not stream.finished:
            self.server.note_disconnect()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.stream is not None:
            self.stream.step()

    def data_received(self, data: bytes) -> None:
        with contextlib.suppress(httptools.HttpParserError):
            self._parser.feed_data(data)
            return
        self.close()

    # Called by the parser

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        try:
            body = json.loads(b"".join(self._body) or b"{}")
        except ValueError:
            body = {}
        path = self._url.decode("latin-1").partition("?")[0]
        messages = body.get("messages") or []
        model = str(body.get("model") or body.get("name") or "")
        recorded = Recorded(path, model, messages, self._headers, body, time.monotonic())
        self._begin()
        self.server.record(recorded)
        self._answer(recorded)

    # Answers

    def _answer(self, request: Recorded) -> None:
        try:
            script = self.server.next_script(request)
        except (ValueError, TypeError) as error:
            self._json(400, {"error": {"message": str(error), "type": "invalid_request_error"}})
            return
        if self._fault(script):
            return
        if request.path == CHAT and request.body.get("stream"):
            self._stream(request, script)
        elif request.path == CHAT:
            self.server.wheel.at(self.server.loop.time() + script.first_ms / 1000, lambda: self._whole(request, script))
        elif request.path == EMBEDDINGS:
            self._json(200, _embeddings(request))
        elif request.path == MODELS:
            models = [{"id": name, "object": "model", "created": 1700000000} for name in self.server.models]
            self._json(200, {"object": "list", "data": models})
        elif request.path == PULL:
            self._pull(request)
        else:
            self._json(404, {"error": {"message": "no such path", "type": "invalid_request_error"}})

    def _fault(self, script: Script) -> bool:
        """Answer with the fault that comes instead of a reply; returns whether there is one."""
        headers: dict[str, str] = {}
        if script.retry_after is not None:
            headers["retry-after"] = script.retry_after
        if script.location is not None:
            headers["location"] = script.location
        if script.html:
            self._respond(script.status, HTML_PAGE, "text/html", headers)
        elif script.status != 200 or (script.error is not None and script.error_after is None):
            error = script.error or {"message": f"scripted {script.status}", "type": "scripted"}
            self._json(script.status, {"error": error}, headers)
        else:
            return False
        return True

    def _stream(self, request: Recorded, script: Script) -> None:
        self.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-store\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        if script.raw is not None:
            self.write(b"".join(map(http_chunk, script.raw)) + b"0\r\n\r\n")
            return
        asked = bool((request.body.get("stream_options") or {}).get("include_usage"))
        usage = _usage(request, script) if (asked if script.usage is None else script.usage) else None
        self.stream = _Stream(self, script, request, usage)
        self.stream.start()

    def _whole(self, request: Recorded, script: Script) -> None:
        last = next((m.get("content") for m in reversed(request.messages) if m.get("role") == "user"), "")
        text = "".join(token_texts(script, str(last)))
        message = {"role": "assistant", "content": text}
        answer: dict[str, Any] = {
            "id": "chatcmpl-0",
            "object": "chat.completion",
            "created": 1700000000,
            "model": request.model,
            "choices": [{"index": 0, "message": message, "finish_reason": script.finish_reason}],
        }
        if script.usage is not False:
            answer["usage"] = _usage(request, script)
        self._json(200, answer)

    def _pull(self, request: Recorded) -> None:
        lines: list[dict[str, Any]] = [{"status": "pulling manifest"}]
        if request.model not in self.server.pullable:
            lines.append({"error": "pull model manifest: file does not exist"})
        else:
            layer = {"status": "pulling 0123", "digest": "sha256:0123", "total": 4_000_000}
            lines += [layer | {"completed": done * 1_000_000} for done in range(5)]
            lines += [{"status": "verifying sha256 digest"}, {"status": "success"}]
            self.server.models.append(request.model)
        self._respond(200, b"".join(json.dumps(line).encode() + b"\n" for line in lines), "application/x-ndjson")

    def _json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self._respond(status, json.dumps(body).encode(), "application/json", headers)

    def _respond(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {kind}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def stream_ended(self) -> None:
        self.stream = None

    def close(self) -> None:
        """End the connection after what was written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Break the connection with a TCP reset. What was written is given a moment to leave, as a reset discards it."""
        if self._transport is not None:
            self.server.loop.call_later(0.02, self._reset_now)

    def _reset_now(self) -> None:
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


def _usage(request: Recorded, script: Script) -> dict[str, int]:
    prompt = sum(len(str(message.get("content"))) for message in request.messages)
    last = next((m.get("content") for m in reversed(request.messages) if m.get("role") == "user"), "")
    completion = len(token_texts(script, str(last)))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _embeddings(request: Recorded) -> dict[str, Any]:
    """Vectors that depend on the text alone, each component within [-1, 1]."""
    given = request.body.get("input") or []
    texts = [given] if isinstance(given, str) else given
    data = []
    for index, text in enumerate(texts):
        seed = hashlib.shake_256(str(text).encode()).digest(EMBEDDING_DIMENSIONS)
        data.append({"object": "embedding", "index": index, "embedding": [byte / 127.5 - 1 for byte in seed]})
    return {"object": "list", "model": request.model, "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


class FakeModelServer:
    """The server, in a thread and an event loop of its own (``start``/``stop``) or in the caller's loop (``serve``)."""

    def __init__(self, default: Script | None = None, *, keep_requests: int = 100_000) -> None:
        self._default = self.default = default or Script()
        self.models = ["fake", "fake-small"]
        self.pullable = {"fake-pulled"}
        self.requests: collections.deque[Recorded] = collections.deque(maxlen=keep_requests)
        self.disconnected = 0
        self.huge_bytes_sent = 0
        self.connections: set[_Connection] = set()
        self._scripts: dict[str, collections.deque[Script]] = collections.defaultdict(collections.deque)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop
        self.wheel: _Wheel
        self.port = 0

    @property
    def base_url(self) -> str:
        """What an OpenAI client calls the base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def enqueue(self, *scripts: Script, path: str = CHAT) -> None:
        """The next requests to ``path`` take these, in this order; later ones the default again."""
        self._scripts[path].extend(scripts)

    def hold(self) -> Gate:
        """A closed gate for ``Script(gate=…)``."""
        return Gate()

    def restore(self) -> None:
        """Forget scripts, requests, counts and pulled models; the default script is a healthy model again."""
        self.default = self._default
        self.models = ["fake", "fake-small"]
        self._scripts.clear()
        self.requests.clear()
        self.disconnected = self.huge_bytes_sent = 0

    def next_script(self, request: Recorded) -> Script:
        """The script for this request. Raises ``ValueError`` for a model name with an unknown field."""
        queue = self._scripts.get(request.path)
        script = queue.popleft() if queue else self.default
        return script_from_model(request.model, script)

    def record(self, request: Recorded) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def note_disconnect(self) -> None:
        with self._changed:
            self.disconnected += 1
            self._changed.notify_all()

    def wait_requests(self, count: int, deadline: float = 10.0) -> None:
        """Block until ``count`` requests have come in; ``TimeoutError`` after ``deadline`` seconds."""
        self._wait(lambda: len(self.requests) >= count, f"{count} requests", deadline)

    def wait_disconnected(self, count: int = 1, deadline: float = 10.0) -> None:
        """Block until ``count`` clients have left in the middle of a stream; ``TimeoutError`` after ``deadline``
        seconds.
        """
        self._wait(lambda: self.disconnected >= count, f"{count} disconnects", deadline)

    def _wait(self, condition: Callable[[], bool], what: str, deadline: float) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, deadline):
                raise TimeoutError(f"the fake model server waited {deadline} s in vain for {what}")

    async def serve(self, port: int = 0) -> asyncio.Server:
        """Listen on 127.0.0.1 in the running loop."""
        self.loop = asyncio.get_running_loop()
        self.wheel = _Wheel(self.loop)
        server = await self.loop.create_server(lambda: _Connection(self), "127.0.0.1", port, backlog=4096)
        self.port = int(server.sockets[0].getsockname()[1])
        return server

    def start(self, port: int = 0) -> str:
        """Serve from a thread; returns the base URL."""
        started = threading.Event()

        async def run() -> None:
            server = await self.serve(port)
            self._stopped = asyncio.Event()
            started.set()
            await self._stopped.wait()
            server.close()
            for connection in list(self.connections):
                connection.close()

        def work() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(run())

        self._thread = threading.Thread(target=work, name="fake-model", daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise TimeoutError("the fake model server did not start")
        return self.base_url

    def stop(self) -> None:
        """End the thread and every connection. May be called twice."""
        if self._thread is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)
        self._thread = None


async def _serve_until_signal(server: FakeModelServer, port: int) -> None:
    listening = await server.serve(port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        server.loop.add_signal_handler(number, stop.set)
    print(server.base_url, flush=True)
    await stop.wait()
    listening.close()
    for connection in list(server.connections):
        connection.close()


def main() -> None:
    """Serve until SIGINT or SIGTERM; prints the base URL once it listens."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--first-ms", type=float, default=200)
    parser.add_argument("--token-ms", type=float, default=20)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--echo", action="store_true", help="reply with the last user message")
    arguments = parser.parse_args()
    script = Script(
        tokens=arguments.tokens, first_ms=arguments.first_ms, token_ms=arguments.token_ms, echo=arguments.echo
    )
    server = FakeModelServer(script, keep_requests=1000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signal(server, arguments.port))


if __name__ == "__main__":
    main()
