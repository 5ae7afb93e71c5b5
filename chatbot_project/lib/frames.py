"""uvicorn's WebSocket protocol with a bound on frames.

What an application counts are whole messages. Of pings, pongs and the parts of a message it hears nothing, and each
costs the event loop that all others share: pings are answered, empty parts are kept until their message ends.
"""

from time import monotonic
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from chatbot_project.lib.metrics import names as metrics

FRAMES_PER_SECOND, FRAMES_AT_ONCE = 50.0, 300.0
PARTS = 1024  # of one message
PIECE_BYTES = 4096
LINGER_SECONDS = 2.0  # for what is on its way: a connection that is closed on it is reset, and its close code lost


class BoundedFrames(WebSocketsSansIOProtocol):
    """A client that sends frames of whatever kind faster than FRAMES_PER_SECOND, beyond FRAMES_AT_ONCE at once, or a
    message in more than PARTS, is closed with ``too_many``, a close code; what else it sends is thrown away."""

    too_many = 1008  # "policy violation"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allowed, self._counted_at = FRAMES_AT_ONCE, monotonic()
        self._is_refused = False

    def data_received(self, data: bytes) -> None:
        """Piece by piece: of a flood that came at once, what stands behind the bound is not even parsed."""
        for start in range(0, len(data), PIECE_BYTES):
            if self._is_refused or self.transport.is_closing():
                return
            super().data_received(data[start : start + PIECE_BYTES] if len(data) > PIECE_BYTES else data)

    def handle_text(self, event: Frame) -> None:
        if self._is_allowed():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if self._is_allowed():
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if self._is_allowed(len(self.frames) < PARTS):
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if self._is_allowed():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._is_allowed():
            super().handle_pong(event)

    def _is_allowed(self, fits: bool = True) -> bool:
        if self._is_refused:
            return False
        now = monotonic()
        self._allowed = min(FRAMES_AT_ONCE, self._allowed + (now - self._counted_at) * FRAMES_PER_SECOND) - 1
        self._counted_at = now
        if fits and self._allowed >= 0:
            return True
        self._refuse()
        return False

    def _refuse(self) -> None:
        metrics.RATE_LIMITED.labels("frames").inc()
        self._is_refused = self.close_sent = self.disconnected = True
        self.conn.fail(self.too_many)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": self.too_many, "reason": ""})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
