"""A shard as leader and as standby: what is decided once, what stays pending, what is equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.kernel import (
    DEAD_LETTERS,
    AppendedElsewhere,
    Claim,
    DeadLetter,
    Effect,
    Entry,
    InputRejected,
    Local,
    LogRecord,
    LogTruncated,
    Mark,
    Position,
    Received,
    Refused,
    Send,
    Shard,
    Undecodable,
    Verdict,
)


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Added:
    amount: int


@dataclass
class Sum:
    total: int = 0
    applied: list[tuple[int, int]] = field(default_factory=list)


class Adder:
    """Sends its total on, and refuses negative amounts; zero changes nothing."""

    name = "adder"
    inputs: Mapping[str, type] = {"add": Add}
    events: Mapping[str, type] = {"added": Added}
    outputs: Mapping[str, type] = {}

    def initial(self) -> Sum:
        return Sum()

    def decide(self, state: Sum, message: object, now: int) -> Sequence[object]:
        assert isinstance(message, Add)
        if message.amount < 0:
            raise Refused("negative", f"{message.amount} is below zero")
        return [Added(message.amount)] if message.amount else []

    def apply(self, state: Sum, event: object, position: Position) -> Sequence[Effect]:
        assert isinstance(event, Added)
        state.total += event.amount
        state.applied.append((position.offset, event.amount))
        return [Send("totals", state.total), Local(event.amount)]

    def due(self, state: Sum) -> int | None:
        return None


class Pair:
    """A leader, a standby, and the log between them."""

    def __init__(self) -> None:
        self.log: list[LogRecord] = []
        self.leader, self.standby = Shard(Adder(), "a"), Shard(Adder(), "b")
        self.append([self.leader.claim(0)])
        self.follow(self.leader)

    def append(self, records: Sequence[LogRecord]) -> int:
        self.log += records
        return len(self.log) - len(records)

    def follow(self, shard: Shard[Sum]) -> None:
        while shard.next_offset < len(self.log):
            shard.observe(shard.next_offset, self.log[shard.next_offset])

    def decide(self, *inputs: Received, now: int = 1) -> list[Local]:
        entries = [e for each in inputs if (e := self.leader.decide(each, now)) is not None]
        return self.leader.commit(self.append(entries), len(entries))


def from_topic(offset: int, amount: int) -> Received:
    return Received(Add(amount), "inbox", offset)


def from_shard(offset: int, amount: int, mark: Mark) -> Received:
    return Received(Add(amount), "inbox", offset, "other.log/0", mark)


def test_a_standby_equals_the_leader() -> None:
    pair = Pair()
    pair.decide(from_topic(0, 2), from_topic(1, 3), now=5)
    pair.decide(from_topic(2, 4), now=3)
    pair.follow(pair.standby)
    assert pair.standby.state == pair.leader.state
    assert pair.leader.state.applied == [(1, 2), (2, 3), (3, 4)]
    assert list(pair.standby.pending) == list(pair.leader.pending)
    assert pair.standby.consumed == pair.leader.consumed == {"inbox": 3}


def test_log_time_never_runs_backwards() -> None:
    pair = Pair()
    pair.decide(from_topic(0, 2), now=50)
    pair.decide(from_topic(1, 2), now=20)
    times = [record.at for record in pair.log if isinstance(record, Entry)]
    assert times == [50, 50]


def test_an_input_is_decided_once() -> None:
    pair = Pair()
    pair.decide(from_topic(0, 2))
    pair.decide(from_topic(0, 2))
    assert pair.leader.state.total == 2


def test_an_effect_received_again_at_another_offset_is_dropped() -> None:
    pair = Pair()
    pair.decide(from_shard(0, 2, Mark(7, 0)), from_shard(1, 3, Mark(7, 1)))
    pair.decide(from_shard(2, 2, Mark(7, 0)), from_shard(3, 3, Mark(7, 1)))
    assert pair.leader.state.total == 5
    pair.decide(from_shard(4, 9, Mark(8, 0)))
    assert pair.leader.state.total == 14


def test_the_watermark_survives_a_fail_over() -> None:
    pair = Pair()
    pair.decide(from_shard(0, 2, Mark(7, 0)))
    pair.follow(pair.standby)
    assert pair.standby.is_duplicate(from_shard(5, 2, Mark(7, 0)))
    assert not pair.standby.is_duplicate(from_shard(5, 2, Mark(7, 1)))


def test_what_changed_nothing_is_logged_as_consumed_with_the_next_record() -> None:
    pair = Pair()
    pair.decide(from_topic(0, 0))
    assert len(pair.log) == 1
    pair.leader.commit(pair.append([pair.leader.beat(1)]), 1)
    pair.follow(pair.standby)
    assert pair.standby.consumed == {"inbox": 1}


def test_local_effects_come_with_the_commit_and_only_on_the_leader() -> None:
    pair = Pair()
    entry = pair.leader.decide(from_topic(0, 2), 1)
    assert entry is not None
    assert not pair.leader.pending
    assert pair.leader.commit(pair.append([entry]), 1) == [Local(2)]
    assert [pending.send for pending in pair.leader.pending] == [Send("totals", 2)]


def test_effects_stay_pending_until_the_log_says_that_they_were_acknowledged() -> None:
    pair = Pair()
    pair.decide(from_topic(0, 2), from_topic(1, 3))
    pair.leader.acknowledge(1)
    pair.follow(pair.standby)
    assert [pending.mark.offset for pending in pair.leader.pending] == [2]
    assert [pending.mark.offset for pending in pair.standby.pending] == [1, 2]
    pair.decide(from_topic(2, 4))
    pair.follow(pair.standby)
    assert [pending.mark.offset for pending in pair.standby.pending] == [2, 3]


def test_a_leader_notices_that_somebody_wrote_in_between() -> None:
    pair = Pair()
    entry = pair.leader.decide(from_topic(0, 2), 1)
    assert entry is not None
    pair.append([Claim("b", 0, 0, 0)])
    with pytest.raises(AppendedElsewhere):
        pair.leader.commit(pair.append([entry]), 1)


def test_a_fenced_entry_changes_nobody() -> None:
    pair = Pair()
    pair.follow(pair.standby)
    pair.append([pair.standby.claim(1)])
    late = pair.leader.decide(from_topic(0, 2), 1)
    assert late is not None
    offset = pair.append([late])
    pair.follow(pair.standby)
    assert pair.standby.leads
    assert pair.standby.state == Sum()
    assert Shard(Adder(), "c").observe(0, pair.log[0]) is Verdict.WON
    assert pair.standby.next_offset == offset + 1


def test_bad_input_becomes_one_dead_letter_and_the_next_is_decided() -> None:
    pair = Pair()
    bad = Received(Undecodable("not-json", "not JSON", excerpt="xx"), "inbox", 0)
    pair.decide(bad, from_topic(1, -1), from_topic(2, 5))
    pair.decide(bad)
    sent = [pending.send for pending in pair.leader.pending]
    letters = [send.message for send in sent if send.topic == DEAD_LETTERS]
    assert letters == [
        DeadLetter("inbox", 0, "not-json", "not JSON", "", "xx"),
        DeadLetter("inbox", 1, "negative", "-1 is below zero", "folkmoot.add.v1"),
    ]
    assert pair.leader.state.total == 5
    assert isinstance(pair.log[1], Entry)
    assert isinstance(pair.log[1].events[0], InputRejected)


def test_a_gap_in_the_log_is_an_error_and_not_a_guess() -> None:
    shard = Shard(Adder(), "a")
    shard.observe(0, Claim("a", 0, -1, -1))
    with pytest.raises(LogTruncated):
        shard.observe(2, Claim("a", 0, -1, -1))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(-1, 3), st.sampled_from(["decide", "follow"])),
        max_size=40,
    )
)
def test_replaying_the_log_gives_the_state_of_the_leader(
    steps: list[tuple[int, int, str]],
) -> None:
    pair = Pair()
    for offset, (repeats, amount, action) in enumerate(steps):
        batch = [from_topic(max(0, offset - repeats), amount), from_topic(offset, amount)]
        pair.decide(*batch)
        if action == "follow":
            pair.leader.acknowledge(pair.leader.next_offset - 1)
            pair.follow(pair.standby)
    pair.leader.commit(pair.append([pair.leader.beat(9)]), 1)
    fresh = Shard(Adder(), "c")
    pair.follow(fresh)
    pair.follow(pair.standby)
    for replica in (fresh, pair.standby):
        assert replica.state == pair.leader.state
        assert replica.consumed == pair.leader.consumed
        assert list(replica.pending) == list(pair.leader.pending)
