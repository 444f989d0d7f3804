"""What is written to the log, what is deleted from it, and that nothing durable is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson
import pytest

from folkmoot.bus.ports import Appender, AppendUncertain, Record
from folkmoot.contracts.topics import KNOWLEDGE
from folkmoot.core.crdt import MESSAGE_BYTES_MAX, Delta, GCounter, ORSet, Replica, encode
from folkmoot.sdk.knowledge import RECORDS_MAX, keeping, read_all
from folkmoot.sdk.knowledge.keeping import Keeper
from folkmoot.sdk.knowledge.reading import Reader
from folkmoot.testing.faulty_log import FaultyLog, Storage


class Writer:
    """One incarnation of a replica, and what it writes, with nothing in the background."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.log = FaultyLog(storage)
        self.replica = Replica(name)
        self.reader = Reader(self.log, self.replica)
        self.keeper = Keeper(self.log, self.replica, self.reader)

    @property
    def facts(self) -> ORSet:
        return self.replica.document("facts", ORSet)

    def add(self, *values: Any) -> None:
        self.keeper.changed(
            "facts", self.replica.mutate("facts", ORSet, lambda facts: facts.add(*values))
        )

    def remove(self, *values: Any) -> None:
        self.keeper.changed(
            "facts", self.replica.mutate("facts", ORSet, lambda facts: facts.remove(*values))
        )

    async def write(self, values: Sequence[Any]) -> None:
        for value in values:
            self.add(value)
            await self.keeper.flush()


@pytest.fixture
def storage() -> Storage:
    return Storage({KNOWLEDGE: 1})


def living(storage: Storage) -> dict[bytes, bytes]:
    """What compaction leaves."""
    last = {record.key: record.value for record in storage.partitions[KNOWLEDGE, 0]}
    return {key or b"": value for key, value in last.items() if value is not None}


async def kept(storage: Storage) -> list[Any]:
    """What is known of the facts to who reads what compaction leaves."""
    compacted, whole = Storage({KNOWLEDGE: 1}), Storage({KNOWLEDGE: 1})
    compacted.land(KNOWLEDGE, 0, [Record(value, key) for key, value in living(storage).items()])
    whole.partitions[KNOWLEDGE, 0] = list(storage.partitions[KNOWLEDGE, 0])  # some lands late
    found = (await read_all(FaultyLog(compacted))).get("facts")
    assert found == (await read_all(FaultyLog(whole))).get("facts")
    return [] if found is None else list(found.value)


async def test_a_flush_writes_once_what_changed_since_the_last(storage: Storage) -> None:
    writer = Writer(storage, "a")
    writer.add("x")
    writer.add("y")
    await writer.keeper.flush()
    await writer.keeper.flush()
    writer.add("z")
    await writer.keeper.flush()
    assert list(living(storage)) == [b"facts/a/1", b"facts/a/2"]
    assert orjson.loads(living(storage)[b"facts/a/2"])["state"]["living"] == [["a", 3, "z", None]]


async def test_a_flush_that_fails_is_made_up_for_by_the_next(storage: Storage) -> None:
    writer = Writer(storage, "a")
    writer.log.fail(KNOWLEDGE, "lost")
    writer.add("x")
    with pytest.raises(AppendUncertain):
        await writer.keeper.flush()
    writer.add("y")
    await writer.keeper.flush()
    assert await kept(storage) == ["x", "y"]


async def test_a_flush_that_is_cancelled_is_made_up_for_by_the_next(storage: Storage) -> None:
    writer = Writer(storage, "a")
    fault = writer.log.fail(KNOWLEDGE, "held")
    writer.add("x")
    flushing = asyncio.create_task(writer.keeper.flush())
    await fault.hit.wait()
    flushing.cancel()
    await asyncio.wait([flushing])
    assert await kept(storage) == []
    await writer.keeper.flush()
    assert await kept(storage) == ["x"]


async def test_an_append_that_lands_after_all_brings_nothing_back(storage: Storage) -> None:
    writer = Writer(storage, "a")
    fault = writer.log.fail(KNOWLEDGE, "late")
    writer.add("x")
    with pytest.raises(AppendUncertain):
        await writer.keeper.flush()
    writer.remove("x")
    await writer.keeper.flush()
    fault.gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(living(storage)) == 2
    assert await kept(storage) == []


async def test_a_flush_waits_for_the_one_that_is_under_way(storage: Storage) -> None:
    writer = Writer(storage, "a")
    fault = writer.log.fail(KNOWLEDGE, "held")
    writer.add("x")
    first = asyncio.create_task(writer.keeper.flush())
    await fault.hit.wait()
    second = asyncio.create_task(writer.keeper.flush())
    await asyncio.sleep(0)
    assert not second.done()
    fault.gate.set()
    await asyncio.gather(first, second)
    assert await kept(storage) == ["x"]


async def test_what_is_too_large_for_a_record_is_written_in_parts(storage: Storage) -> None:
    writer = Writer(storage, "a")
    values = [f"{n}" + "x" * 60_000 for n in range(20)]
    writer.add(*values)
    await writer.keeper.flush()
    assert len(living(storage)) == 3
    assert all(len(value) <= MESSAGE_BYTES_MAX for value in living(storage).values())
    assert await kept(storage) == sorted(values)


async def test_many_records_become_one_whoever_wrote_them(storage: Storage) -> None:
    a, b = Writer(storage, "a"), Writer(storage, "b")
    await b.write(range(10))
    await a.reader.catch_up()
    await a.write(range(100, 100 + RECORDS_MAX - 10))
    await a.keeper.consolidate()
    assert len(living(storage)) == RECORDS_MAX, "not yet too many"
    a.remove(5)
    await a.keeper.flush()
    await a.keeper.consolidate()
    assert list(living(storage)) == [f"facts/a/{RECORDS_MAX - 10 + 2}".encode()]
    assert set(await kept(storage)) == {*range(10), *range(100, 154)} - {5}


async def test_who_reads_on_forgets_what_others_deleted(storage: Storage) -> None:
    a, b = Writer(storage, "a"), Writer(storage, "b")
    await a.write(range(RECORDS_MAX + 1))
    await b.reader.catch_up()
    await a.keeper.consolidate()
    await b.reader.catch_up()
    assert b.reader.records["facts"] == set(living(storage))


async def test_records_of_the_dead_are_consolidated_by_who_comes_after(storage: Storage) -> None:
    for incarnation in range(10):
        await Writer(storage, f"a-{incarnation}").write([f"{incarnation}/{n}" for n in range(10)])
    last = Writer(storage, "a-last")
    await last.reader.catch_up()
    await last.write(["x"])
    await last.keeper.consolidate()
    assert len(living(storage)) == 1
    assert len(await kept(storage)) == 101


async def test_nothing_is_consolidated_by_who_has_written_nothing(storage: Storage) -> None:
    writer, reader = Writer(storage, "a"), Writer(storage, "b")
    await writer.write(range(RECORDS_MAX + 1))
    await reader.reader.catch_up()
    await reader.keeper.consolidate()
    assert len(living(storage)) == RECORDS_MAX + 1


async def test_a_large_whole_is_not_written_again_for_each_change(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "RECORDS_MAX", 4)
    writer = Writer(storage, "a")
    writer.add(*(f"{n}" + "x" * 60_000 for n in range(60)))
    await writer.keeper.flush()
    await writer.keeper.consolidate()
    before = len(storage.partitions[KNOWLEDGE, 0])
    for n in range(4):
        await writer.write([n])
        await writer.keeper.consolidate()
    assert len(storage.partitions[KNOWLEDGE, 0]) == before + 4


@pytest.mark.parametrize("failing", [0, 1], ids=["the whole", "the deletions"])
@pytest.mark.parametrize("lands", [False, True])
async def test_a_consolidation_that_fails_loses_nothing_and_is_made_up_for(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, failing: int, lands: bool
) -> None:
    writer = Writer(storage, "a")
    await writer.write(range(RECORDS_MAX + 1))
    await writer.keeper.close()
    appender, calls = writer.log.appender, list[str]()

    class Faulty:
        def __init__(self, real: Appender) -> None:
            self.close, self._append = real.close, real.append

        async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
            calls.append(topic)
            fails = len(calls) == failing + 1
            if not fails or lands:
                await self._append(topic, partition, records)
            if fails:
                raise AppendUncertain("not acknowledged")
            return 0

    async def faulty() -> Appender:
        return Faulty(await appender())

    monkeypatch.setattr(writer.log, "appender", faulty)
    with pytest.raises(AppendUncertain):
        await writer.keeper.consolidate()
    assert len(await kept(storage)) == RECORDS_MAX + 1
    await writer.reader.catch_up()
    await writer.write(["x"])
    await writer.keeper.consolidate()
    assert len(await kept(storage)) == RECORDS_MAX + 2
    assert len(living(storage)) <= 3


async def test_records_that_are_none_are_counted_skipped_and_kept(storage: Storage) -> None:
    bad = [
        Record(b"no json", b"facts/x/1"),
        Record(b"{}", b"facts/x/2"),
        Record(b"", b"\xff/x/3"),
        Record(orjson.dumps(encode(Delta("other", GCounter()))), b"facts/x/4"),
        Record(orjson.dumps({**encode(Delta("facts", ORSet())), "version": 2}), b"facts/x/5"),
        Record(b"null"),
    ]
    storage.land(KNOWLEDGE, 0, bad)
    writer = Writer(storage, "a")
    await writer.reader.catch_up()
    assert writer.reader.unreadable == len(bad)
    await writer.write(range(RECORDS_MAX + 1))
    await writer.keeper.consolidate()
    assert {record.key or b"" for record in bad} < set(living(storage))
    assert len(living(storage)) == len(bad) + 1


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_that_was_durable_is_lost_whoever_writes_deletes_fails_or_dies(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(keeping, "RECORDS_MAX", 3)
    random = Random(seed)
    writers = [Writer(storage, f"{name}-0") for name in "abc"]
    pending: dict[str, set[int]] = {writer.replica.replica: set() for writer in writers}
    durable: set[int] = set()
    for n in range(150):
        place = random.randrange(3)
        writer = writers[place]
        match random.choice(["add", "flush", "flush", "read", "consolidate", "fail", "die"]):
            case "add":
                writer.add(n)
                pending[writer.replica.replica].add(n)
            case "flush" | "consolidate" as work:
                try:
                    await getattr(writer.keeper, work)()
                except AppendUncertain:
                    continue
                if work == "flush":
                    durable |= pending[writer.replica.replica]
                    pending[writer.replica.replica].clear()
            case "read":
                await writer.reader.catch_up()
            case "fail":
                writer.log.fail(KNOWLEDGE, random.choice(["lost", "landed", "late"])).gate.set()
            case "die":
                writers[place] = Writer(storage, f"{writer.replica.replica[0]}-{n}")
                pending[writers[place].replica.replica] = set()
        assert durable <= set(await kept(storage))
    assert len(durable) > 3
