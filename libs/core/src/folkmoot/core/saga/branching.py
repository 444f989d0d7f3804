"""Folds what is known of a plan at run time only: what is left out, and what is run for each item.

A step that is expanded becomes the join of its parts: they take its needs, and it needs them. So
undoing goes from whatever needs it, through it, to its parts, and to what they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from folkmoot.core.kernel import Effect, Position
from folkmoot.core.saga import pacing
from folkmoot.core.saga.events import StepExpanded, StepJoined, StepOmitted, StepReleased
from folkmoot.core.saga.state import Saga, SagaState, Step


def fold_omitted(state: SagaState, event: StepOmitted, _at: Position) -> Sequence[Effect]:
    """Leave a step out."""
    saga = state.sagas[event.saga_id]
    step = saga.steps[event.step_id]
    step.phase, step.passed = "omitted", True
    pacing.take(state, saga, step.plan.id)
    pacing.done(state, saga, step)
    return ()


def fold_released(state: SagaState, event: StepReleased, _at: Position) -> Sequence[Effect]:
    """Let a step begin when there is room."""
    saga = state.sagas[event.saga_id]
    del saga.unsettled[event.step_id]
    saga.ready[event.step_id] = None
    pacing.refresh(state, saga)
    return ()


def fold_expanded(state: SagaState, event: StepExpanded, _at: Position) -> Sequence[Effect]:
    """Put the parts of a step in its place; the step itself then waits for them."""
    saga = state.sagas[event.saga_id]
    step = saga.steps[event.step_id]
    pacing.unwait(state, saga, step.plan.id)
    pacing.take(state, saga, step.plan.id)
    pacing.mark_stuck(state, saga, step, False)
    parts = _parts(saga, step, event.count)
    step.phase, step.passed, step.unmet = "joining", True, event.count
    step.parts = [part.plan.id for part in parts]
    if parts:
        _stand_between(saga, step)
    saga.steps |= {part.plan.id: part for part in parts}
    saga.left += event.count
    pacing.release(state, saga, step.parts or [step.plan.id])
    return ()


def _stand_between(saga: Saga, step: Step) -> None:
    """Let a step's parts need what it needed, and itself need its parts."""
    for need in step.plan.needs:
        dependants = saga.steps[need].dependants
        dependants.remove(step.plan.id)
        dependants += step.parts
    step.plan = replace(step.plan, needs=tuple(step.parts))


def fold_joined(state: SagaState, event: StepJoined, _at: Position) -> Sequence[Effect]:
    """Gather the results of a step's parts."""
    saga = state.sagas[event.saga_id]
    step = saga.steps[event.step_id]
    step.result = [saga.steps[part].result for part in step.parts]
    step.phase, step.succeeded = "succeeded", True
    pacing.take(state, saga, step.plan.id)
    pacing.done(state, saga, step)
    return ()


def _parts(saga: Saga, step: Step, count: int) -> list[Step]:
    """Return the steps that run a step once for each item of what it is to be run for."""
    items, plan = saga.steps[step.plan.each].result or [], step.plan
    return [
        Step(
            replace(plan, id=f"{plan.id}[{number}]", input=items[number], each="", when=None),
            "step",
            [plan.id],
            whole=plan.id,
        )
        for number in range(count)
    ]
