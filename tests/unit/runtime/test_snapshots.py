"""Snapshots: written now and then, used when whole, and never trusted more than the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from folkmoot.bus.ports import Record, Stored
from folkmoot.contracts.snapshots import encode_snapshot
from folkmoot.core.kernel import take
from folkmoot.runtime.seat import Role
from folkmoot.runtime.shelf import Manifest, Shelf, records_of, sealed
from folkmoot.testing.eventually import eventually

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import Member, World

EVERY = 20
OFTEN = {"snapshot_every_records": EVERY}
SNAPSHOTS = ("log.snapshots", 0)


def shelf(world: World) -> Shelf:
    read = Shelf(content=True)
    for record in world.storage.partitions[SNAPSHOTS]:
        read.take(record)
    return read


def kept(world: World) -> list[Manifest]:
    return shelf(world).whole()


async def busy(world: World, until: Callable[[], object], timeout_s: float = 60) -> None:
    """Send until something has come of it."""

    async def send() -> None:
        while True:
            world.send(1)
            await asyncio.sleep(0.01)

    sending = asyncio.create_task(send())
    try:
        await eventually(until, timeout_s)
    finally:
        sending.cancel()


async def with_two_snapshots(world: World) -> None:
    """Leave a log, and two snapshots of it, and nobody who runs."""
    world.start("a", timing=OFTEN)
    await world.leader()
    await busy(world, lambda: len(kept(world)) == 2)
    sent = len(world.storage.partitions["in", 0])
    await eventually(lambda: world.history().state.total == sent)
    await world.end()


async def restored(world: World, name: str = "b", **fields: Any) -> Member:
    """Return a new member that has caught up."""
    (member,) = world.start(name, **fields)
    await eventually(lambda: member.replica.role is not Role.RESTORING)
    return member


def spoil_the_beginning(world: World) -> None:
    """Let nobody read the log from its beginning; its first record is the last that a read."""
    log = world.storage.partitions["log", 0]
    log[1] = replace(log[1], headers=())


# -- who writes, and when -------------------------------------------------------------------------


async def test_a_standby_writes_and_its_leader_need_not(world: World) -> None:
    world.start("a", "b", timing=OFTEN)
    leader = await world.leader()
    (standby,) = [m for m in world.members.values() if m is not leader]
    await busy(world, lambda: standby.replica.archive.written >= 4)
    assert leader.replica.archive.written == 0
    assert {manifest.member for manifest in kept(world)} == {standby.name}


async def test_standbys_do_not_write_what_another_has_written(world: World) -> None:
    every = 10 * EVERY  # as far from one read's records as it is in earnest
    world.start("a", "b", "c", "d", timing={"snapshot_every_records": every})
    await world.leader()
    archives = [member.replica.archive for member in world.members.values()]
    await busy(world, lambda: sum(archive.written for archive in archives) >= 8)
    records = world.storage.partitions[SNAPSHOTS]
    uptos = [orjson.loads(r.value or b"")["upto"] for r in records if r.key in (b"a", b"b")]
    assert min(later - earlier for earlier, later in pairwise(uptos)) >= every // 2


async def test_a_leader_that_is_alone_writes_what_its_log_says(world: World) -> None:
    (a,) = world.start("a", timing=OFTEN)
    await busy(world, lambda: a.replica.archive.written >= 2)
    newest, older = kept(world)
    assert newest.upto - older.upto >= 2 * EVERY
    assert a.replica.leads
    assert len(world.terms()) == 1


async def test_bytes_count_as_well(world: World) -> None:
    world.start("a", "b", timing={"snapshot_every_bytes": 20_000})
    await world.leader()
    world.send(*[1] * 10, padding=5_000)
    await eventually(lambda: kept(world))
    assert kept(world)[0].upto < EVERY


async def test_a_snapshot_is_what_a_reader_makes_of_the_log(world: World) -> None:
    await with_two_snapshots(world)
    for manifest in kept(world):
        lines = encode_snapshot(take(world.history(manifest.upto)))
        assert shelf(world).read(manifest) == b"".join(lines)


async def test_who_knows_more_than_the_log_takes_no_snapshot(world: World) -> None:
    """As a leader that handed over does, until its heir has said how far the effects are."""
    (a,) = world.start("a")
    await world.leader()
    world.send(1, 2)
    await world.told(1, 3)
    await a.crash()
    shard, archive = world.history(), a.replica.archive
    archive.note(world.storage.partitions["log", 0])
    assert await archive.draft(shard) is not None
    shard.acknowledge(shard.next_offset + 1)
    assert await archive.draft(shard) is None


async def test_the_topic_holds_two_snapshots_and_nothing_else(world: World) -> None:
    (a,) = world.start("a", timing=OFTEN)
    await busy(world, lambda: a.replica.archive.written >= 5)
    keys = {record.key for record in world.storage.partitions[SNAPSHOTS]}
    assert keys == {b"a", b"a/0", b"b", b"b/0"}
    assert {manifest.place for manifest in kept(world)} == {"a", "b"}


async def test_what_a_writer_left_behind_is_removed(world: World) -> None:
    for key in (b"a/7", b"b/7"):
        world.storage.land(*SNAPSHOTS, [Record(b"...", key, (("snapshot", b"another"),))])
    (a,) = world.start("a", timing=OFTEN)
    await busy(world, lambda: a.replica.archive.written >= 2)
    last = {record.key: record.value for record in world.storage.partitions[SNAPSHOTS]}
    assert (last[b"a/7"], last[b"b/7"]) == (None, None)


@pytest.mark.parametrize("kind", ["lost", "landed", "late"])
async def test_a_snapshot_that_cannot_be_written_disturbs_nobody(world: World, kind: Any) -> None:
    world.start("a", "b", timing=OFTEN)
    leader = await world.leader()
    (standby,) = [m for m in world.members.values() if m is not leader]
    fault = standby.log.fail("log.snapshots", kind)
    await busy(world, fault.hit.is_set)
    fault.gate.set()
    await busy(world, lambda: kept(world))
    assert standby.replica.last_error is None
    assert len(world.terms()) == 1


async def test_without_a_topic_for_them_there_are_no_snapshots(world: World) -> None:
    del world.storage.partitions[SNAPSHOTS]
    (a,) = world.start("a", timing=OFTEN)
    await busy(world, lambda: len(world.records()) > 5 * EVERY)
    assert a.replica.leads
    assert a.replica.last_error is None


# -- restoring ------------------------------------------------------------------------------------


async def test_a_member_starts_from_the_newest_and_reads_what_follows(world: World) -> None:
    await with_two_snapshots(world)
    state = world.history().state
    spoil_the_beginning(world)
    b = await restored(world)
    assert b.replica.role is Role.FOLLOWING
    assert b.replica.shard.state == state
    assert b.replica.archive.newest == kept(world)[0]
    assert b.replica.archive.unreadable == 0


async def test_what_it_goes_on_with_is_what_any_reader_has(world: World) -> None:
    await with_two_snapshots(world)
    b = await restored(world)
    await world.leader()
    world.send(5)
    total = world.history().state.total
    await eventually(lambda: world.history().state.total == total + 5)
    assert b.replica.shard.state == world.history().state
    assert world.received()[-1] == total + 5


Spoiler = Callable[[list[Stored], Manifest], None]


def lose(key: bytes) -> Spoiler:
    def spoil(records: list[Stored], manifest: Manifest) -> None:
        name = key.replace(b"PLACE", manifest.place.encode())
        found = [n for n, record in enumerate(records) if record.key == name]
        records[found[-1]] = replace(records[found[-1]], key=b"x")
        for other in found[:-1]:
            records[other] = replace(records[other], key=b"y")

    return spoil


def alter(change: Callable[[bytes], bytes], key: bytes = b"PLACE/0") -> Spoiler:
    def spoil(records: list[Stored], manifest: Manifest) -> None:
        name = key.replace(b"PLACE", manifest.place.encode())
        for n, record in enumerate(records):
            if record.key == name:
                records[n] = replace(record, value=change(record.value or b""))

    return spoil


def other_schema(records: list[Stored], manifest: Manifest) -> None:
    """Write it again as another version would have."""
    content = shelf_of(records).read(manifest)
    rewritten = sealed(replace(manifest, schema="folkmoot.sum.v2/0"))
    for record in records_of(rewritten, [content]):
        records.append(Stored(len(records), 0, record.value, record.key, record.headers))


def shelf_of(records: list[Stored]) -> Shelf:
    read = Shelf(content=True)
    for record in records:
        read.take(record)
    return read


def interrupted(records: list[Stored], manifest: Manifest) -> None:
    """Let another writer have begun to overwrite it."""
    header = (("snapshot", b"another"),)
    records.append(Stored(len(records), 0, b"...", f"{manifest.place}/0".encode(), header))


SPOILERS: dict[str, Spoiler] = {
    "chunk missing": lose(b"PLACE/0"),
    "chunk truncated": alter(lambda value: value[: len(value) // 2]),
    "bit flipped": alter(lambda value: value[:50] + bytes([value[50] ^ 1]) + value[51:]),
    "state altered": alter(lambda value: value.replace(b'["rang",[]]', b'["rang",[7]]')),
    "manifest altered": alter(lambda value: value.replace(b'"upto":', b'"upto":1'), b"PLACE"),
    "manifest of another log": alter(
        lambda value: orjson.dumps(orjson.loads(value) | {"last": "0"}), b"PLACE"
    ),
    "overwriting interrupted": interrupted,
    "another schema": other_schema,
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
async def test_a_spoilt_snapshot_is_passed_over_for_the_older(
    world: World, spoil: Spoiler, caplog: pytest.LogCaptureFixture
) -> None:
    await with_two_snapshots(world)
    state, (newest, older) = world.history().state, kept(world)
    spoil(world.storage.partitions[SNAPSHOTS], newest)
    spoil_the_beginning(world)
    b = await restored(world)
    assert b.replica.archive.newest == older
    assert b.replica.shard.state == state
    assert b.replica.archive.unreadable == 1
    assert "is passed over" in caplog.text


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
async def test_if_both_are_spoilt_the_whole_log_is_read(world: World, spoil: Spoiler) -> None:
    await with_two_snapshots(world)
    state = world.history().state
    for manifest in kept(world):
        spoil(world.storage.partitions[SNAPSHOTS], manifest)
    b = await restored(world)
    assert b.replica.shard.state == state
    assert b.replica.archive.newest is None
    assert b.replica.archive.unreadable == 2
    assert state.total > 0


async def test_a_spoilt_snapshot_is_overwritten_and_not_the_whole_one(world: World) -> None:
    await with_two_snapshots(world)
    newest, older = kept(world)
    SPOILERS["chunk missing"](world.storage.partitions[SNAPSHOTS], newest)
    (b,) = world.start("b", timing=OFTEN)
    await busy(world, lambda: b.replica.archive.written == 1)
    assert kept(world)[1] == older


async def test_a_leader_over_a_gap_restores_from_before_its_own_entry(world: World) -> None:
    (a,) = world.start("a", timing=OFTEN)
    await busy(world, lambda: kept(world))
    sent = len(world.storage.partitions["in", 0])
    await eventually(lambda: world.history().state.total == sent)
    spoil_the_beginning(world)
    world.claim_in_vain()
    world.send(2)
    await eventually(lambda: a.performed[-1][0] == 2)
    assert len(a.performed) == sent + 1
    assert len(world.terms()) == 1
    assert a.replica.shard.state == world.history().state


async def test_a_snapshot_of_what_a_leader_just_wrote_is_not_what_it_restores(
    world: World,
) -> None:
    """Else it would not make the requests of the entries that the snapshot covers."""
    world.start("a", "b", timing=OFTEN)
    leader = await world.leader()
    await busy(world, lambda: len(kept(world)) == 2)
    sent = len(world.storage.partitions["in", 0])
    await eventually(lambda: len(leader.performed) == sent)
    world.claim_in_vain()
    slow = leader.log.fail("log", "unanswered")
    world.send(*[1] * 3 * EVERY)
    await slow.hit.wait()
    end = len(world.records())
    await eventually(lambda: kept(world)[0].upto == end)
    slow.gate.set()
    await eventually(lambda: len(leader.performed) >= sent + 3 * EVERY)
    assert len(leader.performed) == sent + 3 * EVERY
    assert len(world.terms()) == 1


# -- another log ----------------------------------------------------------------------------------


async def assert_halted(member: Member, why: str) -> None:
    await eventually(lambda: member.replica.role is Role.HALTED)
    assert why in str(member.replica.last_error)


@pytest.mark.parametrize("records", [0, 3, 1_000])
async def test_a_log_made_anew_while_nobody_ran_is_refused(world: World, records: int) -> None:
    await with_two_snapshots(world)
    old = world.storage.partitions["log", 0]
    world.storage.make_anew("log", 0)
    world.storage.land("log", 0, [Record(r.value, r.key, r.headers) for r in old[1:]][:records])
    (b,) = world.start("b")
    await assert_halted(b, "does not hold the record any more")
    assert b.replica.shard.state.total == 0


@pytest.mark.parametrize("records", [0, 3, 1_000])
async def test_a_log_made_anew_during_an_outage_is_refused(world: World, records: int) -> None:
    world.start("a", "b")
    leader = await world.leader()
    world.send(*range(1, 50))
    (standby,) = [m for m in world.members.values() if m is not leader]
    await eventually(lambda: standby.replica.shard.state.total == sum(range(1, 50)))
    await leader.crash()
    standby.log.down = True
    await eventually(lambda: standby.replica.last_error is not None)
    old = world.storage.partitions["log", 0]
    world.storage.make_anew("log", 0)
    world.storage.land("log", 0, [Record(r.value, r.key, r.headers) for r in old[1:]][:records])
    standby.log.down = False
    standby.roles.clear()
    await assert_halted(standby, "does not hold the record any more")
    assert Role.FOLLOWING not in standby.roles


async def test_a_log_made_anew_under_a_standby_halts_it(world: World) -> None:
    world.start("a", "b")
    leader = await world.leader()
    world.send(1, 2, 3)
    await world.told(1, 3, 6)
    (standby,) = [m for m in world.members.values() if m is not leader]
    await leader.crash()
    world.storage.make_anew("log", 0)
    await assert_halted(standby, "the log ends at 0")


async def test_a_log_made_anew_and_grown_further_is_found_before_anybody_leads_on_it_for_long(
    world: World,
) -> None:
    world.start("a", "b")
    leader = await world.leader()
    world.send(1, 2, 3)
    await world.told(1, 3, 6)
    (standby,) = [m for m in world.members.values() if m is not leader]
    await leader.crash()
    old = world.storage.partitions["log", 0]
    world.storage.make_anew("log", 0)
    grown = [*old[1:], *old]
    world.storage.land("log", 0, [Record(r.value, r.key, r.headers) for r in grown])
    await assert_halted(standby, "does not hold the record any more")


async def test_a_log_made_anew_under_a_leader_halts_it(world: World) -> None:
    (a,) = world.start("a")
    await world.leader()
    world.send(1, 2, 3)
    await world.told(1, 3, 6)
    world.storage.make_anew("log", 0)
    world.send(4)
    await assert_halted(a, "the log was truncated, or its topic made anew")
    assert world.received() == [1, 3, 6]


# -- the shelf ------------------------------------------------------------------------------------


def manifest(place: str, upto: int, chunks: int) -> Manifest:
    return sealed(Manifest("", place, upto, "", "s", "", chunks, 0, "m", 0))


def test_writers_that_overwrite_each_other_spoil_one_place_only() -> None:
    good, one, other = (manifest("b", 1, 2), manifest("a", 2, 3), manifest("a", 3, 2))
    records = records_of(good, [b"x", b"y"])
    ones, others = records_of(one, [b"1", b"2", b"3"]), records_of(other, [b"4", b"5"])
    records += [ones[0], others[0], ones[1], ones[2], others[1], others[2], ones[3]]
    read = Shelf(content=True)
    for offset, record in enumerate(records):
        read.take(Stored(offset, 0, record.value, record.key, record.headers))
    assert read.whole() == [good]
    assert read.broken() == [one]
    assert read.free_place() == "a"


def test_what_a_larger_one_left_is_dropped() -> None:
    larger, smaller = manifest("a", 1, 3), manifest("a", 2, 1)
    read = Shelf(content=True)
    for record in records_of(larger, [b"1", b"2", b"3"]):
        read.take(Stored(read.next_offset, 0, record.value, record.key, record.headers))
    assert read.leftovers(smaller) == [b"a/1", b"a/2"]
    for key in read.leftovers(smaller):
        read.take(Stored(read.next_offset, 0, None, key))
    assert read.whole() == []
