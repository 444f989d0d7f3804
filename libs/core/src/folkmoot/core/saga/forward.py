"""Decides how a saga goes on: which steps are ready, what an answer means, when to give up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice

from folkmoot.core.messages import Failure, Json, Outcome
from folkmoot.core.saga.backward import Ending, begin_undoing
from folkmoot.core.saga.child_events import SagaHeld
from folkmoot.core.saga.conditions import holds
from folkmoot.core.saga.events import (
    CallAbandoned,
    CompensationStarted,
    ForwardKind,
    SagaCompleted,
    StepDeferred,
    StepExpanded,
    StepFailed,
    StepJoined,
    StepOmitted,
    StepProgressed,
    StepReleased,
    StepRetryScheduled,
    StepScheduled,
    StepSkipped,
    StepStuck,
    StepSucceeded,
)
from folkmoot.core.saga.plan import Plan, check_pinned, parse_plan
from folkmoot.core.saga.plan_events import PlannedStep, PlanRecorded
from folkmoot.core.saga.settings import (
    AGGREGATE,
    DETAIL_CHARS_MAX,
    PLAN,
    Backoff,
    SagaSettings,
)
from folkmoot.core.saga.shape import InvalidPlan, PlanTampered
from folkmoot.core.saga.state import Saga, Step
from folkmoot.core.saga.waiting import (
    LIMITED,
    TIMED_OUT,
    UNKNOWN_OUTCOMES,
    asked_ms,
    patient_ms,
    reason,
    wait_ms,
)

Events = list[object]


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
    deferrals: int = 0,
) -> StepScheduled:
    """Return the event that begins an attempt, which was refused `deferrals` times before.

    Each try has a call id of its own, so that no answer is taken for that of another.
    """
    deadline_at = now + step.timeout_ms
    expires_at = deadline_at
    if step.queue_timeout_ms:
        expires_at = min(expires_at, now + step.queue_timeout_ms)
    tried = f"{attempt}.{deferrals}" if deferrals else f"{attempt}"
    return StepScheduled(
        saga_id,
        step.id,
        kind,
        attempt,
        f"{saga_id}/{step.id}/do/{tried}",
        deadline_at,
        expires_at + settings.answer_grace_ms,
    )


def reschedule(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return the next attempt of a step whose time has come; a deferred attempt is the same."""
    if step.plan.each:
        return _expand(saga, step, now, settings)
    attempt = step.attempt if step.phase == "deferred" else step.attempt + 1
    plan = policy(saga, step, settings)
    return [schedule(saga.saga_id, plan, step.kind, attempt, now, settings, step.deferrals)]


def policy(saga: Saga, step: Step, settings: SagaSettings) -> PlannedStep:
    """Return how a step runs: as planned, or as the settings say for a leader's hook."""
    return step.plan if step.kind == "step" else hook(step.kind, saga.team, settings)


def answered(saga: Saga, step: Step, outcome: Outcome, now: int, settings: SagaSettings) -> Events:
    """Return what an answer about a forward call brings about.

    A call that has shown signs of life was not refused, whatever its answer says.
    """
    if outcome.status == "succeeded":
        return _succeeded(saga, step, outcome, now, settings)
    failure = reason(outcome)
    refused = outcome.status == "refused" and not step.started
    may_come_again = failure.retryable or must_go_on(saga, step, step.in_doubt)
    if refused and may_come_again and saga.phase != "compensating":
        return _deferred(saga, step, failure, now, settings)
    return failed(saga, step, failure, now, settings, begun=not refused)


def may_return(saga: Saga) -> bool:
    """Whether a saga can still be turned back: its pivot has no effect, for all that is known."""
    pivot = saga.steps.get(saga.pivot or "")
    in_doubt = pivot is not None and (pivot.phase == "running" or pivot.in_doubt)
    return not saga.committed and not in_doubt


def stopped(
    saga: Saga, step: Step, outcome: Outcome, failure: Failure, now: int, settings: SagaSettings
) -> Events | None:
    """Return how a saga over its budget is turned back when a call ends, None if it goes on."""
    if saga.phase not in ("planning", "running") or not may_return(saga):
        return None
    if outcome.status != "succeeded":
        return (
            None if outcome.status == "refused" else _lost(saga, step, failure, now, settings, True)
        )
    if step.kind == "plan":
        return _lost(saga, step, failure, now, settings, begun=True)
    if saga.left == 1:
        return None
    ending = Ending(step.plan.id, succeeded=True, begun=True)
    return [_success(saga, step, outcome), *turn_back(saga, failure, now, settings, ending)]


def failed(
    saga: Saga,
    step: Step,
    failure: Failure,
    now: int,
    settings: SagaSettings,
    *,
    begun: bool = True,
) -> Events:
    """Return the next attempt, or the saga's way back if there is none.

    `begun` is whether the attempt that failed may have had an effect.
    """
    if saga.phase == "compensating":
        return _given_up(saga, step, failure, now, settings, begun)
    plan, attempt = policy(saga, step, settings), step.attempt
    backoff = Backoff(plan.initial_ms, plan.factor, plan.cap_ms)
    key = f"{saga.saga_id}/{plan.id}"
    at = now + max(wait_ms(backoff, attempt, key), asked_ms(failure, settings))
    if failure.retryable and attempt < plan.attempts and _has_time(step, plan, at):
        return [StepRetryScheduled(saga.saga_id, plan.id, attempt, at, failure)]
    if must_go_on(saga, step, failure.kind in UNKNOWN_OUTCOMES):
        at = now + patient_ms(failure, attempt, key, settings)
        again = StepRetryScheduled(saga.saga_id, plan.id, attempt, at, failure)
        return [again, *_stuck(saga, step, failure)]
    return _lost(saga, step, failure, now, settings, begun)


def must_go_on(saga: Saga, step: Step, in_doubt: bool) -> bool:
    """Whether a step may not fail for good: there is no way back, or nobody knows whether there is.

    A pivot that may have taken effect is tried until it is known whether it has.
    """
    role = step.plan.role
    return saga.committed or role == "retriable" or (role == "pivot" and in_doubt)


def _has_time(step: Step, plan: PlannedStep, at: int) -> bool:
    """Whether an attempt that begins at `at` is within the time for all attempts together."""
    began_at = at if step.began_at is None else step.began_at
    return not plan.total_ms or at < began_at + plan.total_ms


def _stuck(saga: Saga, step: Step, failure: Failure) -> Events:
    return [] if step.stuck else [StepStuck(saga.saga_id, step.plan.id, step.attempt, failure)]


def _lost(
    saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings, begun: bool
) -> Events:
    called = step.phase == "running"
    ending = Ending(step.plan.id, False, begun or step.begun, called)
    return [
        StepFailed(saga.saga_id, step.plan.id, step.attempt, failure, begun),
        *turn_back(saga, failure, now, settings, ending),
    ]


def turn_back(
    saga: Saga, failure: Failure, now: int, settings: SagaSettings, ending: Ending | None = None
) -> Events:
    """Return how a saga begins to go backwards, because of the step that ends if one does.

    Calls still under way are awaited, so that no forward effect comes after its compensation.
    """
    step_id = None if ending is None or ending.succeeded else ending.step_id
    events: Events = [CompensationStarted(saga.saga_id, failure, step_id)]
    if saga.calls > (ending is not None and ending.called):
        return events
    return events + begin_undoing(saga, failure, step_id, now, settings, ending)


def _given_up(
    saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings, begun: bool
) -> Events:
    """Return what follows when a forward call ends without success on the way back."""
    ending = Ending(step.plan.id, succeeded=False, begun=begun or step.begun)
    failed_now = StepFailed(saga.saga_id, step.plan.id, step.attempt, failure, begun)
    return [failed_now, *_awaited(saga, now, settings, ending)]


def _awaited(saga: Saga, now: int, settings: SagaSettings, ending: Ending) -> Events:
    """Return how undoing begins if the call that ends is the last that was awaited."""
    assert saga.failure is not None
    if saga.calls > 1:
        return []
    return begin_undoing(saga, saga.failure, saga.failed_step, now, settings, ending)


def _deferred(saga: Saga, step: Step, failure: Failure, now: int, settings: SagaSettings) -> Events:
    since = step.deferred_since if step.deferred_since is not None else now
    too_long = failure.kind != LIMITED and now - since >= settings.deferred_ms_max
    if too_long and not must_go_on(saga, step, step.in_doubt):
        return _lost(saga, step, failure, now, settings, begun=False)
    unasked = failure.retry_after_ms is None
    wait = settings.deferral_ms if unasked else asked_ms(failure, settings)
    if too_long or not failure.retryable:
        wait = max(wait, settings.compensation_backoff.cap_ms)
    spread = wait_ms(Backoff(max(1, wait // 5), 1.0, max(1, wait // 5)), 1, f"{step.call_id}/{now}")
    again = StepDeferred(saga.saga_id, step.plan.id, step.attempt, now + wait + spread, failure)
    return [again, *(_stuck(saga, step, failure) if too_long or not failure.retryable else [])]


def _succeeded(
    saga: Saga, step: Step, outcome: Outcome, now: int, settings: SagaSettings
) -> Events:
    if step.kind == "plan" and saga.phase == "planning":
        return _planned(saga, step, outcome, now, settings)
    events: Events = [_success(saga, step, outcome)]
    if saga.phase == "compensating":
        ending = Ending(step.plan.id, succeeded=True, begun=True)
        return events + _awaited(saga, now, settings, ending)
    if step.kind == "aggregate":
        return [*events, _end(saga, outcome.result)]
    return events + (_concluded(saga, step, outcome, settings) or _next(saga, step, now, settings))


def _end(saga: Saga, result: Json) -> SagaCompleted | SagaHeld:
    """Return how a saga ends that has its result; of a child, its parent has the last word."""
    if saga.parent is not None and not saga.released:
        return SagaHeld(saga.saga_id, result)
    return SagaCompleted(saga.saga_id, result)


def _concluded(saga: Saga, last: Step, outcome: Outcome, settings: SagaSettings) -> Events:
    """Return the end of a saga whose last step succeeded and whose leader need not be asked."""
    if saga.left > 1 or saga.paused or saga.result == AGGREGATE:
        return []
    if saga.result == "only-step":
        return [_end(saga, outcome.result)]
    results = {name: step.result for name, step in saga.steps.items() if step.whole is None}
    results[last.plan.id] = outcome.result
    if len(json.dumps(results)) > settings.result_bytes_max:
        return []
    return [_end(saga, results)]


def skipped(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return how a saga goes on without a step's result."""
    return [StepSkipped(saga.saga_id, step.plan.id), *_next(saga, step, now, settings)]


def taken_up(saga: Saga, now: int, settings: SagaSettings) -> Events:
    """Return what begins besides the steps that are ready when a saga is resumed or let in."""
    if saga.phase == "planning" and not saga.hooks:
        return [first_call(saga.saga_id, saga.team, now, settings)]
    if saga.phase == "running" and saga.left == 0:
        return [aggregation(saga.saga_id, saga.team, now, settings)]
    return []


def _success(saga: Saga, step: Step, outcome: Outcome) -> StepSucceeded:
    """Return the event of a success; what a hook returned stands in the event that follows it."""
    return StepSucceeded(
        saga.saga_id,
        step.plan.id,
        outcome.result if step.kind == "step" else None,
        step.attempt,
        outcome.member,
        outcome.runs,
        outcome.duration_ms,
    )


def _next(saga: Saga, done: Step, now: int, settings: SagaSettings) -> Events:
    """Return what begins when `done` is done."""
    if saga.paused:
        return []
    if saga.left == 1:
        return [aggregation(saga.saga_id, saga.team, now, settings)]
    dependants = (saga.steps[name] for name in done.dependants)
    ready = [step.plan for step in dependants if step.unmet == 1 and not step.special]
    if saga.room is None:
        return _begin(saga.saga_id, ready, None, now, settings)
    room = saga.room + done.active
    return [] if saga.ready else _begin(saga.saga_id, ready, room, now, settings)


def timed_out(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return what follows when a call was not answered, or not begun, or went silent."""
    plan = policy(saga, step, settings)
    if now < step.deadline_at and step.started:
        kind, what = "heartbeat-timed-out", f"no sign of life came for {plan.heartbeat_ms:,} ms"
    elif now < step.deadline_at:
        kind, what = "queue-timed-out", f"no worker began it within {plan.queue_timeout_ms:,} ms"
    else:
        kind, what = TIMED_OUT, f"no answer came within {plan.timeout_ms:,} ms"
    abandoned = CallAbandoned(saga.saga_id, step.plan.id, step.call_id)
    return [abandoned, *failed(saga, step, Failure(kind, what), now, settings)]


def progressed(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return until when a call is awaited that was begun, or shows that it goes on."""
    plan = step.plan
    if step.questions or (step.started and not plan.heartbeat_ms):
        return []
    expires_at = step.deadline_at
    if plan.heartbeat_ms:
        expires_at = min(expires_at, now + plan.heartbeat_ms)
    expires_at += settings.answer_grace_ms
    return [StepProgressed(saga.saga_id, plan.id, step.call_id, expires_at)]


def go_on(saga: Saga, now: int, settings: SagaSettings) -> Events:
    """Return what becomes of steps that are ready: they are settled otherwise, or begin."""
    events: Events = []
    ended = 0
    for step_id in islice(saga.unsettled, settings.wave_max):
        step = saga.steps[step_id]
        if step.phase == "joining":
            events.append(StepJoined(saga.saga_id, step_id))
        elif step.plan.when and not holds(step.plan.when, saga.steps[step.plan.when.step].result):
            events.append(StepOmitted(saga.saga_id, step_id))
        elif step.plan.each:
            return events or _expand(saga, step, now, settings)
        else:
            events.append(StepReleased(saga.saga_id, step_id))
            continue
        ended += 1
    if ended and saga.left == ended:
        return [*events, aggregation(saga.saga_id, saga.team, now, settings)]
    if events:
        return events
    ready = [saga.steps[name].plan for name in islice(saga.ready, settings.wave_max)]
    return _begin(saga.saga_id, ready, saga.room, now, settings)


def _expand(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    source = saga.steps[step.plan.each].result
    items = [] if source is None else source
    if not isinstance(items, list):
        detail = f"the result of {step.plan.each!r} is no list, but {type(items).__name__}"
        failure = Failure("not-a-list", detail, retryable=False)
    elif len(saga.steps) + len(items) > settings.steps_max:
        detail = f"{len(items):,} items would make more steps than {settings.steps_max:,}"
        failure = Failure("too-many-steps", detail, retryable=False)
    else:
        return [StepExpanded(saga.saga_id, step.plan.id, len(items))]
    return failed(saga, step, failure, now, settings, begun=False)


def _begin(
    saga_id: str, ready: Sequence[PlannedStep], room: int | None, now: int, settings: SagaSettings
) -> Events:
    """Return how steps begin, as many as the saga and one entry have room for."""
    most = settings.wave_max if room is None else min(room, settings.wave_max)
    return [schedule(saga_id, step, "step", 1, now, settings) for step in ready[:most]]


def aggregation(saga_id: str, team: str, now: int, settings: SagaSettings) -> StepScheduled:
    """Return the event that asks the team's leader for the result."""
    return schedule(saga_id, hook(AGGREGATE, team, settings), AGGREGATE, 1, now, settings)


def _planned(saga: Saga, step: Step, outcome: Outcome, now: int, settings: SagaSettings) -> Events:
    try:
        plan = parse_plan(outcome.result, settings)
        check_pinned(plan, saga.pinned)
    except InvalidPlan as problem:
        return failed(saga, step, unfit(problem), now, settings)
    success = _success(saga, step, outcome)
    if saga.paused:
        return [success, recorded_of(saga.saga_id, plan)]
    return [success, *begin(saga.saga_id, saga.team, plan, now, settings)]


def unfit(problem: InvalidPlan) -> Failure:
    """Return why a plan cannot be run, or may not."""
    kind = "tampered-plan" if isinstance(problem, PlanTampered) else "invalid-plan"
    return Failure(kind, str(problem)[:DETAIL_CHARS_MAX], retryable=False)


def begin(saga_id: str, team: str, plan: Plan, now: int, settings: SagaSettings) -> Events:
    """Return how a plan is recorded, and what begins of it."""
    recorded = recorded_of(saga_id, plan)
    if not plan.steps:
        return [recorded, aggregation(saga_id, team, now, settings)]
    first = [step for step in plan.steps if not step.needs]
    room = plan.max_parallel or None
    return [recorded, *_begin(saga_id, first, room, now, settings)]


def recorded_of(saga_id: str, plan: Plan) -> PlanRecorded:
    """Return the event that records a plan."""
    return PlanRecorded(saga_id, plan.hash, plan.steps, plan.max_parallel, plan.result)


def first_call(saga_id: str, team: str, now: int, settings: SagaSettings) -> StepScheduled:
    """Return the event that asks the team's leader for a plan."""
    return schedule(saga_id, hook(PLAN, team, settings), PLAN, 1, now, settings)
