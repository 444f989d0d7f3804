"""Sagas as steps of other sagas: decided and folded here, for both sides.

A child is a saga like any other, in a shard of its own. When it has its result it is held: its
parent may yet turn back, and then has it undone as if it had failed. It ends with its parent.

Invariants:

- A child answers each call once: with its result, or when it is undone, or why it cannot be.
- It is held only as long as its parent is open; a call that was given up leaves nothing held.
- What has passed its pivot is not undone: its parent is told so, and is stuck for all to see.
- What is paused with its parent goes on with it, and at the latest when that has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from folkmoot.core.children import (
    CancelChild,
    PauseChild,
    ReleaseChild,
    ResumeChild,
    StartChild,
    UndoChild,
    child_id_of,
)
from folkmoot.core.kernel import Effect, Position, Send
from folkmoot.core.messages import (
    Address,
    Budget,
    Failure,
    Json,
    Outcome,
    OutcomeStatus,
    TaskResult,
    Usage,
    inbox,
)
from folkmoot.core.saga import forward, pacing
from folkmoot.core.saga.budgets import WALL_TIME
from folkmoot.core.saga.child_events import (
    ChildAnswered,
    Parent,
    SagaHeld,
    SagaReleased,
    UndoAsked,
)
from folkmoot.core.saga.control_events import SagaPaused, SagaResumed
from folkmoot.core.saga.events import SagaOpened
from folkmoot.core.saga.settings import SagaSettings
from folkmoot.core.saga.state import Saga, SagaState, Step

Events = Sequence[object]
HOME = inbox("saga-orchestrator")
PAST_PIVOT = "past-pivot"


# -- the parent's side --------------------------------------------------------------------------


def start_of(
    state: SagaState, saga: Saga, step: Step, results: Json, answer_to: Address, now: int
) -> Send:
    """Return what begins an attempt of a step that is a saga."""
    plan = step.plan
    child_id = child_id_of(step.call_id)
    definition = "" if plan.name == "plan" else plan.name
    depth = saga.parent.depth + 1 if saga.parent else 1
    message = StartChild(
        child_id,
        step.call_id,
        saga.saga_id,
        plan.id,
        step.attempt,
        plan.agent,
        definition,
        plan.input,
        results,
        depth,
        answer_to,
        _budget_left(state, saga, now),
        saga.traceparent,
        saga.share,
    )
    return Send(HOME, message, key=child_id)


def undo_of(saga: Saga, step: Step, answer_to: Address) -> Send:
    """Return what asks a child to undo itself."""
    ids = (step.child_id, step.call_id, saga.saga_id, step.plan.id, step.undo_attempt)
    return Send(HOME, UndoChild(*ids, answer_to), key=step.child_id)


def cancel_of(step: Step, call_id: str) -> Send:
    """Return what tells a child that nobody waits for it."""
    return Send(HOME, CancelChild(step.child_id, call_id), key=step.child_id)


def releases(saga: Saga) -> list[Send]:
    """Return what the children of a saga that ends are told."""
    children = [step.child_id for step in saga.steps.values() if step.child_id]
    return [Send(HOME, ReleaseChild(child_id), key=child_id) for child_id in children]


def pauses(saga: Saga) -> list[Send]:
    """Return what the children are told of a saga that is paused: those that have yet to answer."""
    children = [step.child_id for step in saga.steps.values() if step.child_id and step.called]
    told = (PauseChild(child_id, saga.paused_by) for child_id in children)
    return [Send(HOME, each, key=each.child_id) for each in told]


def resumptions(saga: Saga) -> list[Send]:
    """Return what they are told when it goes on; also those that it let go of meanwhile."""
    children = [step.child_id for step in saga.steps.values() if step.child_id]
    return [Send(HOME, ResumeChild(child_id), key=child_id) for child_id in children]


def _budget_left(state: SagaState, saga: Saga, now: int) -> Budget | None:
    """Return what a child may use up. What is used up to the last is 1: 0 would be no limit."""
    budget, spent = saga.budget, saga.spent
    if budget == Budget():
        return None
    ends_at = state.timers.get(f"{saga.saga_id}/{WALL_TIME}")
    return replace(
        budget,
        tokens=_left(budget.tokens, spent.tokens),
        micros=_left(budget.micros, spent.micros),
        hops=_left(budget.hops, saga.hops),
        wall_ms=0 if ends_at is None else max(1, ends_at - now),
    )


def _left(limit: int, used: int) -> int:
    return max(1, limit - used) if limit else 0


# -- the child's side: deciding -----------------------------------------------------------------


def started(
    state: SagaState, start: StartChild, problem: Failure | None, now: int, settings: SagaSettings
) -> Events:
    """Return how a child begins, unless there is a problem with its task."""
    child_id = start.child_id
    if child_id in state.sagas or child_id in state.ended:
        return ()
    if start.depth > settings.depth_max:
        detail = f"sagas within sagas go {settings.depth_max} deep: does one run itself?"
        problem = Failure("too-deep", detail, retryable=False)
    if problem is not None:
        return (_answered(start, "step", "refused", start.team, problem),)
    parent = Parent(
        start.saga_id,
        start.step_id,
        start.call_id,
        start.attempt,
        start.outcome_to,
        start.depth,
        start.results,
    )
    opened = SagaOpened(
        child_id,
        start.team,
        start.input,
        start.traceparent,
        start.budget,
        start.definition,
        parent=parent,
        share=start.share,
    )
    return (opened, forward.first_call(child_id, start.team, now, settings))


def undone(state: SagaState, undo: UndoChild, now: int, settings: SagaSettings) -> Events:
    """Return how a child is undone, or that there is nothing to undo, or why it cannot be."""
    saga = state.sagas.get(undo.child_id)
    if saga is None:
        ended = state.ended.get(undo.child_id)
        how = ended.result.state if ended is not None else "refused"
        return (_answer_of_ended(undo, how),)
    asked = UndoAsked(saga.saga_id, undo.call_id, undo.attempt, undo.outcome_to)
    if saga.phase == "compensating":
        return (asked,)
    if not forward.may_return(saga):
        detail = f"the pivot {saga.pivot!r} of saga {saga.saga_id} has, or may have, succeeded"
        return (_answered(undo, "compensate", "failed", saga.team, Failure(PAST_PIVOT, detail)),)
    return (asked, *_turned_back(saga, "undone", now, settings))


def cancelled(state: SagaState, cancel: CancelChild, now: int, settings: SagaSettings) -> Events:
    """Return how a child goes on of which nobody awaits the result: back if it can."""
    saga = state.sagas.get(cancel.child_id)
    if saga is None or saga.parent is None or saga.parent.call_id != cancel.call_id:
        return ()
    if saga.phase == "compensating":
        return ()
    if not forward.may_return(saga):
        return (SagaReleased(saga.saga_id),)
    return _turned_back(saga, "cancelled", now, settings)


def released(state: SagaState, release: ReleaseChild, now: int, settings: SagaSettings) -> Events:
    """Return that a child is not needed any more, and goes on if it was paused with its parent."""
    saga = state.sagas.get(release.child_id)
    if saga is None:
        return ()
    events = [] if saga.released else [SagaReleased(saga.saga_id)]
    return events if saga.phase == "held" else [*events, *_resumed(saga, now, settings)]


def paused(state: SagaState, pause: PauseChild) -> Events:
    """Return how a child is paused with its parent."""
    saga = state.sagas.get(pause.child_id)
    if saga is None or saga.paused_with_parent or saga.phase == "held":
        return ()
    return (SagaPaused(saga.saga_id, pause.actor, with_parent=True),)


def resumed(state: SagaState, resume: ResumeChild, now: int, settings: SagaSettings) -> Events:
    """Return how a child goes on with its parent; one that is paused by itself stays so."""
    saga = state.sagas.get(resume.child_id)
    return () if saga is None else _resumed(saga, now, settings)


def _resumed(saga: Saga, now: int, settings: SagaSettings) -> list[object]:
    if not saga.paused_with_parent:
        return []
    begins = [] if saga.paused_itself else forward.taken_up(saga, now, settings)
    return [SagaResumed(saga.saga_id, with_parent=True), *begins]


def _turned_back(saga: Saga, how: str, now: int, settings: SagaSettings) -> Events:
    assert saga.parent is not None
    why = f"{how} with step {saga.parent.step_id!r} of saga {saga.parent.saga_id}"
    failure = Failure(how, why, retryable=False)
    return forward.turn_back(saga, failure, now, settings)


def _answer_of_ended(undo: UndoChild, how: str) -> ChildAnswered:
    if how in ("completed", "terminated"):
        detail = f"saga {undo.child_id} is {how}, and cannot be undone any more"
        return _answered(undo, "compensate", "failed", "", Failure(how, detail))
    return _answered(undo, "compensate", "succeeded", "", None)


def _answered(
    asked: StartChild | UndoChild,
    kind: str,
    status: OutcomeStatus,
    team: str,
    failure: Failure | None,
) -> ChildAnswered:
    outcome = Outcome(
        asked.call_id,
        asked.saga_id,
        asked.step_id,
        "compensate" if kind == "compensate" else "step",
        team,
        asked.attempt,
        status,
        failure=failure,
        member=asked.child_id,
    )
    return ChildAnswered(asked.child_id, asked.outcome_to, outcome)


# -- the child's side: folding ------------------------------------------------------------------


def fold_answered(_state: SagaState, event: ChildAnswered, _at: Position) -> Sequence[Effect]:
    """Tell the parent."""
    to = event.outcome_to
    return (Send(to.topic, event.outcome, partition=to.partition),)


def fold_held(state: SagaState, event: SagaHeld, at: Position) -> Sequence[Effect]:
    """Keep a saga that is done, and tell its parent the result."""
    saga = state.sagas[event.saga_id]
    saga.phase, saga.held, saga.held_at = "held", event.result, at.at
    pacing.unwait(state, saga, WALL_TIME)
    return _told(saga, "succeeded", event.result, None)


def fold_undo_asked(state: SagaState, event: UndoAsked, _at: Position) -> Sequence[Effect]:
    """Note that the parent waits for the saga to be undone."""
    saga = state.sagas[event.saga_id]
    assert saga.parent is not None
    saga.parent = replace(
        saga.parent,
        call_id=event.call_id,
        attempt=event.attempt,
        outcome_to=event.outcome_to,
        undoes=True,
    )
    return ()


def told_of_end(saga: Saga, result: TaskResult) -> Sequence[Effect]:
    """Return what the parent is told when a child ends, if it still waits for that."""
    if saga.parent is None or saga.phase == "held":
        return ()
    if result.state == "completed":
        return _told(saga, "succeeded", result.result, None)
    if result.state == "terminated":
        detail = f"saga {saga.saga_id} was terminated, and nothing of it was undone"
        return _told(saga, "failed", None, Failure("terminated", detail, retryable=False))
    if saga.parent.undoes:
        return _told(saga, "succeeded", None, None)
    why = result.failure.detail if result.failure else "no reason was given"
    kind = result.failure.kind if result.failure else "unknown"
    failed_step = f", because of step {result.failed_step!r}" if result.failed_step else ""
    detail = f"saga {saga.saga_id} is {result.state}{failed_step}: {why}"
    return _told(saga, "failed", None, Failure(kind, detail))


def _told(
    saga: Saga, status: OutcomeStatus, result: Json, failure: Failure | None
) -> Sequence[Effect]:
    parent = saga.parent
    assert parent is not None
    outcome = Outcome(
        parent.call_id,
        parent.saga_id,
        parent.step_id,
        "compensate" if parent.undoes else "step",
        saga.team,
        parent.attempt,
        status,
        result,
        failure,
        member=saga.saga_id,
        usage=_untold(saga),
    )
    return (Send(parent.outcome_to.topic, outcome, partition=parent.outcome_to.partition),)


def _untold(saga: Saga) -> Usage:
    """Return what was used up since the parent was last told, and note that it is told now."""
    told, spent = saga.told, replace(saga.spent, hops=saga.hops)
    saga.told = spent
    return Usage(
        spent.tokens - told.tokens,
        spent.micros - told.micros,
        spent.unpriced - told.unpriced,
        spent.hops - told.hops,
    )
