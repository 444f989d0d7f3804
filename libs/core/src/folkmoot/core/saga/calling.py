"""The messages to those who run steps: what is asked of them, and that nobody waits any more."""

from __future__ import annotations

from dataclasses import replace

from folkmoot.core.kernel import Send
from folkmoot.core.messages import Address, Call, CallKind, CancelCall, Json, inbox
from folkmoot.core.saga import children
from folkmoot.core.saga.state import Saga, SagaState, Step

BREAKER = inbox("breaker-proxy")


def call_of(state: SagaState, saga: Saga, step: Step, answer_to: Address, now: int) -> Send:
    """Return the call that begins an attempt of a step or a leader's hook."""
    if step.plan.child:
        return children.start_of(state, saga, step, _given(saga, step), answer_to, now)
    call = _call(saga, step, step.kind, _given(saga, step), False, answer_to, now)
    plan = step.plan
    if plan.queue_timeout_ms or plan.heartbeat_ms:
        start_by = now + plan.queue_timeout_ms if plan.queue_timeout_ms else step.deadline_at
        call = replace(call, start_by=start_by, heartbeat_ms=plan.heartbeat_ms)
    return _addressed(saga, step, call)


def undo_of(saga: Saga, step: Step, in_doubt: bool, answer_to: Address, now: int) -> Send:
    """Return the call that begins an attempt to undo a step."""
    if step.plan.child:
        return children.undo_of(saga, step, answer_to)
    recorded = None if in_doubt else step.result
    call = _call(saga, step, "compensate", recorded, in_doubt, answer_to, now)
    return _addressed(saga, step, call)


def cancel_of(saga: Saga, step: Step, call_id: str) -> Send:
    """Return the message that nobody waits for a call any more.

    It goes straight to a worker that has asked something: the breaker has let go of its call.
    """
    if step.plan.child:
        return children.cancel_of(step, call_id)
    cancel = CancelCall(call_id, saga.saga_id, step.plan.agent)
    if (worker := step.asked_from) is not None:
        return Send(worker.topic, cancel, partition=worker.partition)
    return _addressed(saga, step, cancel)


def _call(
    saga: Saga,
    step: Step,
    kind: CallKind,
    recorded: Json,
    in_doubt: bool,
    answer_to: Address,
    now: int,
) -> Call:
    way = "undo" if kind == "compensate" else "do"
    return Call(
        step.call_id,
        saga.saga_id,
        step.plan.id,
        kind,
        saga.definition or "plan" if kind == "plan" else step.plan.name,
        step.plan.agent,
        saga.team,
        step.undo_attempt if kind == "compensate" else step.attempt,
        saga.input if kind == "plan" else step.plan.input,
        f"{saga.saga_id}/{step.plan.id}/{way}",
        step.deadline_at,
        answer_to,
        recorded,
        in_doubt,
        None,
        saga.traceparent,
        sent_at=now,
        share=saga.share,
    )


def _addressed(saga: Saga, step: Step, message: Call | CancelCall) -> Send:
    if step.kind == "step":
        return Send(BREAKER, message, key=step.plan.agent)
    return Send(inbox(f"team.{saga.team}"), message, partition=0)


def _given(saga: Saga, step: Step) -> Json:
    """Return what the call is given of other steps' results; a part has its item as its input."""
    if step.kind == "plan":
        return saga.parent.results if saga.parent else {}
    if step.kind == "aggregate":
        return {name: each.result for name, each in saga.steps.items() if each.whole is None}
    expanded_over = saga.steps[step.whole].plan.each if step.whole else ""
    needs = (need for need in step.plan.needs if need != expanded_over)
    return {need: saga.steps[need].result for need in needs}
