"""The breaker's machine: which calls go to which worker, and which are kept away.

Invariants:

- An open breaker admits nothing; a half-open one has exactly one call of its own generation in
  flight, the probe, which ends at its deadline and a grace at the latest. So no breaker stays
  half-open, and none waits for anything that may never come.
- Every call is answered once: by its worker if it was admitted, with a refusal from here if not.
- admitted = ended + expired + in flight, and no partition has more in flight than its limit.
- Calls wait only while the breaker is closed, and all partitions are full or a limit holds them
  back; each tenant is served its share, and its own calls in the order in which they came.
- No limit is exceeded, whoever leads.
- Only ends of calls admitted since the last transition count for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from folkmoot.core.breaker import answers, queueing
from folkmoot.core.breaker.events import (
    EVENTS,
    AgentRegistered,
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
from folkmoot.core.breaker.folding import fold
from folkmoot.core.breaker.judging import (
    End,
    is_slow,
    spread,
    transition,
    verdict,
    verdict_of_silence,
)
from folkmoot.core.breaker.limiting import Openings, key_of, limit_of
from folkmoot.core.breaker.limits import BreakerSettings, check_registration
from folkmoot.core.breaker.routing import Room
from folkmoot.core.breaker.state import BreakerState, Target
from folkmoot.core.kernel import Effect, Led, Position, Refused, Tick
from folkmoot.core.messages import (
    Address,
    Call,
    CancelCall,
    Outcome,
    RegisterAgent,
    inbox,
    shift_ms,
)
from folkmoot.core.names import by_wire_name

INPUTS = by_wire_name(RegisterAgent, Call, Outcome, CancelCall)
OUTPUTS = by_wire_name(Call, CancelCall, Outcome)

Events = Sequence[object]


class BreakerMachine:
    """The machine of one partition of targets."""

    name = "breaker-proxy"
    inputs: Mapping[str, type] = INPUTS
    events: Mapping[str, type] = EVENTS
    outputs: Mapping[str, type] = OUTPUTS

    def __init__(self, settings: BreakerSettings, partition: int) -> None:
        self._settings = settings
        self._own = Address(inbox(self.name), partition)
        self._deciders: dict[type, Callable[[BreakerState, Any, int], Events]] = {
            RegisterAgent: self._decide_registration,
            Call: self._decide_call,
            Outcome: self._decide_outcome,
            CancelCall: self._decide_cancel,
            Tick: self._decide_tick,
            Led: self._decide_led,
        }

    def initial(self) -> BreakerState:
        """Return a shard without targets."""
        return BreakerState()

    def due(self, state: BreakerState) -> int | None:
        """Return when the next call, in flight or waiting, is over, or a limit opens again."""
        over, opens = state.deadlines.earliest(), state.openings.earliest()
        return over if opens is None or (over is not None and over <= opens) else opens

    def apply(self, state: BreakerState, event: object, position: Position) -> Sequence[Effect]:
        """Fold `event` into `state`; see `folkmoot.core.kernel.Machine`."""
        return fold(state, event, position, self._own)

    def decide(self, state: BreakerState, message: object, now: int) -> Events:
        """Return what `message` brings about; see `folkmoot.core.kernel.Machine`."""
        decider = self._deciders.get(type(message))
        if decider is None:
            raise Refused("unknown-message", f"a breaker takes no {type(message).__name__}")
        return decider(state, message, now)

    # -- targets ----------------------------------------------------------------------------

    def _decide_led(self, state: BreakerState, _led: Led, _now: int) -> Events:
        shape = (self._settings.window_bucket_ms, self._settings.window_buckets)
        return () if shape == (state.bucket_ms, state.buckets) else (WindowShaped(*shape),)

    def _decide_registration(self, state: BreakerState, message: RegisterAgent, now: int) -> Events:
        check_registration(message, self._settings)
        size = (message.partitions, message.concurrency)
        registered = AgentRegistered(
            message.agent, message.team, *size, message.steps, message.limits
        )
        target = state.targets.get(message.agent)
        if target is None:
            self._check_room(state)
            return (registered,)
        known = (target.team, target.partitions, target.concurrency, target.steps, target.limits)
        if known == (message.team, *size, message.steps, message.limits):
            return ()
        limit = self._settings.partition_limit(message.concurrency)
        room = Room(target, message.partitions, limit, ())
        openings = Openings(target, now, message.limits)
        return (registered, *self._drain(target, room, openings, now))

    def _check_room(self, state: BreakerState) -> None:
        if len(state.targets) >= self._settings.targets_max:
            raise Refused(
                "too-many-targets",
                f"this shard has {len(state.targets):,} agents, its limit: raise targets_max and "
                "give the service the memory",
            )

    # -- calls ------------------------------------------------------------------------------

    def _decide_call(self, state: BreakerState, call: Call, now: int) -> Events:
        if call.call_id in state.places:
            return ()
        target = state.targets.get(call.target)
        if target is None:
            return (answers.refused(call, answers.unknown_agent(call.target, state.targets)),)
        deadline_at = call.deadline_at + shift_ms(call, now)
        if now >= deadline_at:
            return (answers.refused(call, answers.too_late()),)
        if target.circuit.phase == "closed":
            return self._admit_or_queue(target, call, deadline_at, now)
        if target.circuit.phase == "open" and now >= target.circuit.retry_at:
            return self._probe(target, call, deadline_at, now)
        return (self._keep_away(target, call, now),)

    def _admit_or_queue(self, target: Target, call: Call, deadline_at: int, now: int) -> Events:
        key = key_of(target.limits, call)
        partition = self._room(target).take(call) if self._may_begin(target, key, now) else None
        if partition is not None:
            expires_at = deadline_at + self._settings.grace_ms
            return (CallAdmitted(target.name, call, partition, expires_at),)
        queued = CallQueued(target.name, call)
        if key:
            queued = CallQueued(target.name, call, key, now + (deadline_at - now) // 2)
        held, settings = target.held, self._settings
        places = settings.held_max if key else settings.queue_max
        if (len(held) if key else len(target.queue) - len(held)) < places:
            return (queued,)
        waiting = [each for each in target.queue.values() if (each.call_id in held) == bool(key)]
        yields = queueing.who_yields(waiting, call)
        if yields is None:
            return (self._crowded_out(target, call),)
        return (self._crowded_out(target, yields), queued)

    def _may_begin(self, target: Target, key: str, now: int) -> bool:
        """Whether nothing but the lack of room holds a call back.

        Where there are limits, those who wait while there is room are all held back by one.
        """
        if not target.limits:
            return not target.queue
        gate = target.gates.get(key)
        if gate is not None and gate.waiting:
            return False
        return Openings(target, now, target.limits).admits(key)

    def _probe(self, target: Target, call: Call, deadline_at: int, now: int) -> Events:
        passes = Openings(target, now, target.limits).admits(key_of(target.limits, call))
        partition = self._room(target).take(call) if passes else None
        if partition is None:
            return (self._crowded_out(target, call),)
        expires_at = deadline_at + self._settings.grace_ms
        probe = CallAdmitted(target.name, call, partition, expires_at, probe=True)
        return (BreakerHalfOpened(target.name), probe)

    def _room(self, target: Target, freed: Iterable[int] = ()) -> Room:
        limit = self._settings.partition_limit(target.concurrency)
        return Room(target, target.partitions, limit, freed)

    def _keep_away(self, target: Target, call: Call, now: int) -> CallRefused:
        circuit = target.circuit
        probing = circuit.phase == "half-open"
        wait_ms = self._settings.probe_wait_ms if probing else circuit.retry_at - now
        failure = answers.breaker_open(target.name, circuit.phase, circuit.reason, wait_ms)
        return answers.refused(call, failure)

    def _crowded_out(self, target: Target, call: Call) -> CallRefused:
        """Return the answer to a call for which there is no room, not even to wait.

        What a limit of calls in a period holds back is told when its turn may come.
        """
        wait_ms = self._settings.overload_wait_ms
        limit = limit_of(target.limits, call)
        if limit is not None and limit.starts:
            took_ms = len(target.held) * limit.period_ms // limit.starts
            wait_ms = max(wait_ms, min(took_ms, self._settings.limited_wait_ms_max))
        wait_ms += spread(call.call_id, wait_ms + 1)
        if limit is None:
            return answers.refused(call, answers.overloaded(target.name, wait_ms))
        return answers.refused(call, answers.limited(target.name, limit, wait_ms))

    def _decide_cancel(self, state: BreakerState, cancel: CancelCall, _now: int) -> Events:
        place = state.places.get(cancel.call_id)
        if place is None:
            return ()
        target = state.targets[place]
        waiting = target.queue.get(cancel.call_id)
        if waiting is not None:
            return (answers.refused(waiting, answers.cancelled()),)
        if target.flights[cancel.call_id].cancelled:
            return ()
        return (CancelForwarded(place, cancel.call_id, cancel.saga_id),)

    # -- ends of calls ----------------------------------------------------------------------

    def _decide_outcome(self, state: BreakerState, outcome: Outcome, now: int) -> Events:
        place = state.places.get(outcome.call_id)
        if place is None or outcome.call_id in state.targets[place].queue:
            return ()
        target = state.targets[place]
        said = verdict(outcome, target.flights[outcome.call_id], target.circuit)
        slow = is_slow(outcome, self._settings)
        known = target.members.get(str(target.flights[outcome.call_id].partition), "")
        member = "" if outcome.member == known else outcome.member
        ended = CallEnded(target.name, outcome.call_id, said, slow, member)
        hint_ms = outcome.failure.retry_after_ms if outcome.failure is not None else None
        return (ended, *self._follow_up(target, [ended], now, hint_ms or 0))

    def _decide_tick(self, state: BreakerState, _tick: Tick, now: int) -> Events:
        overdue: dict[str, list[str]] = {}
        for call_id in state.deadlines.due(now, self._settings.expiries_per_tick_max):
            overdue.setdefault(state.places[call_id], []).append(call_id)
        events: list[object] = []
        for name, call_ids in overdue.items():
            events.extend(self._expire(state.targets[name], call_ids, now))
        return events or list(self._reopen(state, now))

    def _reopen(self, state: BreakerState, now: int) -> Iterator[object]:
        """Yield which limits let calls begin again by now, and who begins therefore."""
        reopened: dict[str, list[str]] = {}
        for place in state.openings.due(now, self._settings.expiries_per_tick_max):
            name, _, key = place.partition("/")
            reopened.setdefault(name, []).append(key)
        for name, keys in reopened.items():
            target = state.targets[name]
            yield from (LimitReopened(name, key) for key in keys)
            openings = Openings(target, now, target.limits)
            yield from self._drain(target, self._room(target), openings, now)

    def _expire(self, target: Target, call_ids: Sequence[str], now: int) -> Iterator[object]:
        ends: list[End] = []
        for call_id in call_ids:
            if (flight := target.flights.get(call_id)) is not None:
                said = verdict_of_silence(flight, target.circuit)
                ends.append(CallExpired(target.name, call_id, said))
        yield from ends
        waiting = [target.queue[call_id] for call_id in call_ids if call_id in target.queue]
        yield from self._follow_up(target, ends, now, overdue=waiting)

    def _follow_up(
        self,
        target: Target,
        ends: Sequence[End],
        now: int,
        hint_ms: int = 0,
        overdue: Sequence[Call] = (),
    ) -> Iterator[object]:
        """Yield what ends of calls lead to: a transition, and what becomes of those who wait."""
        change = transition(target, ends, now, self._settings, hint_ms)
        if change is not None:
            yield change
        if isinstance(change, BreakerOpened):
            yield from self._dismiss(target, change, now)
            return
        for call in overdue:
            yield self._given_up(target, call, now)
        if not target.queue:
            return
        flights = [target.flights[end.call_id] for end in ends]
        room = self._room(target, [flight.partition for flight in flights])
        openings = Openings(target, now, target.limits, [flight.key for flight in flights])
        yield from self._drain(target, room, openings, now, {call.call_id for call in overdue})

    def _given_up(self, target: Target, call: Call, now: int) -> CallRefused:
        """Return the answer to a call that waits no more, though it may have time left."""
        if now < call.deadline_at:
            return self._crowded_out(target, call)
        return answers.refused(call, answers.too_late())

    def _dismiss(self, target: Target, opened: BreakerOpened, now: int) -> Iterator[object]:
        """Yield refusals of all who wait: an open breaker has no queue."""
        failure = answers.breaker_open(target.name, "open", opened.reason, opened.open_ms)
        for call in target.queue.values():
            is_late = now >= call.deadline_at
            yield answers.refused(call, answers.too_late() if is_late else failure)

    def _drain(
        self,
        target: Target,
        room: Room,
        openings: Openings,
        now: int,
        refused: Collection[str] = (),
    ) -> Iterator[object]:
        """Yield admissions of those who wait, in their turn, as long as there is room.

        Whoever a limit holds back is passed over, as is who is `refused` already, or overdue: the
        `Tick` that is due refuses it.
        """
        for call in queueing.in_turn(target):
            key = openings.key_of(call)
            if now >= call.deadline_at or call.call_id in refused or not openings.admits(key):
                continue
            partition = room.take(call)
            if partition is None:
                return
            openings.take(key)
            expires_at = call.deadline_at + self._settings.grace_ms
            yield CallDequeued(target.name, call.call_id, partition, expires_at)
