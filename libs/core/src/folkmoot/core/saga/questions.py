"""What steps ask of people and of signals, and what they are told: decided here, and folded.

A question stays open until it is answered, its deadline passes or its step's call ends. While it is
open the step's clock stands still. An answer is kept as long as its saga: another attempt that
asks the same again is told the same, so nobody is asked twice. A signal that nobody waits for yet
is kept, and given to the first that waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.core.kernel import Effect, Position, Send
from folkmoot.core.messages import Answer, Json, Question, shift_ms
from folkmoot.core.saga import pacing
from folkmoot.core.saga.control_events import (
    QuestionAnswered,
    QuestionAsked,
    QuestionExpired,
    SignalKept,
)
from folkmoot.core.saga.settings import SagaSettings
from folkmoot.core.saga.state import Open, Reply, Saga, SagaState, Step

Events = list[object]

SIGNALS_KEPT_MAX = 100
"""Signals of a saga that nobody has waited for yet."""

ANSWERS_KEPT_MAX = 1_000
"""Answers of a saga: a handler that asks more often asks in a loop that does not end."""


# -- deciding -----------------------------------------------------------------------------------


def asked(saga: Saga, step: Step, question: Question, now: int, settings: SagaSettings) -> Events:
    """Return how a question is put, and answered if its answer is known."""
    if question.question_id in step.questions:
        return []
    deadline_at = question.deadline_at + shift_ms(question, now)
    deadline_at = min(deadline_at, now + settings.timeout_ms_max)
    event = QuestionAsked(
        saga.saga_id,
        step.plan.id,
        question.call_id,
        question.question_id,
        question.key,
        question.prompt,
        question.schema,
        question.signal,
        deadline_at,
        question.answer_to,
        _first_deadline(step, deadline_at) + settings.answer_grace_ms,
    )
    return [event, *_known(saga, step, question, settings)]


def _known(saga: Saga, step: Step, question: Question, settings: SagaSettings) -> Events:
    """Return the answer to a question that has just been put, if there is one already."""
    question_id = question.question_id
    expires_at = _expires_at(step, question_id, 0, settings)
    if (reply := saga.replies.get(question_id)) is not None:
        if not reply.answered:
            return [QuestionExpired(saga.saga_id, step.plan.id, question_id, expires_at)]
        value, actor = reply.value, reply.actor
    elif kept := saga.signals.get(question.signal):
        value, actor = kept[0]
    elif len(saga.replies) >= ANSWERS_KEPT_MAX:
        return [QuestionExpired(saga.saga_id, step.plan.id, question_id, expires_at)]
    else:
        return []
    answered = QuestionAnswered(saga.saga_id, step.plan.id, question_id, value, actor, expires_at)
    return [answered]


def answered(
    saga: Saga, question_id: str, value: Json, actor: str, now: int, settings: SagaSettings
) -> Events:
    """Return how an open question is answered."""
    step = saga.find(saga.asking[question_id])
    assert step is not None
    left_ms = max(0, step.questions[question_id].deadline_at - now)
    expires_at = _expires_at(step, question_id, left_ms, settings)
    return [QuestionAnswered(saga.saga_id, step.plan.id, question_id, value, actor, expires_at)]


def signalled(
    saga: Saga, name: str, value: Json, actor: str, now: int, settings: SagaSettings
) -> Events | None:
    """Return how a signal reaches the first that waits for it, or is kept; None if too many are."""
    for question_id, step_id in saga.asking.items():
        step = saga.find(step_id)
        if step is not None and step.questions[question_id].signal == name:
            return answered(saga, question_id, value, actor, now, settings)
    if sum(len(kept) for kept in saga.signals.values()) >= SIGNALS_KEPT_MAX:
        return None
    return [SignalKept(saga.saga_id, name, value, actor)]


def expired(saga: Saga, step: Step, now: int, settings: SagaSettings) -> Events:
    """Return what becomes of the questions of a step whose deadline has passed."""
    late = [name for name, each in step.questions.items() if each.deadline_at <= now]
    return [
        QuestionExpired(saga.saga_id, step.plan.id, name, _expires_at(step, name, 0, settings))
        for name in late
    ]


def _first_deadline(step: Step, deadline_at: int) -> int:
    return min([deadline_at, *(each.deadline_at for each in step.questions.values())])


def _expires_at(step: Step, question_id: str, left_ms: int, settings: SagaSettings) -> int:
    """Return when the step's time comes once a question, with so much time left, is closed."""
    others = [each.deadline_at for name, each in step.questions.items() if name != question_id]
    until = min(others) if others else step.deadline_at - left_ms
    return until + settings.answer_grace_ms


# -- folding ------------------------------------------------------------------------------------


def fold_asked(state: SagaState, event: QuestionAsked, at: Position) -> Sequence[Effect]:
    """Open a question, and stop its step's clock."""
    saga = state.sagas[event.saga_id]
    step = saga.find(event.step_id)
    assert step is not None
    step.questions[event.question_id] = Open(
        event.call_id,
        event.key,
        event.prompt,
        event.schema,
        event.signal,
        event.deadline_at,
        event.answer_to,
    )
    saga.asking[event.question_id] = event.step_id
    step.asked_from = event.answer_to
    step.started = True
    step.deadline_at += max(0, event.deadline_at - at.at)
    pacing.wait(state, saga, event.step_id, event.expires_at, at.at)
    return ()


def fold_answered(state: SagaState, event: QuestionAnswered, at: Position) -> Sequence[Effect]:
    """Close a question with its answer, and let its step's clock go on."""
    saga = state.sagas[event.saga_id]
    reply = Reply(True, event.value, event.actor)
    return _close(state, saga, event.step_id, event.question_id, reply, event.expires_at, at)


def fold_expired(state: SagaState, event: QuestionExpired, at: Position) -> Sequence[Effect]:
    """Close a question that nobody answered in time."""
    saga = state.sagas[event.saga_id]
    reply = Reply(False, None, "")
    return _close(state, saga, event.step_id, event.question_id, reply, event.expires_at, at)


def fold_kept(state: SagaState, event: SignalKept, _at: Position) -> Sequence[Effect]:
    """Keep a signal for whoever waits for it."""
    kept = state.sagas[event.saga_id].signals.setdefault(event.name, [])
    kept.append((event.value, event.actor))
    return ()


def _close(
    state: SagaState,
    saga: Saga,
    step_id: str,
    question_id: str,
    reply: Reply,
    expires_at: int,
    at: Position,
) -> Sequence[Effect]:
    step = saga.find(step_id)
    assert step is not None
    question = step.questions.pop(question_id)
    del saga.asking[question_id]
    if question_id not in saga.replies and (kept := saga.signals.get(question.signal)):
        kept.pop(0)
        if not kept:
            del saga.signals[question.signal]
    saga.replies[question_id] = reply
    step.deadline_at -= max(0, question.deadline_at - at.at)
    pacing.wait(state, saga, step_id, expires_at, at.at)
    answer = Answer(question.call_id, saga.saga_id, question.key, reply.value, reply.answered)
    to = question.answer_to
    return (Send(to.topic, answer, partition=to.partition),)


def forget(saga: Saga, step: Step) -> None:
    """Close the questions of a call that has ended: nobody waits for their answers."""
    for question_id in step.questions:
        saga.asking.pop(question_id, None)
    step.questions.clear()
