"""Folds events into the state, and says what must be sent. Depends on nothing but its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from folkmoot.core.children import child_id_of
from folkmoot.core.kernel import DEAD_LETTERS, DeadLetter, Effect, Local, Position, Send
from folkmoot.core.messages import TASK_RESULTS, TASKS, Announce, TaskResult
from folkmoot.core.saga import admission, branching, children, forking, pacing, questions
from folkmoot.core.saga import events as happened
from folkmoot.core.saga.answers import ControlAnswer, announcement_subject
from folkmoot.core.saga.budgets import WALL_TIME, total
from folkmoot.core.saga.calling import call_of, cancel_of
from folkmoot.core.saga.child_events import (
    ChildAnswered,
    SagaHeld,
    SagaReleased,
    UndoAsked,
)
from folkmoot.core.saga.control_events import (
    ControlAccepted,
    ControlRefused,
    QuestionAnswered,
    QuestionAsked,
    QuestionExpired,
    SagaAdmitted,
    SagaPaused,
    SagaQueued,
    SagaResumed,
    SignalKept,
)
from folkmoot.core.saga.describing import describe_saga
from folkmoot.core.saga.folding_back import FoldingBack
from folkmoot.core.saga.plan_events import PlannedStep, PlanRecorded
from folkmoot.core.saga.state import (
    CONTROLS_REMEMBERED_MAX,
    STEPS_DESCRIBED_MAX,
    Ended,
    Saga,
    SagaState,
    Step,
)
from folkmoot.core.saga.waiting import LIMITED, UNKNOWN_OUTCOMES

Effects = Sequence[Effect]
_Ending = (
    happened.StepSucceeded
    | happened.StepRetryScheduled
    | happened.StepDeferred
    | happened.StepFailed
    | happened.StepSkipped
)
Terminal = Literal["completed", "compensated", "failed", "terminated"]


class Folding(FoldingBack):
    """The `apply` of one partition's machine."""

    def apply(self, state: SagaState, event: object, position: Position) -> Effects:
        """Fold one event."""
        state.index.touched[getattr(event, "saga_id", "")] = None
        return _FOLDS[type(event)](self, state, event, position)

    # -- tasks and their ends ---------------------------------------------------------------

    def _team(self, state: SagaState, event: happened.TeamKnown, _at: Position) -> Effects:
        state.teams[event.team] = None
        return ()

    def _refused(self, state: SagaState, event: happened.TaskRefused, at: Position) -> Effects:
        result = TaskResult(event.saga_id, event.team, "refused", failure=event.failure)
        failure = event.failure
        letter = DeadLetter(TASKS, -1, failure.kind, failure.detail, "Task", event.saga_id)
        return (
            Send(TASK_RESULTS, result, key=event.saga_id),
            Send(DEAD_LETTERS, letter, key=event.saga_id),
        )

    def _rejoined(self, state: SagaState, event: happened.TaskRejoined, _at: Position) -> Effects:
        return (Send(TASK_RESULTS, state.ended[event.saga_id].result, key=event.saga_id),)

    def _opened(self, state: SagaState, event: happened.SagaOpened, at: Position) -> Effects:
        hooks: dict[str, Step] = {}
        saga = Saga(event.saga_id, event.team, event.input, event.traceparent, at.at, hooks)
        state.sagas[event.saga_id] = saga
        saga.definition, saga.pinned = event.definition, event.plan_hash
        saga.parent, saga.share = event.parent, event.share
        saga.forked_from, saga.forked_at = event.forked_from, event.forked_at
        admission.opened(state, saga)
        if event.budget is not None:
            saga.budget = event.budget
            if event.budget.wall_ms > 0:
                pacing.wait(state, saga, WALL_TIME, at.at + event.budget.wall_ms, at.at)
        return ()

    def _spent(self, state: SagaState, event: happened.BudgetSpent, _at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        saga.spent = total(saga, event.usage)
        saga.hops += event.usage.hops
        return ()

    def _late(self, state: SagaState, event: happened.WallTimePassed, _at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        saga.wall_time_passed = True
        pacing.unwait(state, saga, WALL_TIME)
        return ()

    def _completed(self, state: SagaState, event: happened.SagaCompleted, at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        return self._end(state, TaskResult(saga.saga_id, saga.team, "completed", event.result), at)

    def _undone(self, state: SagaState, event: happened.SagaCompensated, at: Position) -> Effects:
        return self._end_failed(state, event, "compensated", at)

    def _failed(self, state: SagaState, event: happened.SagaFailed, at: Position) -> Effects:
        return self._end_failed(state, event, "failed", at)

    def _end_failed(
        self,
        state: SagaState,
        event: happened.SagaCompensated | happened.SagaFailed,
        terminal: Terminal,
        at: Position,
    ) -> Effects:
        saga = state.sagas[event.saga_id]
        result = TaskResult(
            saga.saga_id,
            saga.team,
            terminal,
            failure=event.failure,
            failed_step=event.failed_step,
            not_undone=tuple(saga.not_undone),
        )
        return self._end(state, result, at)

    def _end(self, state: SagaState, result: TaskResult, at: Position) -> Effects:
        saga = state.sagas.pop(result.saga_id)
        admission.ended(state, saga)
        state.backlog.pop(saga.saga_id, None)
        state.stuck.pop(saga.saga_id, None)
        for step_id in [*saga.steps, *saga.hooks, WALL_TIME]:
            pacing.unwait(state, saga, step_id)
        shown = describe_saga(saga, STEPS_DESCRIBED_MAX) | {
            "state": result.state,
            "ended_at": at.at,
        }
        state.ended[saga.saga_id] = Ended(result, saga.opened_at, at.at, shown)
        state.described[saga.saga_id] = None
        state.forget_oldest()
        told = [*children.told_of_end(saga, result), *children.releases(saga)]
        return (Send(TASK_RESULTS, result, key=saga.saga_id), *told)

    def _released(self, state: SagaState, event: SagaReleased, at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        saga.released = True
        if saga.phase != "held":
            return ()
        return self._end(state, TaskResult(saga.saga_id, saga.team, "completed", saga.held), at)

    # -- forwards ---------------------------------------------------------------------------

    def _planned(self, state: SagaState, event: PlanRecorded, _at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        saga.phase, saga.plan_hash = "running", event.plan_hash
        saga.left, saga.max_parallel = len(event.steps), event.max_parallel
        saga.result = event.result
        saga.pivot = next((each.id for each in event.steps if each.role == "pivot"), None)
        saga.steps = {
            planned.id: Step(planned, "step", unmet=len(planned.needs)) for planned in event.steps
        }
        for planned in event.steps:
            for need in planned.needs:
                saga.steps[need].dependants.append(planned.id)
        pacing.release(state, saga, [planned.id for planned in event.steps if not planned.needs])
        return ()

    def _scheduled(self, state: SagaState, event: happened.StepScheduled, at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        step = self._step_or_hook(saga, event)
        step.attempt, step.call_id = event.attempt, event.call_id
        step.deadline_at, step.started, step.asked_from = event.deadline_at, False, None
        step.called_at = at.at
        if step.began_at is None:
            step.began_at = at.at
        saga.calls += 1
        saga.hops += step.kind == "step"
        if step.kind == "step" and not step.active:
            saga.active, step.active = saga.active + 1, True
        step.phase = "running"
        if step.plan.child:
            step.child_id = child_id_of(event.call_id)
        pacing.take(state, saga, step.plan.id)
        pacing.wait(state, saga, step.plan.id, event.expires_at, at.at)
        if event.kind == "aggregate":
            saga.phase = "aggregating"
        return (call_of(state, saga, step, self._answer_to, at.at),)

    def _step_or_hook(self, saga: Saga, event: happened.StepScheduled) -> Step:
        if event.kind == "step":
            return saga.steps[event.step_id]
        if event.step_id not in saga.hooks:
            saga.hooks[event.step_id] = Step(_hook(event, saga.team), event.kind)
        return saga.hooks[event.step_id]

    def _succeeded(self, state: SagaState, event: happened.StepSucceeded, at: Position) -> Effects:
        saga, step = self._ended_call(state, event, at)
        step.phase, step.result, step.succeeded = "succeeded", event.result, True
        step.begun, step.in_doubt = True, False
        saga.committed |= step.plan.role == "pivot"
        pacing.mark_stuck(state, saga, step, False)
        if step.kind == "step":
            pacing.done(state, saga, step)
        return ()

    def _skipped(self, state: SagaState, event: happened.StepSkipped, at: Position) -> Effects:
        step = state.sagas[event.saga_id].steps[event.step_id]
        step.begun |= step.phase == "running"
        saga, step = self._ended_call(state, event, at)
        step.phase = "skipped"
        pacing.mark_stuck(state, saga, step, False)
        pacing.done(state, saga, step)
        return ()

    def _retried(
        self, state: SagaState, event: happened.StepRetryScheduled, at: Position
    ) -> Effects:
        saga, step = self._ended_call(state, event, at)
        step.phase, step.failure, step.begun = "retrying", event.failure, True
        step.deferrals, step.deferred_since = 0, None
        step.in_doubt = event.failure.kind in UNKNOWN_OUTCOMES
        pacing.take(state, saga, step.plan.id)
        pacing.wait(state, saga, event.step_id, event.at, at.at)
        return ()

    def _deferred(self, state: SagaState, event: happened.StepDeferred, at: Position) -> Effects:
        saga, step = self._ended_call(state, event, at)
        step.phase, step.failure = "deferred", event.failure
        step.deferrals += 1
        if event.failure.kind == LIMITED:
            step.deferred_since = None
        elif step.deferred_since is None:
            step.deferred_since = at.at
        pacing.wait(state, saga, event.step_id, event.at, at.at)
        return ()

    def _step_failed(self, state: SagaState, event: happened.StepFailed, at: Position) -> Effects:
        saga, step = self._ended_call(state, event, at)
        step.phase, step.failure = "failed", event.failure
        step.begun |= event.begun
        pacing.mark_stuck(state, saga, step, False)
        if saga.failed_step is None and saga.phase != "compensating":
            saga.failed_step = event.step_id
        return ()

    def _ended_call(self, state: SagaState, event: _Ending, at: Position) -> tuple[Saga, Step]:
        saga = state.sagas[event.saga_id]
        step = saga.find(event.step_id)
        assert step is not None
        if step.phase == "running":
            saga.calls -= 1
            step.ended_at = at.at
            if isinstance(event, happened.StepRetryScheduled | happened.StepDeferred):
                saga.note_try(step, event.failure.kind)
        questions.forget(saga, step)
        pacing.unwait(state, saga, event.step_id)
        return saga, step

    def _progressed(
        self, state: SagaState, event: happened.StepProgressed, at: Position
    ) -> Effects:
        saga = state.sagas[event.saga_id]
        step = saga.find(event.step_id)
        assert step is not None
        step.started = True
        pacing.wait(state, saga, event.step_id, event.expires_at, at.at)
        return ()

    def _abandoned(self, state: SagaState, event: happened.CallAbandoned, _at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        step = saga.find(event.step_id)
        assert step is not None
        return (cancel_of(saga, step, event.call_id),)

    # -- control ----------------------------------------------------------------------------

    def _accepted(self, state: SagaState, event: ControlAccepted, _at: Position) -> Effects:
        return _answered(state, ControlAnswer(event.saga_id, event.request_id))

    def _not_accepted(self, state: SagaState, event: ControlRefused, _at: Position) -> Effects:
        return _answered(state, ControlAnswer(event.saga_id, event.request_id, event.failure))

    def _paused(self, state: SagaState, event: SagaPaused, at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        if not event.with_parent or not saga.paused:
            saga.paused_by = event.actor
        saga.paused_itself |= not event.with_parent
        saga.paused_with_parent |= event.with_parent
        if saga.paused:
            return ()
        pacing.pause(state, saga, at.at)
        return children.pauses(saga)

    def _resumed(self, state: SagaState, event: SagaResumed, at: Position) -> Effects:
        saga = state.sagas[event.saga_id]
        saga.paused_itself &= event.with_parent
        saga.paused_with_parent &= not event.with_parent
        if saga.paused_itself or saga.paused_with_parent:
            return ()
        pacing.resume(state, saga, at.at)
        return children.resumptions(saga)

    def _terminated(
        self, state: SagaState, event: happened.SagaTerminated, at: Position
    ) -> Effects:
        saga = state.sagas[event.saga_id]
        steps = [*saga.steps.values(), *saga.hooks.values()]
        cancels = [cancel_of(saga, step, step.call_id) for step in steps if step.called]
        failed_step, team = saga.failed_step, saga.team
        result = TaskResult(
            saga.saga_id, team, "terminated", failure=event.failure, failed_step=failed_step
        )
        return [*cancels, *self._end(state, result, at)]

    # -- the others -------------------------------------------------------------------------

    def _ignored(self, state: SagaState, event: object, _at: Position) -> Effects:
        return ()

    def _grace(self, state: SagaState, event: happened.GraceGiven, _at: Position) -> Effects:
        state.grace_until, state.at_once = event.until, event.at_once
        return ()


def _answered(state: SagaState, answer: ControlAnswer) -> Effects:
    if not answer.request_id:
        return ()
    state.controls[answer.request_id] = answer
    while len(state.controls) > CONTROLS_REMEMBERED_MAX:
        state.controls.popitem(last=False)
    return (Local(Announce(announcement_subject(answer.request_id), answer)),)


def _hook(event: happened.StepScheduled, team: str) -> PlannedStep:
    """Return a leader's hook as a step; what it may still try is decided, not folded."""
    return PlannedStep(event.step_id, event.step_id, team, None, (), 0, 0, 0, 1.0, 0, False)


_Fold = Callable[[Folding, SagaState, Any, Position], Effects]

_FOLDS: Mapping[type, _Fold] = {
    happened.TeamKnown: Folding._team,
    happened.TaskRefused: Folding._refused,
    happened.TaskRejoined: Folding._rejoined,
    happened.SagaOpened: Folding._opened,
    happened.BudgetSpent: Folding._spent,
    happened.WallTimePassed: Folding._late,
    PlanRecorded: Folding._planned,
    happened.ResultsCarriedOver: lambda _, state, event, at: forking.fold_carried(state, event, at),
    happened.StepScheduled: Folding._scheduled,
    happened.StepSucceeded: Folding._succeeded,
    happened.StepRetryScheduled: Folding._retried,
    happened.StepDeferred: Folding._deferred,
    happened.StepFailed: Folding._step_failed,
    happened.StepOmitted: lambda _, state, event, at: branching.fold_omitted(state, event, at),
    happened.StepReleased: lambda _, state, event, at: branching.fold_released(state, event, at),
    happened.StepExpanded: lambda _, state, event, at: branching.fold_expanded(state, event, at),
    happened.StepJoined: lambda _, state, event, at: branching.fold_joined(state, event, at),
    happened.StepStuck: Folding._stuck,
    happened.StepProgressed: Folding._progressed,
    QuestionAsked: lambda _, state, event, at: questions.fold_asked(state, event, at),
    QuestionAnswered: lambda _, state, event, at: questions.fold_answered(state, event, at),
    QuestionExpired: lambda _, state, event, at: questions.fold_expired(state, event, at),
    SignalKept: lambda _, state, event, at: questions.fold_kept(state, event, at),
    happened.CallAbandoned: Folding._abandoned,
    happened.CompensationStarted: Folding._turned,
    happened.UndoingStarted: Folding._undoing,
    happened.StepCompensationScheduled: Folding._undo,
    happened.StepCompensationRetryScheduled: Folding._undo_retried,
    happened.CompensationStuck: Folding._stuck,
    happened.StepCompensated: Folding._compensated,
    happened.StepPassedOver: Folding._passed,
    happened.OutcomeIgnored: Folding._ignored,
    happened.SagaCompleted: Folding._completed,
    happened.SagaCompensated: Folding._undone,
    happened.SagaFailed: Folding._failed,
    happened.SagaTerminated: Folding._terminated,
    ControlAccepted: Folding._accepted,
    ControlRefused: Folding._not_accepted,
    SagaPaused: Folding._paused,
    SagaResumed: Folding._resumed,
    SagaQueued: lambda _, state, event, at: admission.fold_queued(state, event, at),
    SagaAdmitted: lambda _, state, event, at: admission.fold_admitted(state, event, at),
    happened.StepSkipped: Folding._skipped,
    happened.StepCompensationSkipped: Folding._left_so,
    happened.GraceGiven: Folding._grace,
    ChildAnswered: lambda _, state, event, at: children.fold_answered(state, event, at),
    SagaHeld: lambda _, state, event, at: children.fold_held(state, event, at),
    SagaReleased: Folding._released,
    UndoAsked: lambda _, state, event, at: children.fold_undo_asked(state, event, at),
}
