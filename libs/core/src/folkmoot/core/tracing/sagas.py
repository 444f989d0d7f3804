"""The spans that the orchestrator's log tells: of sagas, and of every attempt at their steps.

A sampled saga's spans are told as they end. Of any other nothing is told while all goes well; when
it turns back, or is terminated, what its state remembers is told at once (the first attempts that
failed, `TRIED_KEPT_MAX` of them, and each step's last), and from there on all that ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from folkmoot.core.children import child_id_of
from folkmoot.core.kernel import Position
from folkmoot.core.messages import inbox
from folkmoot.core.saga.control_events import ControlAccepted, SagaResumed
from folkmoot.core.saga.events import (
    CompensationStarted,
    SagaCompensated,
    SagaCompleted,
    SagaFailed,
    SagaTerminated,
    StepCompensated,
    StepCompensationRetryScheduled,
    StepCompensationSkipped,
    StepDeferred,
    StepFailed,
    StepRetryScheduled,
    StepSkipped,
    StepSucceeded,
)
from folkmoot.core.saga.state import Saga, SagaState, Step, Tried
from folkmoot.core.tracing import schema
from folkmoot.core.tracing.context import Sampler, TraceContext, saga_context, span_id
from folkmoot.core.tracing.spans import Kind, Link, Moment, Span, Value

REMEMBERED_TOLD_MAX = 1_000
"""Attempts that are told at once when a saga turns back that was not sampled."""

UNANSWERED = "terminated"
"""The error of a call that its saga's termination left without an answer."""


class SagaSpans:
    """The projection of one orchestrator shard's log."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def __call__(self, state: SagaState, event: Any, position: Position) -> Sequence[Span]:
        """Return the spans that end with `event`; see `Projection`."""
        if (project := _PROJECTIONS.get(type(event))) is None:
            return ()
        if (saga := state.sagas.get(event.saga_id)) is None:
            return ()
        trace = saga_context(saga.saga_id, saga.traceparent)
        sampled = self._sampler.sampled(trace)
        if not sampled and saga.phase != "compensating" and project not in _TURNS:
            return ()
        return project(_Telling(saga, trace, position.at, sampled), event)


def under_way(state: SagaState, saga_id: str, now: int) -> Sequence[Span]:
    """Return the spans of a saga that have not ended, as if they ended `now`; its own is the first.

    None if it has ended, or is not known.
    """
    saga = state.sagas.get(saga_id)
    if saga is None:
        return ()
    trace = saga_context(saga_id, saga.traceparent)
    telling = _Telling(saga, trace, now, sampled=True)
    return [telling.whole("open", None), *telling.unanswered(None)]


class _Telling:
    """One saga that is told of, before the event that something ends with."""

    def __init__(self, saga: Saga, trace: TraceContext, at: int, sampled: bool) -> None:
        self._saga, self._trace, self._at, self._sampled = saga, trace, at, sampled

    @property
    def _is_told(self) -> bool:
        return self._sampled or self._saga.phase == "compensating"

    # -- forwards ---------------------------------------------------------------------------

    def succeeded(self, event: StepSucceeded) -> Sequence[Span]:
        return self._answered(event.step_id, None)

    def failed(self, event: StepRetryScheduled | StepFailed) -> Sequence[Span]:
        return self._answered(event.step_id, event.failure.kind)

    def refused(self, event: StepDeferred) -> Sequence[Span]:
        kind = event.failure.kind
        moment = Moment("refused", self._at, {schema.ERROR_TYPE: kind})
        return self._answered(event.step_id, kind, moment)

    def lost(self, event: StepFailed) -> Sequence[Span]:
        """Tell of an attempt that failed for good; if it was refused, it never began."""
        refusal = [] if event.begun else [Moment("refused", self._at)]
        return self._answered(event.step_id, event.failure.kind, *refusal)

    def skipped(self, event: StepSkipped) -> Sequence[Span]:
        return self._answered(event.step_id, None, Moment("skipped", self._at))

    def _answered(self, step_id: str, error: str | None, *moments: Moment) -> Sequence[Span]:
        step = self._saga.find(step_id)
        if step is None or step.phase != "running":
            return ()
        return (self._attempt(step, self._at, error, moments),)

    def _attempt(
        self, step: Step, ended_at: int, error: str | None, moments: Sequence[Moment] = ()
    ) -> Span:
        tried = Tried(step.plan.id, step.call_id, step.attempt, step.called_at, ended_at, "")
        return self._tried(step, tried, error, moments)

    def _tried(
        self, step: Step, tried: Tried, error: str | None, moments: Sequence[Moment] = ()
    ) -> Span:
        name = f"step {step.plan.name}" if step.kind == "step" else step.kind
        attributes = self._call(step, tried.attempt, tried.call_id)
        times = (tried.called_at, tried.ended_at)
        links = self._child(child_id_of(tried.call_id)) if step.plan.child else ()
        return self._span(
            name, tried.call_id, *times, "producer", error, attributes, moments, links
        )

    def _child(self, child_id: str) -> tuple[Link, ...]:
        """Return the link to the saga that a step is; it has a trace of its own, or the user's."""
        child = saga_context(child_id, self._saga.traceparent)
        return (Link(child.trace_id, child.root, {schema.LINK: "child"}),)

    def _call(self, step: Step, attempt: int, call_id: str) -> dict[str, Value]:
        to = "breaker-proxy" if step.kind == "step" else f"team.{self._saga.team}"
        to = "saga-orchestrator" if step.plan.child else to
        return {
            schema.TEAM: self._saga.team,
            schema.STEP_ID: step.plan.id,
            schema.ATTEMPT: attempt,
            schema.OPERATION: "send",
            schema.DESTINATION: inbox(to),
            schema.CONVERSATION: call_id,
        }

    # -- backwards --------------------------------------------------------------------------

    def turned(self, _event: CompensationStarted) -> Sequence[Span]:
        """Tell what was not told so far, if the saga is not sampled."""
        return () if self._is_told else self._remembered()

    def _remembered(self) -> list[Span]:
        spans = [
            self._tried(step, tried, tried.failure)
            for tried in self._saga.tried
            if (step := self._saga.find(tried.step_id)) is not None
        ]
        told = {tried.call_id for tried in self._saga.tried}
        for step in self._steps():
            ended = step.attempt > 0 and not step.called and step.call_id not in told
            if ended:
                failure = step.failure.kind if step.failure is not None else None
                spans.append(self._attempt(step, step.ended_at, failure if _lost(step) else None))
        return spans[:REMEMBERED_TOLD_MAX]

    def _steps(self) -> list[Step]:
        return [*self._saga.hooks.values(), *self._saga.steps.values()]

    def undone(self, event: StepCompensated) -> Sequence[Span]:
        return self._undo_answered(event.step_id, None)

    def undo_failed(self, event: StepCompensationRetryScheduled) -> Sequence[Span]:
        return self._undo_answered(event.step_id, event.failure.kind)

    def undo_skipped(self, event: StepCompensationSkipped) -> Sequence[Span]:
        return self._undo_answered(event.step_id, None, Moment("skipped", self._at))

    def _undo_answered(self, step_id: str, error: str | None, *moments: Moment) -> Sequence[Span]:
        step = self._saga.steps[step_id]
        return (self._undo(step, error, moments),) if step.phase == "compensating" else ()

    def _undo(self, step: Step, error: str | None, moments: Sequence[Moment]) -> Span:
        name = f"compensate {step.plan.name}"
        attributes = self._call(step, step.undo_attempt, step.call_id)
        attributes[schema.IN_DOUBT] = not step.succeeded
        undone = Link(self._trace.trace_id, span_id(step.undoes), {schema.LINK: "compensates"})
        links = (undone, *(self._child(step.child_id) if step.child_id else ()))
        times = (step.called_at, self._at)
        return self._span(name, step.call_id, *times, "producer", error, attributes, moments, links)

    # -- control, and the end ---------------------------------------------------------------

    def controlled(self, event: ControlAccepted) -> Sequence[Span]:
        attributes = {schema.CONTROL: event.control, schema.ACTOR: event.actor}
        if event.step_id:
            attributes[schema.STEP_ID] = event.step_id
        name = f"{self._saga.saga_id}/control/{event.request_id or self._at}"
        return (self._span("control", name, self._at, self._at, attributes=attributes),)

    def resumed(self, _event: SagaResumed) -> Sequence[Span]:
        began_at = self._saga.paused_at
        if began_at is None:
            return ()
        attributes = {schema.ACTOR: self._saga.paused_by}
        name = f"{self._saga.saga_id}/paused/{began_at}"
        return (self._span("paused", name, began_at, self._at, attributes=attributes),)

    def terminated(self, event: SagaTerminated) -> Sequence[Span]:
        before = [] if self._is_told else self._remembered()
        root = self.whole("terminated", event.failure.kind)
        return [*before, *self.unanswered(UNANSWERED), root]

    def unanswered(self, error: str | None) -> list[Span]:
        """Return the attempts that are under way, as if they ended now."""
        return [
            self._attempt(step, self._at, error)
            if step.phase == "running"
            else self._undo(step, error, ())
            for step in self._steps()
            if step.called
        ]

    def completed(self, _event: SagaCompleted) -> Sequence[Span]:
        return (self.whole("completed", None),)

    def compensated(self, event: SagaCompensated) -> Sequence[Span]:
        return (self.whole("compensated", event.failure.kind),)

    def given_up(self, event: SagaFailed) -> Sequence[Span]:
        return (self.whole("failed", event.failure.kind),)

    def whole(self, state: str, error: str | None) -> Span:
        """Return the span of the saga, as if it ended now."""
        saga = self._saga
        attributes: dict[str, Value] = {
            schema.TEAM: saga.team,
            schema.SAGA_STATE: state,
            schema.SAGA_STEPS: len(saga.steps),
        }
        times = (saga.opened_at, self._at)
        name, links = f"saga {saga.team}", list[Link]()
        if (parent := saga.parent) is not None:
            above = saga_context(parent.saga_id, saga.traceparent).trace_id
            links = [Link(above, span_id(parent.call_id), {schema.LINK: "parent"})]
        return self._span(
            name, saga.saga_id, *times, error=error, attributes=attributes, links=links
        )

    def _span(
        self,
        name: str,
        identity: str,
        began_at: int,
        ended_at: int,
        kind: Kind = "internal",
        error: str | None = None,
        attributes: Mapping[str, Value] | None = None,
        moments: Sequence[Moment] = (),
        links: Sequence[Link] = (),
    ) -> Span:
        trace, said = self._trace, {schema.SAGA_ID: self._saga.saga_id, **(attributes or {})}
        if error is not None:
            said[schema.ERROR_TYPE] = error
        is_root = identity == self._saga.saga_id
        return Span(
            name,
            trace.trace_id,
            span_id(identity),
            trace.parent if is_root else trace.root,
            began_at,
            ended_at,
            kind,
            error,
            said,
            moments,
            links,
        )


def _lost(step: Step) -> bool:
    return step.phase not in ("succeeded", "skipped")


_TURNS = (_Telling.turned, _Telling.terminated)
"""From where on a saga is told that was not sampled."""

_PROJECTIONS: Mapping[type, Callable[[_Telling, Any], Sequence[Span]]] = {
    StepSucceeded: _Telling.succeeded,
    StepRetryScheduled: _Telling.failed,
    StepDeferred: _Telling.refused,
    StepFailed: _Telling.lost,
    StepSkipped: _Telling.skipped,
    CompensationStarted: _Telling.turned,
    StepCompensated: _Telling.undone,
    StepCompensationRetryScheduled: _Telling.undo_failed,
    StepCompensationSkipped: _Telling.undo_skipped,
    ControlAccepted: _Telling.controlled,
    SagaResumed: _Telling.resumed,
    SagaTerminated: _Telling.terminated,
    SagaCompleted: _Telling.completed,
    SagaCompensated: _Telling.compensated,
    SagaFailed: _Telling.given_up,
}
