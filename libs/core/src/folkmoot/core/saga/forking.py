"""Forks: a saga that begins with what was done in another one.

A fork is a task that brings its plan and results of some of the steps. What these steps did belongs
to the saga that ran them: the fork does not run them, and does not undo them either.
"""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.core.forks import Fork
from folkmoot.core.kernel import Effect, Position
from folkmoot.core.messages import Json
from folkmoot.core.saga import forward, pacing
from folkmoot.core.saga.events import ResultsCarriedOver
from folkmoot.core.saga.plan import Plan
from folkmoot.core.saga.plan_events import Condition, PlannedStep
from folkmoot.core.saga.settings import SagaSettings
from folkmoot.core.saga.shape import InvalidPlan
from folkmoot.core.saga.state import SagaState


def carried(saga_id: str, plan: Plan, fork: Fork) -> ResultsCarriedOver:
    """Return that a fork's results are its own.

    Raises:
        InvalidPlan: they do not fit the plan.
    """
    check_results(plan.steps, fork)
    return ResultsCarriedOver(saga_id, fork.results)


def begin(
    team: str, plan: Plan, brought: ResultsCarriedOver, now: int, settings: SagaSettings
) -> list[object]:
    """Return how a fork begins. Steps begin with the next `Tick`: the entry is large enough."""
    events: list[object] = [forward.recorded_of(brought.saga_id, plan), brought]
    if len(brought.results) == len(plan.steps):
        events.append(forward.aggregation(brought.saga_id, team, now, settings))
    return events


def check_results(steps: Sequence[PlannedStep], fork: Fork) -> None:
    """Raise `InvalidPlan` unless results are of steps, together with those of what these need."""
    known = {step.id: step for step in steps}
    for step_id in fork.results:
        step = known.get(step_id)
        if step is None:
            raise InvalidPlan(f"there is a result of {step_id!r}, which is none of its steps")
        missing = next((need for need in step.needs if need not in fork.results), None)
        if missing is not None:
            raise InvalidPlan(
                f"there is a result of {step_id!r}, and none of {missing!r}, which it needs"
            )


def fold_carried(state: SagaState, event: ResultsCarriedOver, _at: Position) -> Sequence[Effect]:
    """Take steps for done that were never begun here."""
    saga = state.sagas[event.saga_id]
    for step_id, result in event.results.items():
        step = saga.steps[step_id]
        step.phase, step.result, step.succeeded = "succeeded", result, True
        saga.committed |= step.plan.role == "pivot"
        pacing.done(state, saga, step)
    for step_id in event.results:
        pacing.take(state, saga, step_id)
    return ()


def written(step: PlannedStep) -> dict[str, Json]:
    """Return a recorded step as a task brings it: read again, it is the same."""
    when = step.when
    condition = {} if when is None else {"when": _condition(when)}
    return condition | {
        "id": step.id,
        "name": step.name,
        "agent": step.agent,
        "input": step.input,
        "needs": list(step.needs),
        "timeout_ms": step.timeout_ms,
        "retry": {
            "attempts": step.attempts,
            "initial_ms": step.initial_ms,
            "factor": step.factor,
            "cap_ms": step.cap_ms,
            "total_ms": step.total_ms,
        },
        "compensable": step.compensable,
        "role": step.role,
        "queue_timeout_ms": step.queue_timeout_ms,
        "heartbeat_ms": step.heartbeat_ms,
        "each": step.each,
        "child": step.child,
    }


def _condition(when: Condition) -> dict[str, Json]:
    return {"step": when.step, "path": list(when.path), "op": when.op, "value": when.value}
