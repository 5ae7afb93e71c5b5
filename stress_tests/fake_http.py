"""The fake model server's side of one connection: requests in, answers out, by their scripts."""

import asyncio
import contextlib
import hashlib
import json
import math
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import httptools

from .fake_script import Script, http_chunk, token_texts
from .fake_stream import Recorded, ReplyStream

if TYPE_CHECKING:
    from .fake_model import FakeModelServer

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
MODELS = "/v1/models"
PULL = "/api/pull"
HTML_PAGE = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"


class Connection(asyncio.Protocol):
    """One client connection: parses requests, answers each by its script."""

    def __init__(self, server: "FakeModelServer") -> None:
        self.server = server
        self.paused = False
        self.stream: ReplyStream | None = None
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
        self.server.note_leaving(in_stream=stream is not None and not stream.finished)

    @property
    def leaving(self) -> bool:
        """Whether the client has left: what is written is thrown away, and nothing says so until the loop turns."""
        return self._transport is None or self._transport.is_closing()

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
        elif request.path == MODERATIONS:
            self._behind_gate(script, lambda: self._json(200, _moderations(request, script)))
        elif request.path == EMBEDDINGS:
            self._behind_gate(script, lambda: self._json(200, _embeddings(request, script)))
        elif request.path == MODELS:
            models = [{"id": name, "object": "model", "created": 1700000000} for name in self.server.models]
            self._json(200, {"object": "list", "data": models})
        elif request.path == PULL:
            self._pull(request)
        else:
            self._json(404, {"error": {"message": "no such path", "type": "invalid_request_error"}})

    def _behind_gate(self, script: Script, answer: Callable[[], None]) -> None:
        """Answer once the script's gate lets anything pass; at once where there is none."""
        gate, waiting = script.gate, [answer]
        if gate is None:
            answer()
            return

        def step() -> None:
            if waiting and gate.allowed:
                waiting.pop()()

        gate.listen(lambda: self.server.loop.call_soon_threadsafe(step))
        step()

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
            self.write(b"".join(map(http_chunk, script.raw)) + (b"0\r\n\r\n" if script.done else b""))
            return
        asked = bool((request.body.get("stream_options") or {}).get("include_usage"))
        usage = _usage(request, script) if (asked if script.usage is None else script.usage) else None
        self.stream = ReplyStream(self, script, request, usage)
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
        """Break the connection with a TCP reset, a moment later: a reset discards what has not left yet."""
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


_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)
_NAMED = re.compile(r"([a-z/-]+)=(0\.\d+)")


def _moderations(request: Recorded, script: Script) -> dict[str, Any]:
    """A result for each text: the script's scores, and of each category that a text names as ``<category>=0.7``."""
    given = request.body.get("input") or ""
    results = [_moderation(str(text), script) for text in ([given] if isinstance(given, str) else given)]
    return {"id": "modr-1", "model": request.model, "results": results}


def _moderation(text: str, script: Script) -> dict[str, Any]:
    named = {name: float(score) for name, score in _NAMED.findall(text) if name in _CATEGORIES}
    scores = dict.fromkeys(_CATEGORIES, 0.0) | dict(script.scores or {}) | named
    applied = {name: ["text"] for name in _CATEGORIES}
    return {
        "flagged": any(score > 0.5 for score in scores.values()),
        "categories": {name: score > 0.5 for name, score in scores.items()},
        "category_scores": scores,
        "category_applied_input_types": applied,
    }


def _embeddings(request: Recorded, script: Script) -> dict[str, Any]:
    """Vectors that depend on the text alone, each component within [-1, 1]; the last one wrong where so scripted."""
    given = request.body.get("input") or []
    texts = [given] if isinstance(given, str) else given
    vectors = [[byte / 127.5 - 1 for byte in _digest(str(text), script.dimensions)] for text in texts]
    if vectors and script.bad_vector is not None:
        vectors[-1] = {
            "nan": [math.nan] * script.dimensions,
            "zero": [0.0] * script.dimensions,
            "short": vectors[-1][:-1],
        }[script.bad_vector]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "model": request.model, "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def _digest(text: str, length: int) -> bytes:
    return hashlib.shake_256(text.encode()).digest(length)
