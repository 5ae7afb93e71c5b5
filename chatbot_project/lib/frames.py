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


class BoundedFrames(WebSocketsSansIOProtocol):
    """A client that sends frames of whatever kind faster than FRAMES_PER_SECOND, beyond FRAMES_AT_ONCE at once, is
    closed with ``too_many``, a close code; what else it has sent is not looked at."""

    too_many = 1008  # "policy violation"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allowed, self._counted_at = FRAMES_AT_ONCE, monotonic()

    def handle_text(self, event: Frame) -> None:
        if self._is_allowed():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if self._is_allowed():
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if self._is_allowed():
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if self._is_allowed():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._is_allowed():
            super().handle_pong(event)

    def _is_allowed(self) -> bool:
        if self.transport.is_closing():
            return False
        now = monotonic()
        self._allowed = min(FRAMES_AT_ONCE, self._allowed + (now - self._counted_at) * FRAMES_PER_SECOND) - 1
        self._counted_at = now
        if self._allowed >= 0:
            return True
        metrics.RATE_LIMITED.labels("frames").inc()
        self.conn.fail(self.too_many)
        if self.conn.close_sent is None:  # it was not open yet
            self.transport.close()
        else:
            self.handle_parser_exception()
        return False
