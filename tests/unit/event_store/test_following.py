"""Only what counts by the reader's rule is history, wherever reading began."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from folkmoot.bus.ports import Stored
from folkmoot.contracts.codec import UnreadableRecord
from folkmoot.core.event_store import EventsAppended
from folkmoot.core.messages import NewEvent
from folkmoot.event_store.following import Follower
from folkmoot.event_store.index import Index

if TYPE_CHECKING:
    from tests.unit.event_store.conftest import ShardLog


def late(version: int) -> EventsAppended:
    return EventsAppended("order-1", "late", version, (NewEvent("Noted", "late", "e"),))


def events(index: Index) -> list[int]:
    return [event.offset for event in index.read("order-1").events]


@pytest.mark.parametrize("at_a_time", [1, 2, 100])
def test_what_a_deposed_leader_wrote_late_never_happened(
    index: Index, log: ShardLog, at_a_time: int
) -> None:
    term = log.lead("m")
    first = log.append("order-1", "a")
    log.lead("n")
    log.entry(late(2), term=term)
    second = log.append("order-1", "b")
    log.feed(index, at_a_time)
    assert events(index) == [first, second]
    assert index.append_status("order-1", "late") is None


def test_who_leads_is_remembered_across_a_restart(tmp_path: Path, log: ShardLog) -> None:
    term = log.lead("m")
    first = log.append("order-1", "a")
    log.lead("n")
    before = Index(tmp_path)
    log.feed(before)
    before.close()
    log.entry(late(2), term=term)
    second = log.append("order-1", "b")
    after = Index(tmp_path)
    log.feed(after)
    assert events(after) == [first, second]
    after.close()


def test_records_that_carry_no_events_still_count_as_read(index: Index, log: ShardLog) -> None:
    log.lead()
    log.beat()
    log.feed(index)
    assert index.positions() == {(log.topic, 0): 2}
    assert index.streams() == []


def test_records_may_come_twice(index: Index, log: ShardLog) -> None:
    log.append("order-1", "a", "b")
    follower = Follower(index, log.topic, log.partition)
    for _ in range(3):
        follower.take(log.records)
    assert index.version("order-1") == 2
    assert follower.next_offset == 2


def test_nothing_is_taken_in_beyond_a_gap(index: Index, log: ShardLog) -> None:
    for n in range(3):
        log.append("order-1", n)
    follower = Follower(index, log.topic, log.partition)
    unreadable = Stored(9, 0, b"", None, ())
    follower.take([*log.records[:2], *log.records[3:], unreadable])
    assert (follower.next_offset, index.version("order-1")) == (2, 1)


def test_it_starts_at_the_last_record_it_knows(index: Index, log: ShardLog) -> None:
    follower = Follower(index, log.topic, log.partition)
    assert follower.start(0) == 0
    log.append("order-1", "a")
    follower.take(log.records)
    assert (follower.start(log.end), follower.next_offset) == (1, 2)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"[]", ()),
        (b"[]", (("folkmoot", b"{}"),)),
        (b"[{", None),
        (b'[{"type": "folkmoot.events-appended.v1", "data": {}}]', None),
        (b"\xff", None),
    ],
)
def test_a_record_that_no_shard_writes_stops_the_reading_there(
    index: Index, log: ShardLog, value: bytes, headers: tuple[tuple[str, bytes], ...] | None
) -> None:
    log.append("order-1", "a")
    good = log.records[1]
    bad = Stored(2, 0, value, None, good.headers if headers is None else headers)
    follower = Follower(index, log.topic, log.partition)
    with pytest.raises(UnreadableRecord):
        follower.take([*log.records, bad, replace(good, offset=3)])
    assert (follower.next_offset, index.version("order-1")) == (2, 1)
