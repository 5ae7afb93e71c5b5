"""A model's reply stream from bytes to text: server-sent events that carry chat-completion chunks. No I/O.

Built to be fed rarely and much: an event of the usual shape costs one split, one slice and one typed decode. Everything
unusual (CR line ends, comments, several data lines, lone surrogates) takes the slower way through ``_lines``.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from .errors import LLMError, LLMMalformed, LLMTooLarge, error_from_event
from .types import Bounds, is_count

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
DONE = b"[DONE]"


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class StreamParser:
    """Takes a stream's bytes in any pieces and gives back the reply's text.

    ``finish_reason`` is set once the model has ended properly, ``usage`` is (prompt, completion) tokens once it has
    said them, ``done`` after its ``[DONE]``, ``progress`` counts the events that brought the reply forward (a model's
    thinking aloud included, which is not part of the text). What it raises is an ``LLMError`` that names ``model``;
    text that came before the fault is given back first. After a fault nothing more is read.
    """

    def __init__(self, model: str, bounds: Bounds) -> None:
        self.finish_reason: str | None = None
        self.usage: tuple[int, int] | None = None
        self.done = False
        self.failure: LLMError | None = None
        self.progress = 0
        self.size = 0
        self._model = model
        self._bounds = bounds
        self._tail = b""
        self._after_cr = False
        self._high_surrogate = ""
        self._texts: list[str] = []

    def feed(self, data: bytes) -> str:
        """The text that ``data`` completes, cleaned of what a database refuses; often empty. Raises ``LLMError``."""
        return self._guarded(self._feed, data)

    def end(self) -> str:
        """The body has ended: the text of a last event without its blank line. Raises ``LLMError`` where it is
        broken.
        """
        return self._guarded(self._end, b"")

    def _guarded(self, step: Callable[[bytes], None], data: bytes) -> str:
        if self.failure is not None:
            raise self.failure
        try:
            step(data)
        except LLMError as error:
            self.failure = error
        text = self._joined() if self._texts else ""
        if self.failure is not None and not text:
            raise self.failure
        return text

    def _feed(self, data: bytes) -> None:
        if b"\r" in data or self._after_cr:
            data = self._without_cr(data)
        *events, tail = (self._tail + data).split(b"\n\n")
        self._tail = tail
        for event in events:
            if event.startswith(b"data: {") and b"\n" not in event:
                self._take(event[6:])
            else:
                self._lines(event)
        if len(tail) > self._bounds.line:
            self._tail = b""
            raise LLMTooLarge(f"{self._model} sent a line of more than {self._bounds.line} bytes.")

    def _end(self, _: bytes) -> None:
        tail, self._tail = self._tail, b""
        if self.finish_reason is None and tail.strip():
            self._lines(tail)
        if self._high_surrogate:
            self._high_surrogate = ""
            self._texts.append(REPLACEMENT)

    def _without_cr(self, data: bytes) -> bytes:
        """All line ends as LF. A CR at the end of one piece and the LF that opens the next are one line end."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _lines(self, event: bytes) -> None:
        """An event of any shape: its data lines joined, comments and the other fields passed over."""
        data: list[bytes] = []
        is_error = False
        for line in event.split(b"\n"):
            field, colon, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data" and colon:
                data.append(value)
            elif field == b"event":
                is_error = value == b"error"
            elif field == b"error":
                data, is_error = [value], True
                break
            elif line and field not in {b"", b"id", b"retry", b"data", b"\xef\xbb\xbf"}:
                raise LLMMalformed(f"{self._model} sent something that is not an event stream.")
        if data:
            self._take(b"\n".join(data), is_error=is_error)

    def _take(self, payload: bytes, *, is_error: bool = False) -> None:
        """One event's data. What follows the proper end is usage at most."""
        if payload.strip() == DONE:
            self.done = True
            return
        if not payload.strip():
            return
        if is_error:
            raise error_from_event(self._model, _loads(payload))
        try:
            chunk = _decode(payload)
        except (ValueError, RecursionError):
            chunk = self._decode_carefully(payload)
        if chunk.error is not None:
            raise error_from_event(self._model, chunk.error)
        if chunk.choices:
            choice = chunk.choices[0]
            if self.finish_reason is None:
                delta = choice.delta
                if delta is not None and delta.content:
                    self._texts.append(delta.content)
                    self.progress += 1
                elif delta is not None and (delta.reasoning_content or delta.reasoning):
                    self.progress += 1
                if choice.finish_reason:
                    self.finish_reason = choice.finish_reason.replace("\0", REPLACEMENT)
        if chunk.usage is not None and is_count(chunk.usage.prompt_tokens, chunk.usage.completion_tokens):
            self.usage = (chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0)

    def _decode_carefully(self, payload: bytes) -> _Chunk:
        """A chunk with lone surrogates or broken UTF-8 is still read; anything else that does not decode is
        malformed.
        """
        try:
            return msgspec.convert(json.loads(payload.decode("utf-8", "replace")), _Chunk)
        except (ValueError, RecursionError):
            raise LLMMalformed(f"{self._model} sent an event that is not a chat completion chunk.") from None

    def _joined(self) -> str:
        text = self._high_surrogate + "".join(self._texts)
        self._high_surrogate = ""
        self._texts.clear()
        if not text.isascii():
            text = self._paired(text)
        if "\0" in text:
            text = text.replace("\0", REPLACEMENT)
        room = self._bounds.reply - self.size
        if len(text) > room:
            self.failure = LLMTooLarge(f"{self._model} sent a reply of more than {self._bounds.reply} characters.")
            self.finish_reason, self.done = None, False  # whatever the model says of it: it is cut off here
            text = text[:room]
        self.size += len(text)
        return text

    def _paired(self, text: str) -> str:
        """Surrogates that two events carried become their character, lone ones U+FFFD; a high one may still find its
        half.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            if "\ud800" <= text[-1] <= "\udbff":
                text, self._high_surrogate = text[:-1], text[-1]
            return without_surrogates(text)
        return text


def without_surrogates(text: str) -> str:
    """Pairs of surrogates as the characters they mean, lone ones as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _loads(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
