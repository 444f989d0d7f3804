"""The spans that a worker's log tells: of every run of a handler, those of dead workers included.

A run ends with its call, or when another begins because whoever ran it died. What a handler calls
within a run is timed where it happens (`folkmoot.agent_worker.handlers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from folkmoot.core.kernel import Position
from folkmoot.core.messages import Call, inbox
from folkmoot.core.tracing import schema
from folkmoot.core.tracing.context import Sampler, call_context, run_span_id, span_id
from folkmoot.core.tracing.spans import Span, Value
from folkmoot.core.worker import OpenCall, WorkerState
from folkmoot.core.worker.events import CallEnded, CallStarted
from folkmoot.core.worker.machine import usage_of

WORKER_LOST = "worker-lost"
"""The error of a run that ended with the process that it was in."""

PROVIDER = "folkmoot"


def is_told(call: Call, sampler: Sampler) -> bool:
    """Whether the spans of a call's runs are exported. An undoing is part of a saga that failed."""
    return call.kind == "compensate" or sampler.sampled(call_context(call))


class WorkerSpans:
    """The projection of one worker shard's log, that of `agent.NAME` or `team.NAME`."""

    def __init__(self, sampler: Sampler, service: str, partition: int) -> None:
        self._sampler, self._partition = sampler, partition
        self._destination = inbox(service)

    def __call__(self, state: WorkerState, event: Any, position: Position) -> Sequence[Span]:
        """Return the spans that end with `event`; see `Projection`."""
        if type(event) not in (CallEnded, CallStarted):
            return ()
        running = state.calls.get(event.call_id)
        if running is None or running.run == 0 or not is_told(running.call, self._sampler):
            return ()
        if isinstance(event, CallStarted):
            return (self._run(running, position.at, WORKER_LOST, {}),)
        failure = None if event.failure is None else event.failure.kind
        return (self._run(running, position.at, failure, {schema.MEMBER: event.member}),)

    def under_way(self, state: WorkerState, now: int) -> Sequence[Span]:
        """Return the spans of runs that have not ended, as if they ended `now`."""
        return [self._run(each, now, None, {}) for each in state.calls.values() if each.run > 0]

    def _run(
        self, running: OpenCall, ended_at: int, error: str | None, more: dict[str, Value]
    ) -> Span:
        call, context = running.call, call_context(running.call)
        return Span(
            f"invoke_agent {call.target}",
            context.trace_id,
            run_span_id(call.call_id, running.run),
            span_id(call.call_id),
            running.started_at,
            ended_at,
            "consumer",
            error,
            self._attributes(running) | more | _error(error),
        )

    def _attributes(self, running: OpenCall) -> dict[str, Value]:
        call = running.call
        said: dict[str, Value] = {
            schema.SAGA_ID: call.saga_id,
            schema.TEAM: call.team,
            schema.STEP_ID: call.step_id,
            schema.ATTEMPT: call.attempt,
            schema.CALL_KIND: call.kind,
            schema.RUN: running.run,
            schema.OPERATION: "process",
            schema.DESTINATION: self._destination,
            schema.PARTITION: str(self._partition),
            schema.CONVERSATION: call.call_id,
            schema.AI_OPERATION: "invoke_agent",
            schema.AI_PROVIDER: PROVIDER,
            schema.AI_AGENT: call.target,
            schema.AI_CONVERSATION: call.saga_id,
        }
        if (usage := usage_of(running.journal)) is not None:
            said |= {schema.TOKENS: usage.tokens, schema.MICROS: usage.micros}
        return said


def _error(error: str | None) -> dict[str, Value]:
    return {} if error is None else {schema.ERROR_TYPE: error}
