"""``/metrics`` on a port of the process's own, beside whatever it serves: every process is scraped by itself, also web
processes behind a load balancer.

Off unless METRICS_PORT is set, on loopback unless METRICS_BIND says otherwise. Where METRICS_TOKEN is set, whoever asks
has to show it. ``/healthz`` says, to anybody, whether the process is alive: its event loop turns, where it has one.
"""

import hmac
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from django.conf import settings
from prometheus_client.exposition import choose_encoder

from chatbot_project.lib.loops import is_stuck

from . import names, reading  # noqa: F401  what is read is part of the page
from .registry import REGISTRY

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 5.0  # the process that this one replaces may have the port for as long as it drains
CLIENT_SECONDS = 10.0


def page(accept: str) -> tuple[bytes, str]:
    """All metrics of this process and their content type, in the newest format that ``accept`` names."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type


def may_read(authorization: str, token: str) -> bool:
    """Whether the header shows the token; always where there is none."""
    return not token or hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS
    server_version, sys_version = "nono", ""

    def do_GET(self) -> None:
        """The page, whether the process is alive, or a refusal."""
        path = self.path.partition("?")[0]
        if path == "/healthz" and is_stuck():
            self._answer(503, b"The event loop does not turn.\n", "text/plain")
        elif path == "/healthz":
            self._answer(200, b"ok\n", "text/plain")
        elif path != "/metrics":
            self._answer(404, b"Not found\n", "text/plain")
        elif not may_read(self.headers.get("Authorization", ""), settings.METRICS_TOKEN):
            self._answer(401, b"Show the token: Authorization: Bearer ...\n", "text/plain")
        else:
            self._answer(200, *page(self.headers.get("Accept", "")))

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is nothing to log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class MetricsServer:
    """Serves from a thread of its own from ``start`` to ``stop``, and tries again where the port is taken."""

    def __init__(self, bind: str, port: int) -> None:
        self._bind, self._port = bind, port
        self._server: _Server | None = None
        self._stopping = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> int:
        """The port, once it listens. Raises TimeoutError."""
        if not self._listening.wait(seconds) or self._server is None:
            raise TimeoutError(f"/metrics does not listen on {self._bind}:{self._port}.")
        return int(self._server.server_address[1])

    def stop(self) -> None:
        self._stopping.set()
        if self._listening.is_set() and self._server is not None:
            self._server.shutdown()
        self._thread.join()

    def _run(self) -> None:
        told = False
        while not self._stopping.is_set():
            try:
                self._server = _Server((self._bind, self._port), _Handler)
            except OSError as error:
                if not told:
                    log.error("metrics.not_served", bind=self._bind, port=self._port, error=error.strerror)
                told = True
                self._stopping.wait(AGAIN_SECONDS)
                continue
            with self._server:
                self._listening.set()
                self._server.serve_forever()
            return


def serve_metrics(process: str) -> MetricsServer | None:
    """Say which ``process`` this is, and serve its metrics where METRICS_PORT is set."""
    names.PROCESS.labels(process).set(1)
    if not settings.METRICS_PORT:
        return None
    server = MetricsServer(settings.METRICS_BIND, settings.METRICS_PORT)
    server.start()
    return server
