"""The laws of the CRDTs, and a reference for what a set means, on random histories."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.core.crdt import (
    ELEMENT_BYTES_MAX,
    Crdt,
    Dot,
    Dots,
    GCounter,
    LimitExceeded,
    MalformedState,
    ORSet,
    PNCounter,
    Replica,
    canonical_bytes,
    from_json,
    parts_of,
)

REPLICAS = ("a", "b", "c")
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(REPLICAS),
        st.sampled_from(["add", "remove", "retract", "share"]),
        st.integers(0, 4),
        st.sampled_from(["s1", "s2"]),
        st.sampled_from(REPLICAS),
    ),
    max_size=25,
)
Change = Callable[[Any, str, int, str], Crdt | None]


def change_set(crdt: ORSet, action: str, value: int, tag: str) -> Crdt | None:
    if action == "add":
        return crdt.add(value, tag=tag)
    return crdt.remove(value) if action == "remove" else crdt.remove_tagged(tag)


def change_gcounter(crdt: GCounter, action: str, value: int, tag: str) -> Crdt | None:
    return crdt.increment(value, tag if action == "retract" else None)


def change_pncounter(crdt: PNCounter, action: str, value: int, _tag: str) -> Crdt | None:
    return crdt.increment(value) if action == "add" else crdt.decrement(value)


KINDS = [(ORSet, change_set), (GCounter, change_gcounter), (PNCounter, change_pncounter)]
kinds = pytest.mark.parametrize(("cls", "change"), KINDS, ids=lambda v: getattr(v, "__name__", ""))


def copy(crdt: Any) -> Any:
    return from_json(crdt.to_json())


def joined(*crdts: Any) -> Any:
    result = copy(crdts[0])
    for crdt in crdts[1:]:
        result.merge(crdt)
    return result


def play(cls: Any, change: Change, actions: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Play a history on three replicas; their states, and all deltas."""
    states = {name: cls(name) for name in REPLICAS}
    deltas = []
    for replica, action, value, tag, other in actions:
        if action == "share":
            states[replica].merge(states[other])
        elif (delta := change(states[replica], action, value, tag)) is not None:
            deltas.append(copy(delta))
    return states, deltas


@kinds
@given(ACTIONS)
def test_joining_is_commutative_associative_and_idempotent(
    cls: Any, change: Change, actions: list[Any]
) -> None:
    a, b, c = play(cls, change, actions)[0].values()
    assert joined(a, b) == joined(b, a)
    assert joined(joined(a, b), c) == joined(a, joined(b, c))
    assert joined(a, a) == a
    assert not joined(a, b).merge(b)


@kinds
@given(ACTIONS, st.randoms(use_true_random=False))
def test_deltas_in_any_order_grouped_and_doubled_give_the_whole(
    cls: Any, change: Change, actions: list[Any], luck: random.Random
) -> None:
    states, deltas = play(cls, change, actions)
    whole = joined(*states.values())
    shuffled = deltas + luck.sample(deltas, len(deltas) // 2)
    luck.shuffle(shuffled)
    half = len(shuffled) // 2
    grouped = [joined(cls(), *shuffled[:half]), *shuffled[half:]]
    assert joined(cls(), *grouped) == whole
    assert canonical_bytes(joined(cls(), *grouped)) == canonical_bytes(whole)


@kinds
@given(ACTIONS)
def test_delta_since_is_what_a_peer_lacks_and_nothing_if_it_lacks_nothing(
    cls: Any, change: Change, actions: list[Any]
) -> None:
    a, b, _ = play(cls, change, actions)[0].values()
    delta = a.delta_since(b.digest())
    assert joined(b, *([] if delta is None else [delta])) == joined(b, a)
    assert joined(a, b).delta_since(joined(b, a).digest()) is None
    assert a.delta_since(a.digest()) is None


@kinds
@given(ACTIONS)
def test_what_is_written_is_read_back(cls: Any, change: Change, actions: list[Any]) -> None:
    for state in play(cls, change, actions)[0].values():
        assert copy(state) == state
        assert from_json(json.loads(json.dumps(state.to_json()))) == state


class Reference:
    """Add-wins sets with the whole history kept: additions, and which of them each removal saw."""

    def __init__(self) -> None:
        self.known: dict[str, set[int]] = {name: set() for name in REPLICAS}
        self.removed: dict[str, set[int]] = {name: set() for name in REPLICAS}
        self.additions: list[tuple[int, str]] = []

    def act(self, replica: str, action: str, value: int, tag: str, other: str) -> None:
        if action == "add":
            self.known[replica].add(len(self.additions))
            self.additions.append((value, tag))
        elif action == "share":
            self.known[replica] |= self.known[other]
            self.removed[replica] |= self.removed[other]
        else:
            sought = value if action == "remove" else tag
            self.removed[replica] |= {n for n in self.known[replica] if sought in self.additions[n]}

    def value(self, replica: str) -> list[int]:
        living = self.known[replica] - self.removed[replica]
        return sorted({self.additions[n][0] for n in living})


@given(ACTIONS)
def test_a_set_means_what_its_history_says_after_every_step(actions: list[Any]) -> None:
    states, reference = {name: ORSet(name) for name in REPLICAS}, Reference()
    for replica, action, value, tag, other in actions:
        if action == "share":
            states[replica].merge(states[other])
        else:
            change_set(states[replica], action, value, tag)
        reference.act(replica, action, value, tag, other)
        for name in REPLICAS:
            assert states[name].value == reference.value(name)


@given(ACTIONS)
def test_when_all_have_heard_all_nothing_is_left_of_what_was_removed(actions: list[Any]) -> None:
    states, _ = play(ORSet, change_set, actions)
    whole = joined(*states.values())
    assert whole.seen.gaps() == 0
    whole.remove(*whole.value)
    assert whole.to_json()["entries"] == []
    assert all(len(intervals) == 1 for intervals in whole.seen.to_json().values())


@given(ACTIONS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_parts_join_to_the_whole_and_a_lost_part_loses_nothing_else(
    actions: list[Any], size: int, luck: random.Random
) -> None:
    whole = joined(*play(ORSet, change_set, actions)[0].values())
    parts = whole.split(size)
    luck.shuffle(parts)
    assert joined(ORSet(), *parts) == whole
    lost, rest = parts[0], parts[1:]
    damaged = joined(ORSet(), *rest)
    assert set(damaged.value) | set(lost.value) == set(whole.value)
    assert joined(damaged, lost) == whole


@settings(max_examples=60)
@given(ACTIONS, st.randoms(use_true_random=False))
def test_lossy_gossip_converges_by_digests(actions: list[Any], luck: random.Random) -> None:
    replicas = {name: Replica(name) for name in REPLICAS}
    for name, action, value, tag, _ in actions:
        mine = replicas[name].document("facts", ORSet)
        assert isinstance(mine, ORSet)
        delta = change_set(mine, action, value, tag) if action != "share" else None
        for other in REPLICAS:
            if delta is not None and other != name and luck.random() < 0.4:
                replicas[other].receive("facts", copy(delta))
    for _ in range(2):
        for one in replicas.values():
            for other_replica in replicas.values():
                for document, lacking in one.answer(other_replica.digest()).items():
                    for part in parts_of(lacking):
                        other_replica.receive(document, copy(part))
    states = [replica.documents.get("facts", ORSet()) for replica in replicas.values()]
    assert states[0] == states[1] == states[2]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 30))), st.data())
def test_dots_are_a_set(pairs: list[tuple[str, int]], data: st.DataObject) -> None:
    plain = {Dot(*pair) for pair in pairs}
    dots = Dots(Dot(*pair) for pair in pairs)
    assert set(dots) == plain
    assert len(dots) == len(plain)
    assert all((Dot(r, n) in dots) == (Dot(r, n) in plain) for r in "ab" for n in range(1, 32))
    taken = data.draw(st.sets(st.sampled_from(sorted(plain)))) if plain else set()
    assert set(dots.without(taken)) == plain - taken
    assert Dots.from_json(dots.to_json()) == dots


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
)
NEARLY = st.fixed_dictionaries(
    {"kind": st.sampled_from(["gcounter", "pncounter", "orset", "nonsense"])},
    optional={name: JSON for name in ("totals", "up", "down", "entries", "seen")},
)


@given(JSON | NEARLY)
def test_anything_that_is_no_state_is_refused(value: Any) -> None:
    try:
        state = from_json(value)
    except MalformedState:
        return
    assert from_json(state.to_json()) == state


def test_a_step_that_counts_again_counts_once() -> None:
    one, two = GCounter("a"), GCounter("b")
    one.raise_to("saga/step", 5)
    two.raise_to("saga/step", 3)
    two.raise_to("saga/step", 5)
    one.merge(two)
    assert one.value == 5


def test_an_element_added_under_two_tags_survives_one_retraction() -> None:
    facts = ORSet("a")
    facts.add({"k": 1}, tag="s1")
    facts.add({"k": 1}, tag="s2")
    facts.remove_tagged("s1")
    assert facts.value == [{"k": 1}]
    facts.remove_tagged("s2")
    assert facts.value == []


def test_limits_and_kinds_are_kept() -> None:
    replica = Replica("a")
    with pytest.raises(LimitExceeded):
        ORSet("a").add("x" * ELEMENT_BYTES_MAX)
    with pytest.raises(ValueError, match="takes no negative"):
        GCounter("a").increment(-1)
    with pytest.raises(ValueError, match="no name for a document"):
        replica.document("no spaces", ORSet)
    replica.document("facts", ORSet)
    with pytest.raises(MalformedState, match="is a orset, not a gcounter"):
        replica.document("facts", GCounter)
