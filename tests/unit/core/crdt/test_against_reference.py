"""Values against references that keep the whole history and look everything up.

A reference knows, at each replica, which changes it has heard of. It has no dots, no merging and no
deltas: the value follows from the changes by the definition of the type.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from folkmoot.core.crdt import GCounter, ORSet, PNCounter, canonical
from tests.unit.core.crdt.histories import REPLICAS, amounts, copy, elements, replicas, tags

places = st.integers(0, 200)
sagas = st.sampled_from(["saga-1", "saga-2"])


@dataclass(frozen=True)
class SetChange:
    """Adds what it says, and takes away the earlier additions that it had heard of."""

    added: tuple[tuple[int, str, str | None], ...] = ()
    overruled: frozenset[int] = frozenset()


@dataclass
class SetReference:
    """Additions by number; each replica knows some of the changes."""

    heard: dict[str, set[SetChange]] = field(default_factory=lambda: defaultdict(set))
    additions: int = 0

    def living(self, replica: str) -> list[tuple[int, str, str | None]]:
        changes = self.heard[replica]
        overruled = {number for change in changes for number in change.overruled}
        added = [addition for change in changes for addition in change.added]
        return [addition for addition in added if addition[0] not in overruled]

    def add(self, replica: str, texts: set[str], tag: str | None) -> SetChange:
        renewed = {n for n, text, under in self.living(replica) if text in texts and under == tag}
        added = []
        for text in sorted(texts):
            self.additions += 1
            added.append((self.additions, text, tag))
        return self.made(replica, SetChange(tuple(added), frozenset(renewed)))

    def remove(self, replica: str, text: str) -> SetChange:
        gone = {number for number, each, _ in self.living(replica) if each == text}
        return self.made(replica, SetChange(overruled=frozenset(gone)))

    def retract(self, replica: str, tag: str) -> SetChange:
        gone = {number for number, _, under in self.living(replica) if under == tag}
        return self.made(replica, SetChange(overruled=frozenset(gone)))

    def made(self, replica: str, change: SetChange) -> SetChange:
        self.heard[replica].add(change)
        return change


class Sets(RuleBasedStateMachine):
    """Replicas change a set and hear of each other's changes, late, doubled and out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.states = {replica: ORSet(replica) for replica in REPLICAS}
        self.reference = SetReference()
        self.changes: list[tuple[ORSet, SetChange]] = []

    @rule(replica=replicas, values=st.lists(elements, max_size=3), tag=tags)
    def add(self, replica: str, values: list[Any], tag: str | None) -> None:
        delta = self.states[replica].add(*values, tag=tag)
        texts = {canonical(value) for value in values}
        self.changes.append((delta, self.reference.add(replica, texts, tag)))

    @rule(replica=replicas, value=elements)
    def remove(self, replica: str, value: Any) -> None:
        delta = self.states[replica].remove(value)
        self.changes.append((delta, self.reference.remove(replica, canonical(value))))

    @rule(replica=replicas, tag=sagas)
    def retract(self, replica: str, tag: str) -> None:
        delta = self.states[replica].remove_tagged(tag)
        self.changes.append((delta, self.reference.retract(replica, tag)))

    @rule(replica=replicas, place=places)
    def hear(self, replica: str, place: int) -> None:
        if self.changes:
            delta, change = self.changes[place % len(self.changes)]
            self.states[replica].merge(copy(delta))
            self.reference.heard[replica].add(change)

    @rule(asking=replicas, asked=replicas)
    def catch_up(self, asking: str, asked: str) -> None:
        delta = self.states[asked].delta_since(self.states[asking].digest())
        if delta is not None:
            self.states[asking].merge(copy(delta))
        self.reference.heard[asking] |= self.reference.heard[asked]

    @invariant()
    def every_replica_has_what_its_history_says(self) -> None:
        for replica, state in self.states.items():
            living = self.reference.living(replica)
            texts = {text for _, text, _ in living}
            assert sorted(map(canonical, state.value)) == sorted(texts)
            assert len(state) == len(texts)
            assert len(state.living) == len(living)
            for tag in ("saga-1", "saga-2"):
                tagged = {text for _, text, under in living if under == tag}
                assert sorted(map(canonical, state.tagged(tag))) == sorted(tagged)


@dataclass(frozen=True)
class Counted:
    """An actor came to a total."""

    actor: str
    up: int
    down: int


class Counters(RuleBasedStateMachine):
    """Replicas count, and hear of each other's counting, late, doubled and out of order."""

    kind: type[GCounter] | type[PNCounter] = PNCounter

    def __init__(self) -> None:
        super().__init__()
        self.states = {replica: self.kind(replica) for replica in REPLICAS}
        self.heard: dict[str, set[Counted]] = defaultdict(set)
        self.changes: list[tuple[Any, Counted]] = []

    def totals(self, replica: str) -> dict[str, tuple[int, int]]:
        totals: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for each in self.heard[replica]:
            up, down = totals[each.actor]
            totals[each.actor] = max(up, each.up), max(down, each.down)
        return totals

    @rule(replica=replicas, amount=amounts, shared=st.booleans(), down=st.booleans())
    def count(self, replica: str, amount: int, shared: bool, down: bool) -> None:
        actor = "shared" if shared else replica
        state = self.states[replica]
        before_up, before_down = self.totals(replica)[actor]
        if down and isinstance(state, PNCounter):
            delta: Any = state.decrement(amount, actor)
            counted = Counted(actor, before_up, before_down + amount)
        else:
            delta = state.increment(amount, actor if shared else None)
            counted = Counted(actor, before_up + amount, before_down)
        self.heard[replica].add(counted)
        self.changes.append((delta, counted))

    @rule(replica=replicas, place=places)
    def hear(self, replica: str, place: int) -> None:
        if self.changes:
            delta, counted = self.changes[place % len(self.changes)]
            self.states[replica].merge(copy(delta))
            told = Counted(counted.actor, *self._as_told(delta, counted))
            self.heard[replica].add(told)

    def _as_told(self, delta: Any, counted: Counted) -> tuple[int, int]:
        """A delta tells of the half that was changed."""
        if isinstance(delta, GCounter):
            return counted.up, 0
        fields = delta.to_json()
        return (counted.up if fields["up"] else 0), (counted.down if fields["down"] else 0)

    @rule(asking=replicas, asked=replicas)
    def catch_up(self, asking: str, asked: str) -> None:
        delta: Any = self.states[asked].delta_since(self.states[asking].digest())
        if delta is not None:
            self.states[asking].merge(copy(delta))
        self.heard[asking] |= self.heard[asked]

    @invariant()
    def every_replica_counts_what_its_history_says(self) -> None:
        for replica, state in self.states.items():
            assert state.value == sum(up - down for up, down in self.totals(replica).values())


class GrowingCounters(Counters):
    kind = GCounter


@pytest.mark.parametrize("machine", [Sets, Counters, GrowingCounters])
def test_values_follow_from_the_history(machine: type[RuleBasedStateMachine]) -> None:
    long = settings(max_examples=60, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(machine, settings=long)
