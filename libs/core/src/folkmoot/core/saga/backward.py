"""Decides how a saga is undone: what is reached next, going from dependants to what they need.

A step is reached when all its scheduled dependants have been dealt with. One that has no
compensation, or of which no attempt was ever let in, is passed over, which may reach the next at
once; so one answer can lead to a wave of events, worked out here without changing the state. What
a wave has no room for stays `ready` in the state, and the next `Tick` goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from folkmoot.core.messages import Failure, Outcome
from folkmoot.core.saga.events import (
    CompensationStuck,
    SagaCompensated,
    SagaFailed,
    StepCompensated,
    StepCompensationRetryScheduled,
    StepCompensationScheduled,
    StepCompensationSkipped,
    StepPassedOver,
    UndoingStarted,
)
from folkmoot.core.saga.settings import SagaSettings
from folkmoot.core.saga.state import Saga, Step
from folkmoot.core.saga.waiting import patient_ms, reason

Events = list[object]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the last forward call ends: decided with what follows, and not yet in the state."""

    step_id: str
    succeeded: bool
    begun: bool
    called: bool = True


def begin_undoing(
    saga: Saga,
    failure: Failure,
    failed_step: str | None,
    now: int,
    settings: SagaSettings,
    ending: Ending | None = None,
) -> Events:
    """Return the first wave: called when no forward call is under way any more."""
    scheduled = [step for step in saga.steps.values() if step.scheduled]
    if not scheduled:
        return [SagaFailed(saga.saga_id, failure, failed_step)]
    blockers = count_blockers(saga)
    free = [step.plan.id for step in scheduled if blockers[step.plan.id] == 0]
    wave = _Wave(saga, blockers, len(scheduled), now, settings, ending)
    events = [UndoingStarted(saga.saga_id), *wave.reach(free)]
    return events + _end(saga, wave, failure, failed_step)


def go_on_undoing(saga: Saga, now: int, settings: SagaSettings) -> Events:
    """Return the next wave of what is ready to be undone."""
    assert saga.failure is not None
    wave = _Wave(saga, _Overlay(saga), saga.undo_left, now, settings)
    events = wave.reach(islice(saga.ready, settings.wave_max))
    return events + _end(saga, wave, saga.failure, saga.failed_step)


def _end(saga: Saga, wave: _Wave, failure: Failure, failed_step: str | None) -> Events:
    return [] if wave.left else [SagaCompensated(saga.saga_id, failure, failed_step)]


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
        return undone(saga, step, now, settings)
    return undo_failed(saga, step, reason(outcome), now, settings)


def undo_failed(
    saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings
) -> Events:
    """Return the next attempt: undoing is retried until it succeeds."""
    attempt = step.undo_attempt
    key = f"{saga.saga_id}/{step.plan.id}/undo"
    at = now + patient_ms(failure, attempt, key, settings)
    events: Events = [
        StepCompensationRetryScheduled(saga.saga_id, step.plan.id, attempt, at, failure)
    ]
    if attempt >= settings.stuck_after_attempts and not step.stuck:
        events.append(CompensationStuck(saga.saga_id, step.plan.id, attempt, failure))
    return events


def undone(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return how undoing goes on when a step is undone."""
    return [StepCompensated(saga.saga_id, step.plan.id), *_settled(saga, step, now, settings)]


def skipped(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return how undoing goes on when a step is left as it is."""
    left_so = StepCompensationSkipped(saga.saga_id, step.plan.id)
    return [left_so, *_settled(saga, step, now, settings)]


def _settled(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    assert saga.failure is not None
    wave = _Wave(saga, _Overlay(saga), saga.undo_left, now, settings)
    return wave.settle(step) + _end(saga, wave, saga.failure, saga.failed_step)


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
        ending: Ending | None = None,
    ) -> None:
        self._saga, self._blockers, self.left = saga, blockers, left
        self._now, self._settings = now, settings
        self._room = 0 if saga.paused else settings.wave_max
        self._ending = ending

    def reach(self, step_ids: Iterable[str]) -> Events:
        """Return the events for steps that nothing blocks any more, as many as an entry takes.

        None while the saga is paused: the steps are then ready when it is resumed.
        """
        events: Events = []
        waiting = list(step_ids)
        while waiting and len(events) < self._room:
            step = self._saga.steps[waiting.pop()]
            if step.plan.compensable and self._ending_of(step).begun:
                events.append(self._undo(step))
            else:
                events.append(StepPassedOver(self._saga.saga_id, step.plan.id))
                waiting += self._freed(step)
        return events

    def _ending_of(self, step: Step) -> Ending:
        if self._ending is not None and self._ending.step_id == step.plan.id:
            return self._ending
        return Ending(step.plan.id, step.succeeded, step.begun)

    def _undo(self, step: Step) -> StepCompensationScheduled:
        succeeded = self._ending_of(step).succeeded
        return schedule_undo(self._saga, step, self._now, self._settings, succeeded=succeeded)

    def settle(self, step: Step) -> Events:
        """Return the events that follow when `step` has been dealt with."""
        return self.reach(self._freed(step))

    def _freed(self, step: Step) -> list[str]:
        self.left -= 1
        freed = []
        for need in step.plan.needs:
            self._blockers[need] = self._blockers[need] - 1
            if self._blockers[need] == 0 and self._saga.steps[need].scheduled:
                freed.append(need)
        return freed
