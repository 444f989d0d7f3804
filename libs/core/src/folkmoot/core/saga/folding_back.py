"""Folds what undoes a saga into its state: the other half of `folding`."""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.core.kernel import Effect, Position
from folkmoot.core.messages import Address, inbox
from folkmoot.core.saga import events as happened
from folkmoot.core.saga import pacing, questions
from folkmoot.core.saga.backward import count_blockers
from folkmoot.core.saga.budgets import WALL_TIME
from folkmoot.core.saga.calling import cancel_of, undo_of
from folkmoot.core.saga.state import NOT_UNDONE_NAMED_MAX, Saga, SagaState, Step

Effects = Sequence[Effect]


class FoldingBack:
    """What is folded while a saga is compensated."""

    def __init__(self, partition: int) -> None:
        self._answer_to = Address(inbox("saga-orchestrator"), partition)

    def _turned(
        self, state: SagaState, event: happened.CompensationStarted, _at: Position
    ) -> Effects:
        saga = state.sagas[event.saga_id]
        saga.phase, saga.failure = "compensating", event.failure
        saga.ready.clear()
        saga.unsettled.clear()
        pacing.unwait(state, saga, WALL_TIME)
        state.backlog.pop(saga.saga_id, None)
        steps = [*saga.steps.values(), *saga.hooks.values()]
        for step in steps:
            if step.phase in ("retrying", "deferred"):
                step.phase = "failed"
                pacing.mark_stuck(state, saga, step, False)
                pacing.unwait(state, saga, step.plan.id)
        return [cancel_of(saga, step, step.call_id) for step in steps if step.called]

    def _undoing(self, state: SagaState, event: happened.UndoingStarted, _at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        saga.undoing = True
        for step_id, blockers in count_blockers(saga).items():
            saga.steps[step_id].blockers = blockers
        scheduled = [step for step in saga.steps.values() if step.scheduled]
        saga.undo_left = len(scheduled)
        pacing.release(state, saga, [step.plan.id for step in scheduled if step.blockers == 0])
        return ()

    def _undo(
        self, state: SagaState, event: happened.StepCompensationScheduled, at: Position
    ) -> Effects:
        saga = state.sagas[event.saga_id]
        step = saga.steps[event.step_id]
        step.undoes = step.undoes or step.call_id
        step.phase, step.call_id, step.called_at = "compensating", event.call_id, at.at
        step.undo_attempt, step.deadline_at = event.attempt, event.deadline_at
        step.asked_from = None
        pacing.take(state, saga, step.plan.id)
        pacing.wait(state, saga, step.plan.id, event.expires_at, at.at)
        return (undo_of(saga, step, event.in_doubt, self._answer_to, at.at),)

    def _undo_retried(
        self, state: SagaState, event: happened.StepCompensationRetryScheduled, at: Position
    ) -> Effects:
        saga = state.sagas[event.saga_id]
        step = saga.steps[event.step_id]
        questions.forget(saga, step)
        step.phase, step.failure = "compensation-retrying", event.failure
        pacing.wait(state, saga, event.step_id, event.at, at.at)
        return ()

    def _stuck(
        self,
        state: SagaState,
        event: happened.CompensationStuck | happened.StepStuck,
        _at: Position,
    ) -> Effects:
        saga = state.sagas[event.saga_id]
        step = saga.find(event.step_id)
        assert step is not None
        pacing.mark_stuck(state, saga, step, True)
        return ()

    def _compensated(
        self, state: SagaState, event: happened.StepCompensated, _at: Position
    ) -> Effects:
        saga, step = self._settled(state, event.saga_id, event.step_id)
        step.phase = "compensated"
        saga.compensations.append(event.step_id)
        return ()

    def _passed(self, state: SagaState, event: happened.StepPassedOver, _at: Position) -> Effects:
        _, step = self._settled(state, event.saga_id, event.step_id)
        step.phase = "passed-over"
        return ()

    def _left_so(
        self, state: SagaState, event: happened.StepCompensationSkipped, _at: Position
    ) -> Effects:
        saga, step = self._settled(state, event.saga_id, event.step_id)
        step.phase = "compensation-skipped"
        if len(saga.not_undone) < NOT_UNDONE_NAMED_MAX:
            saga.not_undone.append(event.step_id)
        return ()

    def _settled(self, state: SagaState, saga_id: str, step_id: str) -> tuple[Saga, Step]:
        saga = state.sagas[saga_id]
        step = saga.steps[step_id]
        saga.undo_left -= 1
        questions.forget(saga, step)
        pacing.mark_stuck(state, saga, step, False)
        pacing.unwait(state, saga, step_id)
        pacing.take(state, saga, step_id)
        for need in step.plan.needs:
            saga.steps[need].blockers -= 1
        needs = [saga.steps[need] for need in step.plan.needs]
        free = [need.plan.id for need in needs if need.scheduled and need.blockers == 0]
        pacing.release(state, saga, free)
        return saga, step
