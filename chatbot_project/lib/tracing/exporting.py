"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP. Where to, with which headers and how often is said by the
standard variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and its like), which the SDK reads itself.

Spans are sent from a thread of the SDK's own, in batches; what cannot be sent is dropped and makes nobody wait.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from time import time_ns
from typing import Any
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chatbot_project.lib.correlation import bound_ids

from . import Identity, Span

_first: ContextVar[Identity | None] = ContextVar("first", default=None)
_propagator = TraceContextTextMapPropagator()


class _Ids(RandomIdGenerator):
    """Random ids but for a trace's first span, whose ids follow from the reply's."""

    def generate_trace_id(self) -> int:
        first = _first.get()
        return super().generate_trace_id() if first is None else first.trace_id

    def generate_span_id(self) -> int:
        first = _first.get()
        return super().generate_span_id() if first is None else first.span_id


class _Recorded(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, event: str) -> None:
        self._span.add_event(event)

    def say(self, **attributes: str | float | None) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(f"nono.{name}", value)


class Exporter:
    """Makes and sends the spans of one process. What is traced was decided by who calls, so every span is recorded."""

    def __init__(self, process: str) -> None:
        name = f"{os.environ.get('OTEL_SERVICE_NAME', '').strip() or 'nono'}-{process}"
        resource = Resource.create({"service.name": name})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=_Ids())
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("nono")

    def close(self) -> None:
        """Send what there is."""
        self._provider.shutdown()

    def accepted(self, identity: Identity, reply: UUID, *, began: int, again: bool) -> None:
        """A span that has just ended."""
        attributes = {f"nono.{name}": value for name, value in bound_ids().items()} | {"nono.reply": str(reply)}
        token = _first.set(None if again else identity)
        try:
            span = self._tracer.start_span(
                "question accepted",
                _below(identity) if again else Context(),
                kind=SpanKind.SERVER,
                attributes=attributes,
                start_time=began,
            )
        finally:
            _first.reset(token)
        span.end()

    @contextmanager
    def taken_up(self, identity: Identity, reply: UUID, *, waited: float | None, epoch: int) -> Iterator[Span]:
        """The span of a reply, current within the block."""
        now, parent = time_ns(), _below(identity)
        if waited is not None:
            waiting = self._tracer.start_span("waiting", parent, start_time=now - int(waited * 1e9))
            waiting.end(now)
        span = self._tracer.start_span("reply", parent, kind=SpanKind.CONSUMER)
        with self._current(span) as recorded:
            recorded.say(**bound_ids(), epoch=epoch)
            yield recorded

    def step(self, name: str) -> AbstractContextManager[Span] | None:
        """The span of a step, current within the block; None where there is none to be below."""
        if not trace.get_current_span().is_recording():
            return None
        return self._current(self._tracer.start_span(name))

    def task(self, name: str, carried: Any) -> AbstractContextManager[Span] | None:
        """The span of a task, current within the block; None where it came with no trace."""
        if not isinstance(carried, Mapping):
            return None
        parent = _propagator.extract(carried, Context())
        if not trace.get_current_span(parent).get_span_context().is_valid:
            return None
        return self._current(self._tracer.start_span(name, parent, kind=SpanKind.CONSUMER))

    def carried(self) -> dict[str, str]:
        """The current span, as headers; none where there is none."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier

    @contextmanager
    def _current(self, span: trace.Span) -> Iterator[Span]:
        """``span`` until the block ends. What breaks it says its class alone: a message may hold what people wrote."""
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield _Recorded(span)
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise


def _below(identity: Identity) -> Context:
    """That whatever begins there is below the trace's first span, which another process made."""
    first = SpanContext(identity.trace_id, identity.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.set_span_in_context(NonRecordingSpan(first), Context())
