"""Decides how a saga goes on: which steps are ready, what an answer means, when to give up."""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.core.messages import Failure, Outcome
from folkmoot.core.saga.backward import begin_undoing
from folkmoot.core.saga.events import (
    CallAbandoned,
    CompensationStarted,
    ForwardKind,
    PlannedStep,
    PlanRecorded,
    SagaCompleted,
    StepDeferred,
    StepFailed,
    StepRetryScheduled,
    StepScheduled,
    StepSucceeded,
)
from folkmoot.core.saga.plan import InvalidPlan, parse_plan, plan_hash
from folkmoot.core.saga.settings import AGGREGATE, PLAN, Backoff, SagaSettings
from folkmoot.core.saga.state import Saga, Step
from folkmoot.core.saga.waiting import wait_ms

Events = list[object]

UNKNOWN = Failure("unknown", "no reason was given")


def hook(name: ForwardKind, team: str, settings: SagaSettings) -> PlannedStep:
    """Return a leader's hook as a step: it is retried and timed like any other."""
    backoff = settings.hook_backoff
    return PlannedStep(
        name,
        name,
        team,
        None,
        (),
        settings.hook_timeout_ms,
        settings.hook_attempts,
        backoff.initial_ms,
        backoff.factor,
        backoff.cap_ms,
        compensable=False,
    )


def schedule(
    saga_id: str,
    step: PlannedStep,
    kind: ForwardKind,
    attempt: int,
    now: int,
    settings: SagaSettings,
) -> StepScheduled:
    """Return the event that begins an attempt."""
    deadline_at = now + step.timeout_ms
    return StepScheduled(
        saga_id,
        step.id,
        kind,
        attempt,
        f"{saga_id}/{step.id}/do/{attempt}",
        deadline_at,
        deadline_at + settings.answer_grace_ms,
    )


def reschedule(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return the next attempt of a step whose time has come; a deferred attempt is the same."""
    attempt = step.attempt if step.phase == "deferred" else step.attempt + 1
    policy = _policy(saga, step, settings)
    return [schedule(saga.saga_id, policy, step.kind, attempt, now, settings)]


def _policy(saga: Saga, step: Step, settings: SagaSettings) -> PlannedStep:
    """Return how a step runs: as planned, or as the settings say for a leader's hook."""
    return step.plan if step.kind == "step" else hook(step.kind, saga.team, settings)


def answered(saga: Saga, step: Step, outcome: Outcome, now: int, settings: SagaSettings) -> Events:
    """Return what an answer about a forward call brings about."""
    failure = outcome.failure or UNKNOWN
    if outcome.status == "succeeded":
        return _succeeded(saga, step, outcome, now, settings)
    if saga.phase == "compensating":
        return given_up(saga, step, failure, now, settings)
    if outcome.status == "refused" and failure.retryable:
        return _deferred(saga, step, failure, now, settings)
    return failed(saga, step, failure, now, settings)


def failed(saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings) -> Events:
    """Return the next attempt, or the saga's way back if there is none."""
    plan = _policy(saga, step, settings)
    if failure.retryable and step.attempt < plan.attempts:
        backoff = Backoff(plan.initial_ms, plan.factor, plan.cap_ms)
        wait = wait_ms(backoff, step.attempt, f"{saga.saga_id}/{plan.id}")
        at = now + max(wait, failure.retry_after_ms or 0)
        return [StepRetryScheduled(saga.saga_id, plan.id, step.attempt, at, failure)]
    return _lost(saga, step, failure, now, settings)


def _lost(saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings) -> Events:
    events: Events = [StepFailed(saga.saga_id, step.plan.id, step.attempt, failure)]
    still = saga.calls - (1 if step.called else 0)
    return events + turn_back(saga, failure, step.plan.id, still, now, settings)


def turn_back(
    saga: Saga,
    failure: Failure,
    step_id: str | None,
    calls: int,
    now: int,
    settings: SagaSettings,
) -> Events:
    """Return how a saga begins to go backwards, with `calls` forward calls still under way.

    They are cancelled but awaited, so that no forward effect comes after its compensation.
    """
    events: Events = [CompensationStarted(saga.saga_id, failure, step_id)]
    if calls > 0:
        running = [*saga.steps.values(), *saga.hooks.values()]
        return events + [
            CallAbandoned(saga.saga_id, step.plan.id, step.call_id)
            for step in running
            if step.called and step.plan.id != step_id
        ]
    return events + begin_undoing(saga, failure, step_id, now, settings)


def given_up(saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings) -> Events:
    """Return what follows when a forward call ends without success on the way back."""
    assert saga.failure is not None
    events: Events = [StepFailed(saga.saga_id, step.plan.id, step.attempt, failure)]
    if saga.calls == 1:
        events += begin_undoing(saga, saga.failure, saga.failed_step, now, settings)
    return events


def _deferred(saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings) -> Events:
    since = step.deferred_since if step.deferred_since is not None else now
    if now - since >= settings.deferred_ms_max:
        return _lost(saga, step, failure, now, settings)
    wait = failure.retry_after_ms if failure.retry_after_ms is not None else settings.deferral_ms
    spread = wait_ms(Backoff(max(1, wait // 5), 1.0, max(1, wait // 5)), 1, f"{step.call_id}/{now}")
    return [StepDeferred(saga.saga_id, step.plan.id, step.attempt, now + wait + spread, failure)]


def _succeeded(
    saga: Saga, step: Step, outcome: Outcome, now: int, settings: SagaSettings
) -> Events:
    if step.kind == "plan" and saga.phase == "planning":
        return _planned(saga, step, outcome, now, settings)
    result = None if step.kind == "plan" else outcome.result
    events: Events = [_success(saga, step, outcome, result)]
    if saga.phase == "compensating":
        assert saga.failure is not None
        if saga.calls == 1:
            undone = (saga.failure, saga.failed_step, now, settings)
            events += begin_undoing(saga, *undone, just_succeeded=step.plan.id)
        return events
    if step.kind == "aggregate":
        return [*events, SagaCompleted(saga.saga_id, outcome.result)]
    return events + _next(saga, step, now, settings)


def _success(saga: Saga, step: Step, outcome: Outcome, result: object) -> StepSucceeded:
    return StepSucceeded(
        saga.saga_id,
        step.plan.id,
        result,
        step.attempt,
        outcome.member,
        outcome.runs,
        outcome.duration_ms,
    )


def _next(saga: Saga, done: Step, now: int, settings: SagaSettings) -> Events:
    """Return what becomes ready when `done` is done."""
    if saga.left == 1:
        return [_aggregate(saga.saga_id, saga.team, now, settings)]
    ready = [saga.steps[name] for name in done.dependants if saga.steps[name].unmet == 1]
    return [schedule(saga.saga_id, step.plan, "step", 1, now, settings) for step in ready]


def _aggregate(saga_id: str, team: str, now: int, settings: SagaSettings) -> StepScheduled:
    return schedule(saga_id, hook(AGGREGATE, team, settings), AGGREGATE, 1, now, settings)


def _planned(saga: Saga, step: Step, outcome: Outcome, now: int, settings: SagaSettings) -> Events:
    try:
        steps = parse_plan(outcome.result, settings)
    except InvalidPlan as problem:
        failure = Failure("invalid-plan", str(problem), retryable=False)
        return failed(saga, step, failure, now, settings)
    events: Events = [
        _success(saga, step, outcome, None),
        PlanRecorded(saga.saga_id, plan_hash(steps), steps),
    ]
    return events + _first(saga, steps, now, settings)


def _first(saga: Saga, steps: Sequence[PlannedStep], now: int, settings: SagaSettings) -> Events:
    if not steps:
        return [_aggregate(saga.saga_id, saga.team, now, settings)]
    return [
        schedule(saga.saga_id, step, "step", 1, now, settings) for step in steps if not step.needs
    ]


def first_call(saga_id: str, team: str, now: int, settings: SagaSettings) -> StepScheduled:
    """Return the event that asks the team's leader for a plan."""
    return schedule(saga_id, hook(PLAN, team, settings), PLAN, 1, now, settings)
