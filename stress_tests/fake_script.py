"""What the fake model server is to do with one request: how much text, how fast, and what goes wrong."""

import dataclasses
import functools
import json
import re
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl


class Gate:
    """Lets tokens through when a test says so, from any thread. ``release()`` opens it, ``release(n)`` lets n more by.

    The allowance holds for each stream that the gate is given to, counted from that stream's first token. Vectors and
    verdicts come once it has let anything by.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._allowed: float = 0
        self._listeners: list[Callable[[], object]] = []

    @property
    def allowed(self) -> float:
        """How many tokens of a stream may have been sent by now."""
        return self._allowed

    def release(self, count: int | None = None) -> None:
        """Let ``count`` more tokens pass, or all of them."""
        with self._lock:
            self._allowed = float("inf") if count is None else self._allowed + count
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], object]) -> None:
        """Have ``listener`` called, in the releasing thread, each time more is allowed."""
        with self._lock:
            self._listeners.append(listener)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Script:
    """One request's behaviour. The defaults are a healthy model that answers at once.

    ``tokens`` is their number or the texts themselves; ``echo`` replies with ``echo: <last user message>`` instead, and
    ``stamp`` with the microsecond (``time.monotonic``) at which each token was written, so that a reader on the same
    machine can tell its lag; the last token is the checksum of them (``checksum_token``). Times are milliseconds.
    ``usage`` None means: when the request asks for it. ``cut`` is a TCP reset, a closed connection in the middle of the
    body, or a proper end of the body. ``keep_alives_only`` sends keep-alives for ever after ``stall_after`` tokens,
    which are none unless said. ``huge_line`` is the bytes of one endless line.
    """

    tokens: int | Sequence[str] = 8
    echo: bool = False
    stamp: bool = False
    first_ms: float = 0
    token_ms: float = 0
    finish_reason: str | None = "stop"
    usage: bool | None = None
    done: bool = True
    gate: Gate | None = None
    # Faults before the stream
    status: int = 200
    retry_after: str | None = None
    error: Any = None
    html: bool = False
    location: str | None = None
    # Faults within the stream, each after so many tokens
    cut_after: int | None = None
    cut: Literal["reset", "close", "eof"] = "eof"
    stall_after: int | None = None
    malformed_after: int | None = None
    error_after: int | None = None
    keep_alives_only: bool = False
    keep_alive_ms: float = 20
    huge_line: int = 0
    # Embeddings: their length, and what is wrong with the last of an answer ("nan", "zero", "short")
    dimensions: int = 256
    bad_vector: str | None = None
    # Moderations: scores by category; the rest is 0.
    scores: Mapping[str, float] | None = None
    # The body's pieces as they are, written one HTTP chunk each; nothing else is sent, and the body ends if ``done``
    raw: Sequence[bytes] | None = None

    def fails_at(self) -> int | None:
        """After how many tokens the stream breaks off, whatever the way; ``None`` for never."""
        points = [self.cut_after, self.stall_after, self.malformed_after, self.error_after]
        if self.keep_alives_only or self.huge_line:
            points.append(0 if self.stall_after is None else None)
        return min((point for point in points if point is not None), default=None)


def script_from_model(model: str, default: Script) -> Script:
    """``fake?tokens=200&token_ms=0`` is the default script with these fields; a name without ``?`` the default itself.

    Raises ``ValueError`` for a field that does not exist or does not parse.
    """
    _, mark, query = model.partition("?")
    if not mark:
        return default
    fields = {field.name: field for field in dataclasses.fields(Script)}
    changes: dict[str, Any] = {}
    for name, raw in parse_qsl(query):
        if name not in fields or name in {"gate", "raw", "error"}:
            raise ValueError(f"unknown script field {name}")
        changes[name] = _parsed(name, raw)
    return dataclasses.replace(default, **changes)


def _parsed(name: str, raw: str) -> Any:
    if name in {"finish_reason", "cut", "retry_after", "location", "bad_vector"}:
        return raw or None
    if name.endswith("_ms"):
        return float(raw)
    if name in {"echo", "stamp", "usage", "done", "html", "keep_alives_only"}:
        return raw in {"1", "true"}
    return int(raw)


def split_words(text: str) -> list[str]:
    """Pieces that join to exactly ``text``, each a word with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text) or ([text] if text else [])


def token_texts(script: Script, last_user_text: str) -> list[str]:
    """The texts this script sends (for ``stamp`` placeholders of the right number)."""
    if script.echo:
        return split_words(f"echo: {last_user_text}")
    if isinstance(script.tokens, int):
        return [f"tok{number} " for number in range(script.tokens)]
    return list(script.tokens)


def sse(event: Any) -> bytes:
    """One server-sent event that carries ``event`` as JSON."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return b"data: " + text.encode() + b"\n\n"


def http_chunk(data: bytes) -> bytes:
    """``data`` as one chunk of HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(model: str, choices: list[Any], usage: Any = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-0000000000000000000000000000",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": model,
        "system_fingerprint": None,
        "choices": choices,
        **({"usage": usage} if usage else {}),
    }


_FRAMES: dict[tuple[str, str], bytes] = {}


def chunk_frame(model: str, text: str) -> bytes:
    """One token as it goes on the wire; the frequent ones are kept, so that a thousand streams cost little."""
    frame = _FRAMES.get((model, text))
    if frame is None:
        delta = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
        frame = http_chunk(sse(_event(model, [delta])))
        if len(_FRAMES) < 10_000:
            _FRAMES[model, text] = frame
    return frame


def role_frame(model: str) -> bytes:
    """What OpenAI sends before the first token."""
    delta = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    return http_chunk(sse(_event(model, [delta])))


def stamp_token() -> str:
    """A token that says when it was made, in microseconds of ``time.monotonic``."""
    return f"{time.monotonic_ns() // 1000} "


def checksum_token(text: str) -> str:
    """The last token of a stamped stream: its reader can tell whether ``text``, all before it, came whole."""
    return f"{zlib.crc32(text.encode()):08x}"


def fresh_frame(model: str, text: str) -> bytes:
    """Like ``chunk_frame`` for a text that will not come again: nothing is kept."""
    head, tail = _envelope(model)
    return http_chunk(b"".join((head, text.encode(), tail)))


@functools.lru_cache(maxsize=64)
def _envelope(model: str) -> tuple[bytes, bytes]:
    """What stands around a token whose text needs no escape in JSON."""
    delta = {"index": 0, "delta": {"content": "@"}, "logprobs": None, "finish_reason": None}
    head, _, tail = sse(_event(model.replace("@", ""), [delta])).partition(b"@")
    return head, tail


def final_frames(model: str, script: Script, usage: dict[str, int] | None) -> bytes:
    """The end of a stream: finish reason, usage in an event without choices, ``[DONE]``, the last HTTP chunk."""
    frames = []
    if script.finish_reason is not None:
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": script.finish_reason}
        frames.append(http_chunk(sse(_event(model, [choice]))))
    if usage:
        frames.append(http_chunk(sse(_event(model, [], usage))))
    if script.done:
        frames.append(http_chunk(b"data: [DONE]\n\n"))
    return b"".join(frames) + b"0\r\n\r\n"
