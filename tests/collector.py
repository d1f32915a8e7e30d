"""A receiver of OpenTelemetry traces that speaks OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.stub_server import reply, serving


@dataclass(frozen=True)
class Seen:
    """A span that arrived."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    began: int  # nanoseconds since the epoch
    ended: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    failed: bool


@dataclass(frozen=True)
class Collector:
    url: str
    spans: list[Seen] = field(default_factory=list)

    def named(self, name: str) -> list[Seen]:
        return sorted((span for span in self.spans if span.name == name), key=lambda s: s.began)


@contextmanager
def collecting() -> Iterator[Collector]:
    spans: list[Seen] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        assert request.headers["Content-Type"] == "application/x-protobuf"
        assert request.path == "/v1/traces"
        body = request.rfile.read(int(request.headers["Content-Length"]))
        spans.extend(decoded(ExportTraceServiceRequest.FromString(body)))
        reply(request, ExportTraceServiceResponse().SerializeToString())

    with serving(answer) as url:
        yield Collector(f"{url}/v1/traces", spans)


def decoded(message: ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in message.resource_spans:
        service = values(resource.resource.attributes)["service.name"]
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            yield Seen(
                service=service,
                name=span.name,
                kind=span.kind,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                began=span.start_time_unix_nano,
                ended=span.end_time_unix_nano,
                attributes=values(span.attributes),
                events=[(event.name, values(event.attributes)) for event in span.events],
                failed=span.status.code == span.status.STATUS_CODE_ERROR,
            )


def values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
