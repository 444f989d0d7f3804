"""What a saga's trace is: spans as a pure function of the logs, whoever computes them."""

from folkmoot.core.tracing import schema
from folkmoot.core.tracing.context import (
    NO_SPAN,
    Sampler,
    TraceContext,
    call_context,
    journal_span_id,
    run_span_id,
    saga_context,
    span_id,
)
from folkmoot.core.tracing.schema import SPANS, undeclared
from folkmoot.core.tracing.spans import Link, Moment, Projection, Span, SpansEnded, Traced

__all__ = [
    "NO_SPAN",
    "SPANS",
    "Link",
    "Moment",
    "Projection",
    "Sampler",
    "Span",
    "SpansEnded",
    "TraceContext",
    "Traced",
    "call_context",
    "journal_span_id",
    "run_span_id",
    "saga_context",
    "schema",
    "span_id",
    "undeclared",
]
