"""The laws of README.md, for every kind: on states of honest replicas, and on others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.crdt import MalformedState, canonical_bytes, from_json
from tests.unit.core.crdt.histories import ALL_KINDS, CHANGES, copy, histories, join_of, states

pytestmark = pytest.mark.parametrize("kind", ALL_KINDS)


@given(data=st.data())
def test_joining_is_commutative_associative_and_idempotent(kind: str, data: st.DataObject) -> None:
    a, b, c = (data.draw(states(kind)) for _ in range(3))
    assert join_of([a, b]) == join_of([b, a])
    assert join_of([join_of([a, b]), c]) == join_of([a, join_of([b, c])])
    assert join_of([a, a]) == a
    assert canonical_bytes(join_of([a, b, c])) == canonical_bytes(join_of([c, b, a]))


@given(data=st.data())
def test_merging_tells_whether_it_was_news_and_leaves_the_other_alone(
    kind: str, data: st.DataObject
) -> None:
    mine, other = data.draw(histories(kind)).states["a"], data.draw(states(kind))
    before, others = canonical_bytes(mine), canonical_bytes(other)
    news = mine.merge(other)
    assert news == (canonical_bytes(mine) != before)
    assert not mine.merge(other)
    data.draw(CHANGES[kind])(mine)
    assert canonical_bytes(other) == others


@given(data=st.data())
def test_a_delta_does_elsewhere_what_the_change_did_here(kind: str, data: st.DataObject) -> None:
    state = data.draw(histories(kind)).states["a"]
    before = copy(state)
    delta = data.draw(CHANGES[kind])(state)
    assert join_of([before, delta]) == state
    assert not state.merge(delta)


@given(data=st.data())
def test_deltas_join_to_the_whole_in_any_order_grouped_and_doubled(
    kind: str, data: st.DataObject
) -> None:
    history = data.draw(histories(kind))
    again = data.draw(st.lists(st.integers(0, 50)))
    doubled = history.deltas + [
        history.deltas[n % len(history.deltas)] for n in again if history.deltas
    ]
    shuffled = data.draw(st.permutations(doubled))
    empty = type(history.states["a"])()
    cut = data.draw(st.integers(0, len(shuffled)))
    groups = [join_of([empty, *shuffled[:cut]]), join_of([empty, *shuffled[cut:]])]
    assert join_of([empty, *shuffled]) == history.joined
    assert join_of(groups) == history.joined


@given(data=st.data())
def test_what_a_peer_lacks_is_enough_and_not_more(kind: str, data: st.DataObject) -> None:
    history = data.draw(histories(kind))
    mine, peer = history.states["a"], history.states["b"]
    delta = mine.delta_since(json.loads(json.dumps(peer.digest())))
    assert (delta is None) == (join_of([peer, mine]) == peer)
    if delta is not None:
        assert join_of([peer, delta]) == join_of([peer, mine])
        assert all(copy(peer).merge(unit) for unit in delta.parts(1))


@given(data=st.data())
def test_nobody_lacks_what_it_has_and_all_is_told_to_who_has_nothing(
    kind: str, data: st.DataObject
) -> None:
    state = data.draw(states(kind))
    empty = type(state)()
    assert state.delta_since(state.digest()) is None
    for digest in (None, empty.digest()):
        delta = state.delta_since(digest)
        assert state == (empty if delta is None else delta)


@given(data=st.data(), bytes_max=st.integers(1, 400))
def test_parts_join_to_the_whole_in_any_order_and_fit(
    kind: str, data: st.DataObject, bytes_max: int
) -> None:
    state = data.draw(states(kind))
    parts = data.draw(st.permutations(state.parts(bytes_max)))
    assert join_of([type(state)(), *parts]) == state
    assert sum(len(part.parts(1)) for part in parts) == len(state.parts(1)), "each bit once"
    frame = len(canonical_bytes(type(state)()))
    smallest = max((len(canonical_bytes(part)) for part in state.parts(1)), default=0)
    for part in parts:
        assert len(canonical_bytes(part)) <= max(bytes_max + frame, smallest)


@given(data=st.data())
def test_bytes_and_fingerprints_are_equal_exactly_if_states_are(
    kind: str, data: st.DataObject
) -> None:
    a, b = data.draw(states(kind)), data.draw(states(kind))
    assert (a == b) == (canonical_bytes(a) == canonical_bytes(b))
    assert (a == b) == (a.fingerprint() == b.fingerprint())
    a.merge(b)
    assert a.fingerprint() == copy(a).fingerprint()
    assert copy(a) == a


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [at, *(path for key, each in inner for path in paths(each, (*at, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    made = value.copy()
    made[path[0]] = replaced(value[path[0]], path[1:], by)
    return made


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
odd_values = json_values | st.sampled_from(
    [-1, 0, 1 << 53, 1 << 70, True, "", "\ud800", [[1, 1 << 52]], {"a": [[3, 1]]}, "kind", {}]
)


@given(data=st.data())
def test_decoding_takes_a_state_or_says_that_it_is_none(kind: str, data: st.DataObject) -> None:
    whole = data.draw(states(kind)).to_json()
    spoilt = replaced(whole, data.draw(st.sampled_from(paths(whole))), data.draw(odd_values))
    try:
        state = from_json(spoilt)
    except MalformedState:
        return
    assert copy(state) == state
    assert state.merge(data.draw(states(state.KIND))) in (True, False)
    state.delta_since(state.digest())
    assert state.fingerprint() == copy(state).fingerprint()


@given(data=st.data(), digest=odd_values)
def test_a_spoilt_digest_is_taken_or_refused(kind: str, data: st.DataObject, digest: Any) -> None:
    state = data.draw(states(kind))
    whole = state.digest()
    spoilt = replaced(whole, data.draw(st.sampled_from(paths(whole))), digest)
    try:
        state.delta_since(spoilt)
    except MalformedState:
        return
