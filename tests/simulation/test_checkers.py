"""Every checker bites: a defect is planted in the product, and the checker that guards against it
says so. A checker that stays silent here would be no proof of anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from folkmoot.agent_worker import handlers
from folkmoot.contracts import codec
from folkmoot.core.breaker import folding as breaker_folding
from folkmoot.core.breaker import machine as breaker_machine
from folkmoot.core.breaker.limiting import Openings
from folkmoot.core.event_store.state import EventStoreState
from folkmoot.core.kernel import Leadership, Position, Shard, Verdict
from folkmoot.core.saga import backward, folding_back
from folkmoot.core.worker import machine as worker_machine
from folkmoot.event_store import following
from folkmoot.runtime import shelf
from folkmoot.runtime.candidacy import OpenCandidacy
from folkmoot.runtime.clock import LogClock
from folkmoot.runtime.emitter import Emitter
from folkmoot.runtime.presence import Presence
from folkmoot.runtime.shelf import Manifest, Shelf
from folkmoot.runtime.term import Term
from folkmoot.testing.simulation.draw import Scope
from folkmoot.testing.simulation.relay import RelayMachine
from folkmoot.testing.simulation.run import run_seed

SEEDS_MAX = 60

Plant = Callable[[pytest.MonkeyPatch], None]


def found(invariant: str, scope: Scope) -> str | None:
    """Run seeds until the invariant is violated; what was said then."""
    for seed in range(SEEDS_MAX):
        for violation in run_seed(seed, scope).violations:
            if violation.invariant == invariant:
                return str(violation)
    return None


def claims_expect_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leadership, "_is_open_to", lambda _self, _claim: True)


def entries_do_not_count_against_claims(patch: pytest.MonkeyPatch) -> None:
    def open_to(self: Leadership, claim: Any) -> bool:
        return self.holder is None or claim.expected_term == self.term

    patch.setattr(Leadership, "_is_open_to", open_to)


def apply_depends_on_the_member(patch: pytest.MonkeyPatch) -> None:
    applied = RelayMachine.apply

    def apply(self: RelayMachine, state: Any, event: object, position: Position) -> Any:
        made = applied(self, state, event, position)
        if state.kept:
            state.rang["by"] = id(self) % 1_000
        return made

    patch.setattr(RelayMachine, "apply", apply)


def gossip_is_not_understood(patch: pytest.MonkeyPatch) -> None:
    async def hear(_self: Presence, _message: object) -> None:
        raise ValueError("no word of a member")

    patch.setattr(Presence, "_hear", hear)


def leaders_apply_twice(patch: pytest.MonkeyPatch) -> None:
    decide = RelayMachine.decide

    def decided(self: RelayMachine, state: Any, message: object, now: int) -> Any:
        events = decide(self, state, message, now)
        state.leaders.append("decided")
        return events

    patch.setattr(RelayMachine, "decide", decided)


def nothing_is_a_duplicate(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Shard, "is_duplicate", lambda _self, _received: False)


def consumption_is_not_logged(patch: pytest.MonkeyPatch) -> None:
    consume = Shard._consume

    def consumed(self: Shard[Any], received: Any) -> None:
        consume(self, received)
        self._unlogged_consumed.clear()

    patch.setattr(Shard, "_consume", consumed)


def alarms_ring_early(patch: pytest.MonkeyPatch) -> None:
    due, decided = RelayMachine.due, RelayMachine.decide

    def early(self: RelayMachine, state: Any) -> int | None:
        at = due(self, state)
        return None if at is None else at - 50

    def decide(self: RelayMachine, state: Any, message: object, at: int) -> Any:
        return decided(self, state, message, at + 50)

    patch.setattr(RelayMachine, "due", early)
    patch.setattr(RelayMachine, "decide", decide)


def effects_leave_before_their_entry(patch: pytest.MonkeyPatch) -> None:
    decide = Shard.decide

    def decided(self: Shard[Any], received: Any, now: int) -> Any:
        entry = decide(self, received, now)
        if entry is not None:
            self.pending.extend(self._decided[-1][1])
            self._decided[-1][1].clear()
        return entry

    commit = Term._commit

    async def wake_first(self: Any, records: Any, emitter: Any) -> None:
        emitter.wake()
        await commit(self, records, emitter)

    patch.setattr(Shard, "decide", decided)
    patch.setattr(Term, "_commit", wake_first)


def effects_count_as_sent_when_they_are_not(patch: pytest.MonkeyPatch) -> None:
    async def send(self: Any, batch: Any) -> None:
        self._shard.acknowledge(batch[-1].mark.offset)

    patch.setattr(Emitter, "_send", send)


def nobody_claims(patch: pytest.MonkeyPatch) -> None:
    silence = OpenCandidacy.silence_ms

    def never_again(self: OpenCandidacy, leadership: Leadership) -> int | None:
        return silence(self, leadership) if leadership.term < 0 else None

    patch.setattr(OpenCandidacy, "silence_ms", never_again)


def log_time_is_not_clamped(patch: pytest.MonkeyPatch) -> None:
    decide = Shard.decide

    def decided(self: Shard[Any], received: Any, now: int) -> Any:
        self.at = 0
        return decide(self, received, now)

    patch.setattr(Shard, "decide", decided)
    patch.setattr(LogClock, "now", lambda self: self._clock.now())


def undoing_takes_no_order(patch: pytest.MonkeyPatch) -> None:
    def none(saga: Any) -> dict[str, int]:
        return dict.fromkeys(saga.steps, 0)

    patch.setattr(backward, "count_blockers", none)
    patch.setattr(folding_back, "count_blockers", none)


def compensations_are_not_run(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> None:
        return

    patch.setattr(handlers, "_compensate", nothing)


def repeated_appends_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EventStoreState, "remember", lambda _self, _answer: None)


def damaged_snapshots_are_used(patch: pytest.MonkeyPatch) -> None:
    def read(self: Shelf, manifest: Manifest) -> bytes:
        return b"".join(self._chunks[key][1] for key in shelf._keys(manifest))

    patch.setattr(Shelf, "read", read)


def unknown_events_are_skipped(patch: pytest.MonkeyPatch) -> None:
    known = codec._decode_event

    def decode_event(event: Any, events: Any) -> object:
        try:
            return known(event, events)
        except codec.UnknownEvent:
            return None

    patch.setattr(codec, "_decode_event", decode_event)


def who_is_outdated_does_not_say_so(patch: pytest.MonkeyPatch) -> None:
    def decode_event(event: Any, events: Any) -> object:
        cls = {**events, **codec.KERNEL_EVENTS}[event["type"]]
        return codec.decode_data(cls, event["data"])

    patch.setattr(codec, "_decode_event", decode_event)


def the_index_believes_every_leader(patch: pytest.MonkeyPatch) -> None:
    class Believing(Leadership):
        def observe(self, offset: int, record: Any) -> Verdict:
            super().observe(offset, record)
            return Verdict.ACCEPTED

    patch.setattr(following, "replace", lambda known: Believing(**asdict(known)))


def times_are_taken_as_they_are(patch: pytest.MonkeyPatch) -> None:
    for module in (breaker_machine, breaker_folding, worker_machine):
        patch.setattr(module, "shift_ms", lambda _call, _now: 0)


def limits_are_not_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Openings, "admits", lambda _self, _key: True)


MESH_DEFECTS: list[tuple[str, Plant]] = [
    ("I7", times_are_taken_as_they_are),
    ("I8", the_index_believes_every_leader),
    ("I6", undoing_takes_no_order),
    ("I6", compensations_are_not_run),
    ("I4", repeated_appends_are_forgotten),
    ("I9", limits_are_not_held),
]

DEFECTS: list[tuple[str, Plant]] = [
    ("I1", claims_expect_nothing),
    ("I2", claims_expect_nothing),
    ("I1", entries_do_not_count_against_claims),
    ("I3", apply_depends_on_the_member),
    ("I8", leaders_apply_twice),
    ("I4", nothing_is_a_duplicate),
    ("I4", consumption_is_not_logged),
    ("I4", alarms_ring_early),
    ("I5", effects_leave_before_their_entry),
    ("I5", effects_count_as_sent_when_they_are_not),
    ("I5", nothing_is_a_duplicate),
    ("I7", nobody_claims),
    ("I0", gossip_is_not_understood),
    ("time", log_time_is_not_clamped),
    ("I4", damaged_snapshots_are_used),
    ("I8", unknown_events_are_skipped),
    ("I7", who_is_outdated_does_not_say_so),
]


@pytest.mark.parametrize(
    ("invariant", "plant"), DEFECTS, ids=[f"{i}-{p.__name__}" for i, p in DEFECTS]
)
@pytest.mark.timeout(600)
def test_a_planted_defect_is_found(
    invariant: str, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert found(invariant, "relay") is not None


@pytest.mark.parametrize(
    ("invariant", "plant"), MESH_DEFECTS, ids=[f"{i}-{p.__name__}" for i, p in MESH_DEFECTS]
)
@pytest.mark.timeout(600)
def test_a_defect_planted_in_the_mesh_is_found(
    invariant: str, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert found(invariant, "mesh") is not None


def test_every_invariant_is_bitten() -> None:
    bitten = {invariant for invariant, _ in DEFECTS + MESH_DEFECTS}
    assert bitten == {f"I{number}" for number in range(10)} | {"time"}
