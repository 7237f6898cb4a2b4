"""A collector of OpenTelemetry data over HTTP that keeps its input, for tests."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

IDS = {"traceId", "spanId", "parentSpanId"}
SpanKind: Any = trace_pb2.Span.SpanKind
KINDS: dict[str, Any] = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


@dataclass(frozen=True)
class Span:
    """One span, with ids in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    attributes: dict[str, Any]


@dataclass
class Sink:
    """The decoded input."""

    url: str
    received: list[Any] = field(default_factory=list)

    def text(self) -> str:
        """Return the whole input as text, with resources and without the ids of traces."""
        return json.dumps([_without_ids(MessageToDict(each)) for each in self.received], ensure_ascii=False)

    def spans(self) -> list[Span]:
        """Return every span."""
        return [
            Span(
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                _named(span.attributes),
            )
            for sent in self.received
            for resource in getattr(sent, "resource_spans", ())
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def points(self) -> list[tuple[str, dict[str, Any], float]]:
        """
        Return the name, attributes and value of each measurement, the newest value.

        A histogram's value is its sum.
        """
        found = []
        for sent in self.received:
            for resource in getattr(sent, "resource_metrics", ()):
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        name, sums, amounts = metric.name, metric.sum.data_points, metric.histogram.data_points
                        found += [(name, _named(one.attributes), one.as_int or one.as_double) for one in sums]
                        found += [(name, _named(one.attributes), one.sum) for one in amounts]
        return found


def _without_ids(value: Any) -> Any:
    """Remove random ids, because in base64 they can look like any text."""
    if isinstance(value, dict):
        return {name: _without_ids(each) for name, each in value.items() if name not in IDS}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value


def _named(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def running_sink() -> Iterator[Sink]:
    """Listen on a free port of this machine until the end of the block."""
    sink = Sink("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sink.received.append(KINDS[self.path].FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
