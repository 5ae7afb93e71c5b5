"""A bound on how many requests wait for a thread: each holds its body, and who waits for long has mostly left."""

from time import monotonic
from typing import Any

import structlog

from chatbot_project.lib.bodies import ASGIApp, Receive, Send
from chatbot_project.lib.handler import PROBES, RequestHandler, method_of
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.refusing import Page, refuse, too_many

log = structlog.get_logger(__name__)

# A browser that comes for the first time asks for some thirty files at once, and classes come together.
WAITING_PER_THREAD = 256
PROBING = 64
LOG_SECONDS = 1.0


class BoundedCrowd:
    """An ASGI application around ``app``, for HTTP: while ``most`` requests wait for a thread of ``handler`` or have
    one, whoever comes is answered with 503 before their body is received. Probes pass, unless PROBING of them wait.
    ``page`` is a browser's page of it."""

    def __init__(self, app: ASGIApp, handler: RequestHandler, most: int, page: Page | None = None) -> None:
        self._app, self._handler, self._most, self._page = app, handler, most, page
        self._logged_at = -LOG_SECONDS

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        is_probe = scope["path"] in PROBES
        if self._handler.probing < PROBING if is_probe else self._handler.under_way < self._most:
            await self._app(scope, receive, send)
            return
        if monotonic() - self._logged_at >= LOG_SECONDS:
            self._logged_at = monotonic()
            log.warning("requests.too_many", under_way=self._handler.under_way)
        metrics.HTTP_REQUESTS.labels("unmatched", method_of(scope), "503").inc()
        await refuse(scope, send, too_many, self._page)
