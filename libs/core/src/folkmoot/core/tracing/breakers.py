"""The spans that a breaker's log tells: the moment of each decision to let a call wait, or go.

A refusal is no span here: it is the answer to the attempt, and stands as an event in the span of
that, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.core.breaker import BreakerState
from folkmoot.core.breaker.events import CallAdmitted, CallDequeued, CallQueued
from folkmoot.core.kernel import Position
from folkmoot.core.messages import Call
from folkmoot.core.tracing import schema
from folkmoot.core.tracing.context import Sampler, call_context, span_id
from folkmoot.core.tracing.spans import Span, Value
from folkmoot.core.tracing.workers import is_told


class BreakerSpans:
    """The projection of one breaker shard's log."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def __call__(self, state: BreakerState, event: object, position: Position) -> Sequence[Span]:
        """Return the spans that end with `event`; see `Projection`."""
        match event:
            case CallAdmitted(call=call, partition=partition, probe=probe):
                said: dict[str, Value] = {schema.PARTITION: str(partition), schema.PROBE: probe}
                return self._decided("admitted", call, position.at, said)
            case CallQueued(call=call):
                return self._decided("queued", call, position.at, {})
            case CallDequeued():
                waiting = state.targets[event.target].queue[event.call_id]
                said = {schema.PARTITION: str(event.partition)}
                return self._decided("dequeued", waiting, position.at, said)
        return ()

    def _decided(
        self, decision: str, call: Call, at: int, more: dict[str, Value]
    ) -> Sequence[Span]:
        if not is_told(call, self._sampler):
            return ()
        said = {
            schema.SAGA_ID: call.saga_id,
            schema.STEP_ID: call.step_id,
            schema.DECISION: decision,
        }
        span = Span(
            f"breaker {call.target}",
            call_context(call).trace_id,
            span_id(f"{call.call_id}/{decision}"),
            span_id(call.call_id),
            at,
            at,
            attributes=said | more,
        )
        return (span,)
