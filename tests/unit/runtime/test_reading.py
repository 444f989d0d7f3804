"""Bad input, bad logs, logs out of reach: what a replica makes of what it reads, or cannot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from folkmoot.bus.ports import Record
from folkmoot.contracts.codec import encode_record
from folkmoot.core.kernel import Beat, Claim, Mark, Verdict
from folkmoot.runtime.seat import Role
from folkmoot.runtime.term import ENTRY_BYTES_MAX
from folkmoot.testing.eventually import eventually

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

TTL_S = 0.3


def won(world: World) -> list[int]:
    return [o for o, (_, verdict) in enumerate(world.verdicts()) if verdict is Verdict.WON]


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [1, 3])
async def test_an_input_that_breaks_the_machine_becomes_one_dead_letter(
    world: World, replicas: int
) -> None:
    world.start(*"abc"[:replicas])
    world.send(1, 1_000_000, 2)
    await world.told(1, 3)
    (letter,) = await eventually(world.letters)
    assert (letter.topic, letter.offset, letter.reason) == ("in", 1, "defect")
    assert letter.detail == "ValueError: poison"
    assert letter.type == "folkmoot.add.v1"
    await (await world.leader()).crash()
    world.start("last")
    world.send(3)
    await world.told(1, 3, 6)
    assert len(world.letters()) == 1


async def test_a_decision_too_large_for_the_log_becomes_a_dead_letter(world: World) -> None:
    world.start("a", "b")
    world.send(1)
    world.send(2, padding=ENTRY_BYTES_MAX)
    world.send(3)
    await world.told(1, 4)
    (letter,) = await eventually(world.letters)
    assert (letter.offset, letter.reason) == (1, "defect")
    assert "over 1,000,000" in letter.detail


async def test_bad_records_become_dead_letters_and_the_next_is_decided(world: World) -> None:
    world.start("a")
    world.storage.land("in", 0, [Record(b"not json"), Record(None)])
    odd = Record(b"{}", None, (("ce_type", b"\xff"), ("origin", b"\xff")))
    world.storage.land("in", 0, [odd])
    world.send(-1, 5)
    await world.told(5)
    letters = await eventually(lambda: world.letters() if len(world.letters()) == 4 else None)
    assert letters is not None
    reasons = [letter.reason for letter in letters]
    assert reasons == ["not-json", "empty", "unknown-type", "negative"]


async def test_ten_poisoned_inputs_in_a_row(world: World) -> None:
    world.start("a")
    world.send(*[1_000_000] * 10, 1)
    await world.told(1)
    await eventually(lambda: len(world.letters()) == 10)


async def test_a_poisoned_effect_that_is_sent_again_is_put_aside_once(world: World) -> None:
    world.start("a")
    world.send_from_shard(1_000_000, Mark(3, 0))
    world.send_from_shard(1_000_000, Mark(3, 0))
    world.send(1)
    await world.told(1)
    assert len([entry for entry in world.entries() if "InputRejected" in str(entry)]) == 1


async def test_a_replica_is_being_restored_until_it_has_read_all_there_was(world: World) -> None:
    written = [encode_record(Claim("gone", 0, -1, -1), "log/0", 0)]
    written += [encode_record(Beat(0, n), "log/0", n) for n in range(5_000)]
    world.storage.land("log", 0, [Record(value, None, headers) for value, headers in written])
    seen: list[tuple[Role, int]] = []
    (a,) = world.start(
        "a", on_role=lambda role: seen.append((role, world.members["a"].replica.shard.next_offset))
    )
    await world.leader()
    assert seen == [(Role.FOLLOWING, 5_001), (Role.LEADING, 5_002)]
    assert a.replica.shard.leadership.term == 5_001


# -- the log itself -------------------------------------------------------------------------------


FOREIGN = Record(b"hello", None, (("folkmoot", b"{}"),))
NEWER = Record(
    b'[{"type":"folkmoot.subtracted.v1","data":{}}]',
    None,
    (("folkmoot", b'{"kind":"entry","term":0,"at":0}'),),
)


@pytest.mark.parametrize(
    ("record", "why"),
    [(FOREIGN, "not a shard's log record"), (NEWER, "'folkmoot.subtracted.v1', which this vers")],
)
async def test_a_log_that_cannot_be_read_halts_a_replica_and_it_says_why(
    world: World, record: Record, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.storage.land("log", 0, [record])
    (a,) = world.start("a")
    await eventually(lambda: a.replica.role is Role.HALTED)
    assert why in (a.replica.last_error or "")
    assert why in caplog.text
    await asyncio.sleep(10 * TTL_S)
    assert len(world.storage.partitions["log", 0]) == 1
    with pytest.raises(Exception, match="is not led here"):
        await a.replica.submit("x")
    await a.stop()


async def test_a_corrupt_log_halts_its_readers(world: World) -> None:
    (a,) = world.start("a")
    await world.leader()
    a.log.corrupt = True
    await eventually(lambda: a.replica.role is Role.HALTED)
    assert a.replica.last_error is not None
    assert "restore it from a copy" in a.replica.last_error
    a.log.corrupt = False
    await asyncio.sleep(5 * TTL_S)
    assert a.replica.role is Role.HALTED
    await a.stop()


async def test_a_halted_replica_can_be_killed(world: World) -> None:
    world.storage.land("log", 0, [FOREIGN])
    (a,) = world.start("a")
    await eventually(lambda: a.replica.role is Role.HALTED)
    await a.crash()


async def test_silence_does_not_count_while_the_log_is_out_of_reach(world: World) -> None:
    a, b = world.start("a", "b")
    leader = await world.leader()
    follower = b if leader is a else a
    await asyncio.sleep(TTL_S)
    follower.log.down = True
    await asyncio.sleep(5 * TTL_S)
    follower.log.down = False
    await asyncio.sleep(5 * TTL_S)
    assert len(won(world)) == 1
    assert follower.replica.role is Role.FOLLOWING


async def test_an_outage_of_all_costs_time_and_nothing_else(world: World) -> None:
    members = world.start("a", "b", "c")
    await world.leader()
    world.send(1)
    await world.told(1)
    for member in members:
        member.log.down = True
    world.send(2, 3)
    before = len(world.storage.partitions["log", 0])
    await asyncio.sleep(5 * TTL_S)
    assert len(world.storage.partitions["log", 0]) == before
    for member in members:
        member.log.down = False
    await world.told(1, 3, 6)
    await world.decided(1, 2, 3)
    assert sum(member.leads for member in members) == 1


async def test_a_follower_that_was_stalled_does_not_take_its_own_silence_for_the_leaders(
    world: World,
) -> None:
    a, b = world.start("a", "b")
    leader = await world.leader()
    follower = b if leader is a else a
    await asyncio.sleep(TTL_S)

    stalled, follower.log.stall_s = follower.log.stall_s, 3 * TTL_S
    await asyncio.sleep(4 * TTL_S)
    follower.log.stall_s = stalled
    await asyncio.sleep(3 * TTL_S)
    assert [v for r, v in world.verdicts() if isinstance(r, Claim)] == [Verdict.WON]


async def test_no_appender_is_left_open_while_a_topic_is_missing(world: World) -> None:
    del world.storage.partitions["log", 0]
    (a,) = world.start("a")
    await asyncio.sleep(5)
    assert a.log.open <= 2
    assert a.replica.role is Role.RESTORING
    assert a.replica.last_error == "there is no partition 0 of topic 'log'"
    world.storage.partitions["log", 0] = []
    world.send(1)
    await world.told(1)


async def test_a_missing_inbox_is_waited_for(world: World) -> None:
    inbox = world.storage.partitions.pop(("in", 0))
    (a,) = world.start("a")
    await asyncio.sleep(2)
    assert a.replica.last_error == "there is no partition 0 of topic 'in'"
    world.storage.partitions["in", 0] = inbox
    world.send(1)
    await world.told(1)


async def test_replicas_of_a_process_are_restored_a_few_at_a_time(world: World) -> None:
    world.start("first")
    world.send(1, 2, 3)
    await world.told(1, 3, 6)
    places = asyncio.Semaphore(1)
    await places.acquire()
    (second,) = world.start("second", restoring=places)
    await asyncio.sleep(1)
    assert second.replica.role is Role.RESTORING
    assert second.replica.shard.next_offset == 0
    places.release()
    await eventually(lambda: second.replica.role is Role.FOLLOWING)
    assert second.replica.shard.state.amounts == [1, 2, 3]
    await eventually(lambda: not places.locked())
