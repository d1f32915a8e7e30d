"""OpenTelemetry traces of jobs, from their submission to their webhooks. Off by default.

Each job is one trace. Its context is kept in the job's row as a W3C `traceparent`, so that every
process that works on the job adds its spans to it, in whatever attempt. A thread of its own sends
them in batches: a collector that is slow or away delays nothing.

OpenTelemetry is only imported if traces are sent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Literal

from hunyuan_runner import __version__
from hunyuan_runner.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"  # the header
SEND_SECONDS = 5.0  # for one batch
FLUSH_SECONDS = 2.0  # to send the last spans when the process stops
MOST_EVENTS = 1000  # of one span: the steps of a clip, or its tiles
SILENCE_SECONDS = 600  # between two messages of the log about a collector that is away

Kind = Literal["internal", "server", "client"]
Value = str | int | float | bool

# The `traceparent` of the request that is being answered, as the client sent it.
CLIENT: ContextVar[str | None] = ContextVar("traceparent", default=None)


class Span:
    """One span of a trace; this class itself does nothing, for when there are no traces."""

    traceparent: str | None = None  # for spans of other processes that belong below this one

    def child(self, name: str, *, began_ms: int | None = None, **attributes: Value) -> Span:
        """A span below this one, which begins now or at `began_ms`."""
        return self

    def event(self, name: str, **attributes: Value) -> None:
        """Something that happens now."""

    def note(self, **attributes: Value) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """What this span is about went wrong."""

    def end(self) -> None:
        """It ends now. Only spans that have ended are sent."""


NO_SPAN = Span()


class _Sent(Span):
    """A span that is sent to the collector."""

    def __init__(self, tracer: Tracer, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span
        carrier: dict[str, str] = {}
        _propagator().inject(carrier, self._context())
        self.traceparent = carrier.get(TRACEPARENT)

    def child(self, name: str, *, began_ms: int | None = None, **attributes: Value) -> Span:
        span = self._tracer.start_span(
            name,
            self._context(),
            attributes=_named(attributes),
            start_time=_nanoseconds(began_ms),
        )
        return _Sent(self._tracer, span)

    def event(self, name: str, **attributes: Value) -> None:
        self._span.add_event(name, _named(attributes))

    def note(self, **attributes: Value) -> None:
        self._span.set_attributes(_named(attributes))

    def fail(self, reason: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_status(StatusCode.ERROR, reason)

    def end(self) -> None:
        self._span.end()

    def _context(self) -> Context:
        from opentelemetry.trace import set_span_in_context

        return set_span_in_context(self._span)


_tracer: Tracer | None = None
_provider: TracerProvider | None = None


def is_on() -> bool:
    """Whether this process sends traces."""
    return _tracer is not None


def configure_tracing(settings: Settings, service: str) -> None:
    """Send the traces of this process as `service`, if the settings name a collector."""
    global _tracer, _provider
    if settings.traces_url is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # It would log each try to reach a collector that is away.
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(_Rarely())
    exporter = OTLPSpanExporter(settings.traces_url, timeout=SEND_SECONDS)
    about = {"service.name": service, "service.version": __version__}
    _provider = TracerProvider(
        resource=Resource.create(about), span_limits=SpanLimits(max_events=MOST_EVENTS)
    )
    _provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracer = _provider.get_tracer("hunyuan_runner", __version__)


def stop_tracing() -> None:
    """Send what is left, if the collector takes it soon."""
    global _tracer, _provider
    provider, _tracer, _provider = _provider, None, None
    if provider is not None:
        thread = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)


def begin(
    name: str,
    traceparent: str | None,
    attributes: Mapping[str, Value] | None = None,
    *,
    kind: Kind = "internal",
    began_ms: int | None = None,
) -> Span:
    """A span below the one of `traceparent`, or of a new trace if there is none.

    It begins now, or began at `began_ms`, in milliseconds since the epoch.
    """
    if _tracer is None:
        return NO_SPAN
    from opentelemetry.trace import SpanKind

    context = _propagator().extract({TRACEPARENT: traceparent} if traceparent else {})
    span = _tracer.start_span(
        name,
        context,
        kind=SpanKind[kind.upper()],
        attributes=_named(attributes or {}),
        start_time=_nanoseconds(began_ms),
    )
    return _Sent(_tracer, span)


def _nanoseconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds * 1_000_000


class _Rarely(logging.Filter):
    """Lets one message pass in SILENCE_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._next_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        passes = now >= self._next_at
        if passes:
            self._next_at = now + SILENCE_SECONDS
        return passes


@cache
def _propagator() -> TraceContextTextMapPropagator:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """With our prefix, but for those that OpenTelemetry has named."""
    return {name if "." in name else f"hunyuan.{name}": value for name, value in attributes.items()}
