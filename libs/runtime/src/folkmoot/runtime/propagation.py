"""Which span the code that runs now belongs to, where OpenTelemetry's libraries look for it.

It is only context: nothing is exported from here, and the process's own tracer provider, if it has
one, is left alone. What an instrumented HTTP or model client does meanwhile becomes its child.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"


def current_traceparent() -> str | None:
    """Return the W3C `traceparent` of the span that this code runs in, None if it is in none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_HEADER)


@contextmanager
def within(trace_id: int, span_id: int, sampled: bool) -> Iterator[None]:
    """Run what follows within a span that somebody else exports."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    span = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags))
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def within_header(traceparent: str | None) -> Iterator[None]:
    """Run what follows within the span that a W3C `traceparent` names, if it names one."""
    carrier = {} if traceparent is None else {_HEADER: traceparent}
    token = context.attach(_PROPAGATOR.extract(carrier))
    try:
        yield
    finally:
        context.detach(token)
