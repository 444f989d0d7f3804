"""Decides how a saga is undone: what is reached next, going from dependants to what they need.

A step is reached when all its scheduled dependants have been dealt with. One that has no
compensation is passed over, which may reach the next at once; so one answer can lead to a wave of
events, worked out here without changing the state.
"""

from __future__ import annotations

from collections.abc import Iterable

from folkmoot.core.messages import Failure, Outcome
from folkmoot.core.saga.events import (
    CompensationStuck,
    SagaCompensated,
    SagaFailed,
    StepCompensated,
    StepCompensationRetryScheduled,
    StepCompensationScheduled,
    StepPassedOver,
    UndoingStarted,
)
from folkmoot.core.saga.settings import SagaSettings
from folkmoot.core.saga.state import Saga, Step
from folkmoot.core.saga.waiting import wait_ms

Events = list[object]


def begin_undoing(
    saga: Saga,
    failure: Failure,
    failed_step: str | None,
    now: int,
    settings: SagaSettings,
    just_succeeded: str | None = None,
) -> Events:
    """Return the first wave: called when no forward call is under way any more.

    `just_succeeded` is a step whose success is decided with this and not yet in the state.
    """
    scheduled = [step for step in saga.steps.values() if step.scheduled]
    if not scheduled:
        return [SagaFailed(saga.saga_id, failure, failed_step)]
    blockers = count_blockers(saga)
    free = [step.plan.id for step in scheduled if blockers[step.plan.id] == 0]
    wave = _Wave(saga, blockers, len(scheduled), now, settings, just_succeeded)
    events = [UndoingStarted(saga.saga_id), *wave.reach(free)]
    if wave.left == 0:
        events.append(SagaCompensated(saga.saga_id, failure, failed_step))
    return events


def count_blockers(saga: Saga) -> dict[str, int]:
    """Return, for each step, how many of its dependants may have had an effect."""
    return {
        step.plan.id: sum(saga.steps[name].scheduled for name in step.dependants)
        for step in saga.steps.values()
    }


def schedule_undo(
    saga: Saga, step: Step, now: int, settings: SagaSettings, *, succeeded: bool
) -> StepCompensationScheduled:
    """Return the event that begins the next attempt to undo a step."""
    attempt = step.undo_attempt + 1
    deadline_at = now + step.plan.timeout_ms
    return StepCompensationScheduled(
        saga.saga_id,
        step.plan.id,
        attempt,
        f"{saga.saga_id}/{step.plan.id}/undo/{attempt}",
        deadline_at,
        deadline_at + settings.answer_grace_ms,
        not succeeded,
    )


def undo_answered(
    saga: Saga, step: Step, outcome: Outcome, now: int, settings: SagaSettings
) -> Events:
    """Return what an answer about an attempt to undo brings about."""
    if outcome.status == "succeeded":
        return _undone(saga, step, now, settings)
    failure = outcome.failure or Failure("unknown", "no reason was given")
    return undo_failed(saga, step, failure, now, settings)


def undo_failed(
    saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings
) -> Events:
    """Return the next attempt: undoing is retried until it succeeds."""
    attempt = step.undo_attempt
    wait = wait_ms(settings.compensation_backoff, attempt, f"{saga.saga_id}/{step.plan.id}/undo")
    at = now + max(wait, failure.retry_after_ms or 0)
    events: Events = [
        StepCompensationRetryScheduled(saga.saga_id, step.plan.id, attempt, at, failure)
    ]
    if attempt >= settings.stuck_after_attempts and not step.stuck:
        events.append(CompensationStuck(saga.saga_id, step.plan.id, attempt, failure))
    return events


def _undone(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    assert saga.failure is not None
    blockers = _Overlay(saga)
    wave = _Wave(saga, blockers, saga.undo_left, now, settings)
    events: Events = [StepCompensated(saga.saga_id, step.plan.id)]
    events += wave.settle(step)
    if wave.left == 0:
        events.append(SagaCompensated(saga.saga_id, saga.failure, saga.failed_step))
    return events


class _Overlay(dict[str, int]):
    """The blockers of a saga's steps, copied as they are looked at, so that they can be lowered."""

    def __init__(self, saga: Saga) -> None:
        super().__init__()
        self._saga = saga

    def __missing__(self, step_id: str) -> int:
        self[step_id] = self._saga.steps[step_id].blockers
        return self[step_id]


class _Wave:
    """What is reached when steps are dealt with, one after the other."""

    def __init__(
        self,
        saga: Saga,
        blockers: dict[str, int],
        left: int,
        now: int,
        settings: SagaSettings,
        just_succeeded: str | None = None,
    ) -> None:
        self._saga, self._blockers, self.left = saga, blockers, left
        self._now, self._settings = now, settings
        self._just_succeeded = just_succeeded

    def reach(self, step_ids: Iterable[str]) -> Events:
        """Return the events for steps that nothing blocks any more."""
        events: Events = []
        waiting = list(step_ids)
        while waiting:
            step = self._saga.steps[waiting.pop()]
            if step.plan.compensable:
                events.append(self._undo(step))
            else:
                events.append(StepPassedOver(self._saga.saga_id, step.plan.id))
                waiting += self._freed(step)
        return events

    def _undo(self, step: Step) -> StepCompensationScheduled:
        succeeded = step.succeeded or step.plan.id == self._just_succeeded
        return schedule_undo(self._saga, step, self._now, self._settings, succeeded=succeeded)

    def settle(self, step: Step) -> Events:
        """Return the events that follow when `step` has been dealt with."""
        return self.reach(self._freed(step))

    def _freed(self, step: Step) -> list[str]:
        self.left -= 1
        freed = []
        for need in step.plan.needs:
            self._blockers[need] = self._blockers[need] - 1
            if self._blockers[need] == 0:
                freed.append(need)
        return freed
