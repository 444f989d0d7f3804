"""I8: from zero, from any snapshot, or live, the same log gives the same shard, of any machine."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.contracts.snapshots import (
    LINE_ITEMS,
    SnapshotDecoder,
    UnreadableSnapshot,
    encode_snapshot,
    hash_of,
    schema_of,
)
from folkmoot.core.kernel import Claim, Effect, Entry, Position, Shard, restored, take
from folkmoot.core.names import by_wire_name
from folkmoot.testing.histories import PLAYERS, History

INPUTS = 250


@cache
def history(name: str, seed: int) -> History:
    return History(PLAYERS[name](), seed).play(INPUTS)


def through_bytes(shard: Shard[Any], member: str = "other") -> Shard[Any]:
    decoder = SnapshotDecoder(shard.machine)
    for line in encode_snapshot(take(shard)):
        decoder.take(line)
    return restored(decoder.finish(), shard.machine, member)


def assert_same(one: Shard[Any], other: Shard[Any]) -> None:
    assert one.state == other.state
    assert one.due() == other.due()
    assert [*one.pending] == [*other.pending]
    assert one.leadership == other.leadership
    assert (one.consumed, one.marks) == (other.consumed, other.marks)
    assert (one.next_offset, one.at, one.emitted) == (other.next_offset, other.at, other.emitted)
    assert hash_of(one) == hash_of(other)


@pytest.mark.parametrize("name", PLAYERS)
@given(seed=st.integers(0, 4), data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_shard_goes_on_from_any_snapshot_as_if_it_had_read_it_all(
    name: str, seed: int, data: st.DataObject
) -> None:
    played = history(name, seed)
    at = data.draw(st.integers(0, len(played.records)))
    shard = through_bytes(played.shard(count=at))
    assert_same(shard, played.shard(count=at))
    played.observe(shard, len(played.records))
    assert_same(shard, played.shard())


@pytest.mark.parametrize("name", PLAYERS)
@given(seed=st.integers(0, 4))
@settings(max_examples=5, deadline=None)
def test_what_is_read_equals_what_was_live(name: str, seed: int) -> None:
    live, read = history(name, seed).leader, history(name, seed).shard()
    assert live.state == read.state
    assert live.next_offset == read.next_offset
    unacknowledged = [p for p in read.pending if p.mark.offset > live.emitted]
    assert [*live.pending] == unacknowledged


@pytest.mark.parametrize("name", PLAYERS)
def test_a_restored_shard_decides_as_the_one_that_read_it_all(name: str) -> None:
    played = History(PLAYERS[name](), 3).play(INPUTS)
    played.leader = through_bytes(played.shard(), played.leader.member)
    other = History(PLAYERS[name](), 3).play(INPUTS)
    other.leader = other.shard(other.leader.member)
    assert played.play(100).records == other.play(100).records


# -- a machine of its own --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    key: str


@dataclass(frozen=True, slots=True)
class Item:
    n: int
    tags: tuple[str, ...] = ()


@dataclass
class Box:
    items: dict[str, Item] = field(default_factory=dict)
    order: OrderedDict[str, int] = field(default_factory=OrderedDict)
    queue: deque[Item] = field(default_factory=deque)
    names: list[str] = field(default_factory=list)
    count: int = 0
    _sum: int = field(init=False, compare=False, default=0)

    def __post_init__(self) -> None:
        self._sum = sum(item.n for item in self.items.values())


class Boxes:
    name = "boxes"
    inputs: Mapping[str, type] = {}
    events: Mapping[str, type] = by_wire_name(Put)
    outputs: Mapping[str, type] = {}

    def initial(self) -> Box:
        return Box()

    def decide(self, state: Box, message: object, now: int) -> Sequence[object]:
        return ()

    def apply(self, state: Box, event: object, position: Position) -> Sequence[Effect]:
        assert isinstance(event, Put)
        state.items[event.key] = Item(position.offset, (event.key,))
        state.order[event.key] = position.offset
        state.order.move_to_end(event.key)
        state.queue.append(state.items[event.key])
        state.names.append(event.key)
        state.count += 1
        state._sum += position.offset
        return ()

    def due(self, state: Box) -> int | None:
        return None


def boxes(count: int) -> Shard[Box]:
    shard: Shard[Box] = Shard(Boxes(), "a")
    shard.observe(0, Claim("a", 0, -1, -1))
    for offset in range(1, count + 1):
        shard.observe(offset, Entry(0, offset, (Put(f"k{offset % 1000 % 317}"),)))
    return shard


@pytest.mark.parametrize("count", [0, 1, LINE_ITEMS, LINE_ITEMS + 1, 5 * LINE_ITEMS])
def test_every_kind_of_field_comes_back_and_what_is_derived_is_made_again(count: int) -> None:
    shard = boxes(count)
    again = through_bytes(shard)
    assert_same(shard, again)
    assert list(again.state.order.items()) == list(shard.state.order.items())
    assert again.state._sum == sum(item.n for item in shard.state.items.values())


def test_no_line_holds_more_than_a_bounded_number_of_items() -> None:
    for line in encode_snapshot(take(boxes(5 * LINE_ITEMS))):
        section, value = orjson.loads(line)
        assert section in ("head", "count") or len(value) <= LINE_ITEMS


def test_every_line_is_needed() -> None:
    lines = list(encode_snapshot(take(boxes(3))))
    for missing in range(len(lines)):
        if lines[missing] == b'["pending",[]]\n':
            continue
        decoder = SnapshotDecoder(Boxes())
        for line in (*islice(lines, missing), *lines[missing + 1 :]):
            decoder.take(line)
        with pytest.raises(UnreadableSnapshot, match="missing"):
            decoder.finish()


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b'["gone",{}]', b'["items",{"a":{"n":"x"}}]'])
def test_a_line_that_does_not_fit_is_said(line: bytes) -> None:
    with pytest.raises(UnreadableSnapshot, match="does not fit"):
        SnapshotDecoder(Boxes()).take(line)


def test_a_leader_that_is_ahead_of_its_log_has_no_snapshot() -> None:
    played = History(PLAYERS["event-store"](), 1).play(20)
    played.leader.decide(played._received(played.player.next(played._random, 0)), played.now)
    with pytest.raises(AssertionError, match="ahead of its log"):
        take(played.leader)


# -- schemas ---------------------------------------------------------------------------------------


def schema_with(state: type, outputs: Mapping[str, type] = {}) -> str:
    machine: Any = Boxes()
    machine.initial, machine.outputs = state, outputs
    return schema_of(machine)


def test_another_field_or_type_or_version_is_another_schema() -> None:
    @dataclass
    class One:
        a: int = 0

    @dataclass
    class Two:
        a: str = ""

    @dataclass
    class Three:
        a: int = 0
        b: int = 0

    @dataclass
    class Four:
        VERSION = 2
        a: int = 0

    for cls in (Two, Three, Four):
        cls.__name__ = "One"
    made = {schema_with(cls) for cls in (One, Two, Three, Four)}
    assert len(made) == 4
    assert schema_with(One) in made
    assert schema_with(One, by_wire_name(Item)) not in made


def test_a_derived_field_is_no_matter_of_the_schema() -> None:
    @dataclass
    class Box:
        items: dict[str, Item] = field(default_factory=dict)
        order: OrderedDict[str, int] = field(default_factory=OrderedDict)
        queue: deque[Item] = field(default_factory=deque)
        names: list[str] = field(default_factory=list)
        count: int = 0

    assert schema_with(Box) == schema_of(Boxes())
