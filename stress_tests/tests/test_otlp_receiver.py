"""What the collector of tests and benches understands."""

import gzip
import urllib.error
import urllib.request

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stress_tests.otlp_receiver import Receiver


def request_with_a_span() -> bytes:
    request = ExportTraceServiceRequest()
    traced = request.resource_spans.add()
    traced.resource.attributes.add(key="service.name").value.string_value = "shop"
    span = traced.scope_spans.add().spans.add(
        name="sale", trace_id=b"\x01" * 16, span_id=b"\x02" * 8, start_time_unix_nano=1, end_time_unix_nano=3
    )
    span.attributes.add(key="pieces").value.int_value = 7
    span.events.add(name="paid")
    return bytes(request.SerializeToString())


def post(url: str, body: bytes, **headers: str) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf", **headers})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return int(answer.status)


def test_spans_arrive_as_they_were_sent_compressed_or_not() -> None:
    body = request_with_a_span()
    with Receiver() as receiver:
        assert post(f"{receiver.url}/v1/traces", body) == 200
        assert post(f"{receiver.url}/v1/traces", gzip.compress(body), **{"Content-Encoding": "gzip"}) == 200
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            post(f"{receiver.url}/v1/metrics", body)
        refused.value.close()
    first, second = receiver.spans
    assert first == second
    assert (first.service, first.name, first.parent, first.trace) == ("shop", "sale", "", "01" * 16)
    assert (first.attributes, first.events, first.ended - first.began) == ({"pieces": 7}, ["paid"], 2)
