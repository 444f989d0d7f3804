"""Decides what users and operators ask of a saga. What does not fit is refused, and recorded.

A request is either `ControlAccepted`, followed by what it brings about, or `ControlRefused`. Both
carry who asked and why. A request that was answered before is not decided again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from folkmoot.core.kernel import Refused
from folkmoot.core.messages import (
    AnswerQuestion,
    CancelSaga,
    Failure,
    ForceComplete,
    Outcome,
    PauseSaga,
    ResumeSaga,
    RetryStep,
    SignalSaga,
    SkipStep,
    TerminateSaga,
)
from folkmoot.core.saga import backward, forward, questions
from folkmoot.core.saga.control_events import (
    ControlAccepted,
    ControlKind,
    ControlRefused,
    SagaPaused,
    SagaResumed,
)
from folkmoot.core.saga.events import (
    CallAbandoned,
    SagaTerminated,
)
from folkmoot.core.saga.plan import check_pinned, parse_plan
from folkmoot.core.saga.settings import DETAIL_CHARS_MAX, SagaSettings
from folkmoot.core.saga.shape import InvalidPlan
from folkmoot.core.saga.state import Saga, SagaState, Step

Events = list[object]

NAME_CHARS_MAX = 200
"""Of who asks, and of ids that lead nowhere: they are recorded."""

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,127}")
"""It is part of a subject."""

KINDS: Mapping[type, ControlKind] = {
    CancelSaga: "cancel",
    PauseSaga: "pause",
    ResumeSaga: "resume",
    TerminateSaga: "terminate",
    RetryStep: "retry-step",
    SkipStep: "skip-step",
    ForceComplete: "force-complete",
    AnswerQuestion: "answer",
    SignalSaga: "signal",
}

BEGUN = ("running", "retrying", "deferred")
BEING_UNDONE = ("compensating", "compensation-retrying")


class _Unfit(Exception):
    """A request does not fit the saga as it is."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(kind, detail[:DETAIL_CHARS_MAX], retryable=False)


def decide_control(state: SagaState, request: Any, now: int, settings: SagaSettings) -> Events:
    """Return what a request brings about, its refusal if it does not fit.

    Raises:
        Refused: its id is malformed, so that it could not be answered.
    """
    if request.request_id and REQUEST_ID.fullmatch(request.request_id) is None:
        raise Refused(
            "invalid-request-id",
            "use 1 to 128 letters, digits and _ : - such as a UUID, or none for no answer",
        )
    if request.request_id in state.controls:
        return []
    step_id = getattr(request, "step_id", "")[:NAME_CHARS_MAX]
    who, why = request.actor[:NAME_CHARS_MAX], request.reason[:DETAIL_CHARS_MAX]
    saga_id, kind, asked = (
        request.saga_id[:NAME_CHARS_MAX],
        KINDS[type(request)],
        request.request_id,
    )
    try:
        saga = _open(state, request.saga_id)
        follows = _CONTROLS[type(request)](saga, request, now, settings)
    except _Unfit as unfit:
        return [ControlRefused(saga_id, kind, who, why, unfit.failure, asked, step_id)]
    return [ControlAccepted(request.saga_id, kind, who, why, asked, step_id), *follows]


def _open(state: SagaState, saga_id: str) -> Saga:
    if (saga := state.sagas.get(saga_id)) is not None:
        return saga
    if (ended := state.ended.get(saga_id)) is not None:
        raise _Unfit("saga-ended", f"saga {saga_id} has ended: it is {ended.result.state}")
    raise _Unfit("unknown-saga", f"this shard knows no saga {saga_id[:NAME_CHARS_MAX]!r}")


def _cause(kind: str, request: Any) -> Failure:
    why = f"{kind} by {request.actor}" + (f": {request.reason}" if request.reason else "")
    return Failure(kind, why[:DETAIL_CHARS_MAX], retryable=False)


# -- of a saga ----------------------------------------------------------------------------------


def _cancel(saga: Saga, request: CancelSaga, now: int, settings: SagaSettings) -> Events:
    if saga.phase == "compensating":
        raise _Unfit("wrong-phase", "it is being undone already")
    if saga.phase == "held" and saga.parent is not None:
        raise _Unfit(
            "wrong-phase", f"it is done, and ends with saga {saga.parent.saga_id}: cancel that"
        )
    _check_return(saga)
    return forward.turn_back(saga, _cause("cancelled", request), now, settings)


def _check_return(saga: Saga) -> None:
    """Let nothing turn a saga back whose pivot has taken effect, or may have."""
    if saga.committed:
        raise _Unfit(
            "past-pivot", f"its pivot {saga.pivot!r} has succeeded: it can only go forward"
        )
    if not forward.may_return(saga):
        raise _Unfit(
            "past-pivot", f"its pivot {saga.pivot!r} may have taken effect: ask when that is known"
        )


def _pause(saga: Saga, request: PauseSaga, _now: int, _settings: SagaSettings) -> Events:
    if saga.paused_itself:
        raise _Unfit("wrong-phase", "it is paused already")
    return [SagaPaused(saga.saga_id, request.actor[:NAME_CHARS_MAX])]


def _resume(saga: Saga, _request: ResumeSaga, now: int, settings: SagaSettings) -> Events:
    if not saga.paused:
        raise _Unfit("wrong-phase", "it is not paused")
    if not saga.paused_itself and saga.parent is not None:
        above = saga.parent.saga_id
        raise _Unfit("wrong-phase", f"it is paused with saga {above}: resume that")
    still = saga.queued or saga.paused_with_parent
    begins = [] if still else forward.taken_up(saga, now, settings)
    return [SagaResumed(saga.saga_id), *begins]


def _terminate(saga: Saga, request: TerminateSaga, _now: int, _settings: SagaSettings) -> Events:
    return [SagaTerminated(saga.saga_id, _cause("terminated", request))]


# -- of a step ----------------------------------------------------------------------------------


def _step(saga: Saga, step_id: str) -> Step:
    step = saga.find(step_id)
    if step is None:
        raise _Unfit("unknown-step", f"the saga has no step {step_id[:NAME_CHARS_MAX]!r}")
    return step


def _wrong(step: Step, what: str) -> _Unfit:
    return _Unfit("wrong-phase", f"step {step.plan.id!r} is {step.phase}: {what}")


def _retry(saga: Saga, request: RetryStep, now: int, settings: SagaSettings) -> Events:
    step = _step(saga, request.step_id)
    if saga.paused:
        raise _Unfit("wrong-phase", "the saga is paused: resume it first")
    if step.phase in ("retrying", "deferred"):
        return forward.reschedule(saga, step, now, settings)
    if step.phase == "compensation-retrying":
        return [backward.schedule_undo(saga, step, now, settings, succeeded=step.succeeded)]
    raise _wrong(step, "only one that waits for its next attempt can be retried")


def _skip(saga: Saga, request: SkipStep, now: int, settings: SagaSettings) -> Events:
    step = _step(saga, request.step_id)
    if step.phase in BEING_UNDONE:
        return _abandoned(saga, step) + backward.skipped(saga, step, now, settings)
    if step.kind != "step":
        raise _Unfit("wrong-phase", f"the leader's {step.kind} cannot be skipped: force its result")
    _check_begun(saga, step)
    if step.plan.role == "pivot":
        raise _Unfit(
            "wrong-phase", f"{step.plan.id!r} is the pivot: find out, and force its result"
        )
    return _abandoned(saga, step) + forward.skipped(saga, step, now, settings)


def _force(saga: Saga, request: ForceComplete, now: int, settings: SagaSettings) -> Events:
    step = _step(saga, request.step_id)
    if step.phase in BEING_UNDONE:
        return _abandoned(saga, step) + backward.undone(saga, step, now, settings)
    _check_begun(saga, step)
    if step.kind == "plan":
        _check_plan(saga, request, settings)
    done = _done(saga, step, request)
    return _abandoned(saga, step) + forward.answered(saga, step, done, now, settings)


def _check_begun(saga: Saga, step: Step) -> None:
    if step.phase not in BEGUN:
        raise _wrong(step, "only one that was begun and has not ended can be taken as done")
    if saga.phase == "compensating":
        raise _wrong(step, "the saga is being undone, and its answer is awaited")


def _check_plan(saga: Saga, request: ForceComplete, settings: SagaSettings) -> None:
    try:
        check_pinned(parse_plan(request.result, settings), saga.pinned)
    except InvalidPlan as problem:
        failure = forward.unfit(problem)
        raise _Unfit(failure.kind, failure.detail) from None


def _abandoned(saga: Saga, step: Step) -> Events:
    return [CallAbandoned(saga.saga_id, step.plan.id, step.call_id)] if step.called else []


def _done(saga: Saga, step: Step, request: ForceComplete) -> Outcome:
    """Return the answer that an operator gives in place of the step's worker."""
    return Outcome(
        step.call_id,
        saga.saga_id,
        step.plan.id,
        step.kind,
        step.plan.agent,
        step.attempt,
        "succeeded",
        request.result,
        member=request.actor[:NAME_CHARS_MAX],
    )


# -- answers and signals ------------------------------------------------------------------------


def _answer(saga: Saga, request: AnswerQuestion, now: int, settings: SagaSettings) -> Events:
    question_id, who = request.question_id, request.actor[:NAME_CHARS_MAX]
    if question_id in saga.asking:
        return questions.answered(saga, question_id, request.value, who, now, settings)
    if (reply := saga.replies.get(question_id)) is None:
        raise _Unfit("unknown-question", f"nothing asks {question_id[:NAME_CHARS_MAX]!r} now")
    if reply.answered:
        raise _Unfit("answered", f"{question_id!r} was answered by {reply.actor}")
    raise _Unfit("too-late", f"{question_id!r} was not answered in time")


def _signal(saga: Saga, request: SignalSaga, now: int, settings: SagaSettings) -> Events:
    name, who = request.name, request.actor[:NAME_CHARS_MAX]
    if not 0 < len(name) <= NAME_CHARS_MAX:
        raise _Unfit("invalid-name", f"a signal's name has 1 to {NAME_CHARS_MAX} characters")
    events = questions.signalled(saga, name, request.value, who, now, settings)
    if events is None:
        kept = questions.SIGNALS_KEPT_MAX
        raise _Unfit("too-many-signals", f"{kept} signals wait for somebody to wait for them")
    return events


_CONTROLS: Mapping[type, Callable[[Saga, Any, int, SagaSettings], Events]] = {
    CancelSaga: _cancel,
    PauseSaga: _pause,
    ResumeSaga: _resume,
    TerminateSaga: _terminate,
    RetryStep: _retry,
    SkipStep: _skip,
    ForceComplete: _force,
    AnswerQuestion: _answer,
    SignalSaga: _signal,
}
