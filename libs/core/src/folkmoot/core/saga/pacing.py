"""What a saga waits for: timers, and steps that are ready; both stand still while it is paused.

The shard's `timers` and `backlog` know nothing of paused sagas, so that these cost nothing and no
decision has to look whether one is paused: nothing of it ever falls due.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from folkmoot.core.saga.budgets import WALL_TIME
from folkmoot.core.saga.state import Saga, SagaState, Step


def wait(state: SagaState, saga: Saga, step_id: str, at: int, now: int) -> None:
    """Let a step's time come at `at`, or as long after the pause as that is from now."""
    if saga.paused:
        saga.frozen[step_id] = max(0, at - now)
    else:
        state.timers.set(f"{saga.saga_id}/{step_id}", at)


def unwait(state: SagaState, saga: Saga, step_id: str) -> None:
    """Let a step wait for no time."""
    state.timers.drop(f"{saga.saga_id}/{step_id}")
    saga.frozen.pop(step_id, None)


def pause(state: SagaState, saga: Saga, now: int) -> None:
    """Stop a saga's timers, and keep what is ready from beginning."""
    saga.paused_at = now
    state.backlog.pop(saga.saga_id, None)
    for step_id in [*saga.steps, *saga.hooks, WALL_TIME]:
        key = f"{saga.saga_id}/{step_id}"
        if (at := state.timers.get(key)) is not None:
            saga.frozen[step_id] = max(0, at - now)
            state.timers.drop(key)


def resume(state: SagaState, saga: Saga, now: int) -> None:
    """Let a saga's timers run on, and what is ready begin."""
    assert saga.paused_at is not None
    stood_still_ms = now - saga.paused_at
    frozen, saga.frozen, saga.paused_at = saga.frozen, {}, None
    for step_id, left_ms in frozen.items():
        wait(state, saga, step_id, now + left_ms, now)
        step = saga.find(step_id)
        if step is not None:
            _postpone(step, stood_still_ms)
    release(state, saga, ())


def _postpone(step: Step, stood_still_ms: int) -> None:
    """Let time that passed during a pause count towards no limit."""
    if step.deferred_since is not None:
        step.deferred_since += stood_still_ms
    if step.began_at is not None:
        step.began_at += stood_still_ms
    step.deadline_at += stood_still_ms
    for question_id, question in step.questions.items():
        later = replace(question, deadline_at=question.deadline_at + stood_still_ms)
        step.questions[question_id] = later


def mark_stuck(state: SagaState, saga: Saga, step: Step, stuck: bool) -> None:
    """Count a step as stuck, or no longer; its saga with the first and until the last."""
    saga.stuck_steps += stuck - step.stuck
    step.stuck = stuck
    if saga.stuck:
        state.stuck[saga.saga_id] = None
    else:
        state.stuck.pop(saga.saga_id, None)


def done(state: SagaState, saga: Saga, step: Step) -> None:
    """Count a step as done, with a result or without, and release what only waited for it."""
    saga.left -= 1
    saga.active, step.active = saga.active - step.active, False
    for dependant in step.dependants:
        saga.steps[dependant].unmet -= 1
    if step.dependants and saga.phase == "running":
        free = [name for name in step.dependants if saga.steps[name].unmet == 0]
        release(state, saga, free)
    refresh(state, saga)


def release(state: SagaState, saga: Saga, step_ids: Iterable[str]) -> None:
    """Make steps ready: nothing holds them back any more."""
    for step_id in step_ids:
        special = not saga.undoing and saga.steps[step_id].special
        (saga.unsettled if special else saga.ready)[step_id] = None
    refresh(state, saga)


def take(state: SagaState, saga: Saga, step_id: str) -> None:
    """Take a step out of those that are ready, if it was."""
    saga.ready.pop(step_id, None)
    saga.unsettled.pop(step_id, None)
    refresh(state, saga)


def refresh(state: SagaState, saga: Saga) -> None:
    """Keep in the backlog exactly those sagas of which something can be decided now."""
    can_begin = saga.ready and (saga.undoing or saga.room != 0)
    if (can_begin or saga.unsettled) and not saga.paused and not saga.queued:
        state.backlog[saga.saga_id] = None
    else:
        state.backlog.pop(saga.saga_id, None)
