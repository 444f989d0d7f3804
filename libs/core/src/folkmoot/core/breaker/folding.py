"""How a breaker's events change its state, and what is sent for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from folkmoot.core.breaker import limiting, queueing
from folkmoot.core.breaker.announcement import announce
from folkmoot.core.breaker.events import (
    AgentRegistered,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    CallAdmitted,
    CallDequeued,
    CallEnded,
    CallExpired,
    CallQueued,
    CallRefused,
    CancelForwarded,
    LimitReopened,
    WindowShaped,
)
from folkmoot.core.breaker.judging import counts_of
from folkmoot.core.breaker.state import BreakerState, Circuit, Flight, Target
from folkmoot.core.kernel import Effect, Position, Send
from folkmoot.core.messages import Address, Call, CancelCall, inbox, shift_ms

Transition = BreakerOpened | BreakerHalfOpened | BreakerClosed


def fold(state: BreakerState, event: object, position: Position, own: Address) -> Sequence[Effect]:
    """Fold `event` of the shard whose inbox is `own` into `state` and return its effects."""
    match event:
        case CallAdmitted() | CallDequeued():
            return _fold_admission(state, event, position, own)
        case CallEnded() | CallExpired():
            _fold_end(state, event, position)
        case CallRefused():
            return _fold_refusal(state, event, position)
        case CallQueued():
            _fold_queued(state, event, position)
        case CancelForwarded():
            return _fold_cancel(state.targets[event.target], event)
        case BreakerOpened() | BreakerHalfOpened() | BreakerClosed():
            return _fold_transition(state.targets[event.target], event, position)
        case LimitReopened():
            limiting.reopen(state, event.target, event.limit)
        case AgentRegistered():
            _fold_registration(state, event, position)
        case WindowShaped():
            _fold_shape(state, event)
    return ()


def _fold_queued(state: BreakerState, event: CallQueued, position: Position) -> None:
    """Keep the call with its times by this shard's clock, by which it waits."""
    call = event.call
    if later_ms := shift_ms(call, position.at):
        start_by = call.start_by + later_ms if call.start_by else 0
        deadline_at = call.deadline_at + later_ms
        call = replace(call, deadline_at=deadline_at, start_by=start_by, sent_at=position.at)
    target = state.targets[event.target]
    queueing.join(target, call)
    limiting.wait(state, target, call.call_id, event.limit, position.at)
    state.open_call(call.call_id, event.target, event.gives_up_at or call.deadline_at)


def _fold_admission(
    state: BreakerState, event: CallAdmitted | CallDequeued, position: Position, own: Address
) -> Sequence[Effect]:
    target = state.targets[event.target]
    if isinstance(event, CallAdmitted):
        call = event.call
        sent_at = call.sent_at
        if event.probe:
            target.circuit.probe = call.call_id
    else:
        waited = queueing.leave(target, event.call_id, served=True)
        assert waited is not None, f"{event.call_id} does not wait"
        call = waited
        sent_at = position.at if call.sent_at else 0
        limiting.unwait(state, target, call.call_id, position.at)
    partition, step = event.partition, call.idempotency_key
    flight = Flight(partition, target.circuit.generation, step)
    flight.key = limiting.begin(state, target, call, position.at)
    target.flights[call.call_id] = flight
    target.loads[partition] += 1
    target.turn = partition + 1
    target.totals.admitted += 1
    target.remember_route(step, partition)
    state.open_call(call.call_id, target.name, event.expires_at)
    passed_on = replace(call, observed_by=own, sent_at=sent_at)
    return (_to_worker(target.name, partition, passed_on),)


def _to_worker(target: str, partition: int, message: Call | CancelCall) -> Send:
    return Send(inbox(f"agent.{target}"), message, partition=partition)


def _fold_end(state: BreakerState, event: CallEnded | CallExpired, position: Position) -> None:
    target = state.targets[event.target]
    flight = target.flights.pop(event.call_id)
    target.loads[flight.partition] -= 1
    limiting.end(target, flight.key, position.at)
    state.close_call(event.call_id)
    if isinstance(event, CallEnded):
        target.totals.ended += 1
        if event.member:
            target.members[str(flight.partition)] = event.member
    else:
        target.totals.expired += 1
    if event.verdict == "success":
        target.routes.pop(flight.step, None)
        target.failed.pop(flight.step, None)
    elif event.verdict == "failure":
        target.remember_failure(flight.step, flight.partition)
    _count(target.circuit, event, position)


def _count(circuit: Circuit, event: CallEnded | CallExpired, position: Position) -> None:
    counts = counts_of(event)
    if counts.calls:
        circuit.window.add(position.at, counts)
        circuit.consecutive = circuit.consecutive + 1 if counts.failures else 0


def _fold_refusal(state: BreakerState, event: CallRefused, position: Position) -> Sequence[Effect]:
    target, call_id = state.targets.get(event.target), event.outcome.call_id
    if target is not None:
        target.totals.refused += 1
        if queueing.leave(target, call_id, served=False) is not None:
            limiting.unwait(state, target, call_id, position.at)
            state.close_call(call_id)
    return (Send(event.to.topic, event.outcome, partition=event.to.partition),)


def _fold_cancel(target: Target, event: CancelForwarded) -> Sequence[Effect]:
    flight = target.flights[event.call_id]
    flight.cancelled = True
    message = CancelCall(event.call_id, event.saga_id, event.target)
    return (_to_worker(target.name, flight.partition, message),)


def _fold_transition(target: Target, event: Transition, position: Position) -> Sequence[Effect]:
    circuit = target.circuit
    match event:
        case BreakerOpened():
            circuit.enter("open", event.reason, position.at)
            circuit.retry_at = position.at + event.open_ms
            circuit.openings = event.openings
        case BreakerHalfOpened():
            circuit.enter("half-open", "retry-time-reached", position.at)
        case BreakerClosed():
            circuit.enter("closed", "probe-succeeded", position.at)
            circuit.window.clear()
    return (announce(target),)


def _fold_registration(state: BreakerState, event: AgentRegistered, position: Position) -> None:
    target = state.targets.get(event.target)
    if target is None:
        target = Target(event.target, Circuit(state.new_window(), position.at))
        state.targets[event.target] = target
    target.team, target.steps = event.team, event.steps
    target.partitions, target.concurrency = event.partitions, event.concurrency
    target.loads.extend([0] * (event.partitions - len(target.loads)))
    limiting.shape(state, target, event.limits, position.at)


def _fold_shape(state: BreakerState, event: WindowShaped) -> None:
    state.bucket_ms, state.buckets = event.bucket_ms, event.buckets
    for target in state.targets.values():
        target.circuit.window = state.new_window()
