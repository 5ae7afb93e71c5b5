"""A collector for tests and benches: takes traces by OTLP over HTTP on loopback, decodes them and keeps their spans."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Received:
    """A span as it arrived; ids are hexadecimal, ``parent`` is empty for the first of a trace."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    began: int
    ended: int
    attributes: dict[str, Any]
    events: list[str]
    status: str


class Receiver:
    """Listens within its block; ``spans`` are all that came, ``raw`` is what they were decoded from."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.raw = b""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                is_known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                if is_known:
                    receiver.take(body)
                self.send_response(200 if is_known else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing to say of a batch."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to say."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes) -> None:
        """Decode a request and keep what it holds."""
        request = ExportTraceServiceRequest.FromString(body)
        self.raw += body
        for resource in request.resource_spans:
            service = attributes_of(resource.resource)["service.name"]
            self.spans += [received(service, span) for scope in resource.scope_spans for span in scope.spans]

    def of_trace(self, trace: str) -> list[Received]:
        return [span for span in self.spans if span.trace == trace]

    def find(self, wanted: Callable[[Received], bool]) -> list[Received]:
        return [span for span in self.spans if wanted(span)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def attributes_of(owner: Any) -> dict[str, Any]:
    """The attributes of a span or resource, as plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in owner.attributes}


def received(service: str, span: Any) -> Received:
    """A span of the protocol."""
    return Received(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        attributes_of(span),
        [event.name for event in span.events],
        span.status.message,
    )
