"""Knowledge over the embedded bus: shared, repaired, kept, and counted once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from folkmoot.bus import Bus, Record, Topic, connect
from folkmoot.bus.ports import AppendUncertain
from folkmoot.contracts.topics import KNOWLEDGE
from folkmoot.core.crdt import ORSet
from folkmoot.sdk.knowledge import Knowledge, read_all, read_document
from folkmoot.sdk.knowledge.keeping import RECORDS_MAX
from folkmoot.testing.eventually import eventually


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    opened = await connect(f"embedded:{tmp_path}/x.db")
    await opened.log.create_topics([Topic(KNOWLEDGE, 1, {"cleanup.policy": "compact"})])
    yield opened
    await opened.close()


@asynccontextmanager
async def member(bus: Bus, name: str) -> AsyncIterator[Knowledge]:
    knowledge = Knowledge(bus, name)
    await knowledge.load()
    running = asyncio.create_task(knowledge.run())
    try:
        yield knowledge
    finally:
        running.cancel()
        await asyncio.wait([running])


def step(knowledge: Knowledge, saga: str = "s1", actor: str = "s1/step/do") -> Any:
    return knowledge.bound(saga=saga, actor=actor)


async def test_what_one_learns_the_other_knows(bus: Bus) -> None:
    async with member(bus, "a") as a, member(bus, "b") as b:
        await step(a).set("facts").add(["x", 1], ["y", 2])
        await step(a).counter("pages").increment(3)
        await eventually(lambda: step(b).set("facts").values() == [["x", 1], ["y", 2]])
        await eventually(lambda: step(b).counter("pages").value == 3)
        await step(b).set("facts").remove(["x", 1])
        await eventually(lambda: step(a).set("facts").values() == [["y", 2]])


async def test_who_comes_later_is_told_by_digest(bus: Bus) -> None:
    async with member(bus, "a") as a:
        await step(a).set("facts").add("early")
        async with member(bus, "b") as b:
            await eventually(lambda: "early" in step(b).set("facts"), timeout_s=10)


async def test_what_was_flushed_outlives_everybody(bus: Bus) -> None:
    async with member(bus, "a") as a:
        await step(a).set("facts").add("kept")
        await a.flush()
    async with member(bus, "b") as b:
        assert step(b).set("facts").values() == ["kept"]
    document = await read_document(bus.log, "facts")
    assert document is not None
    assert document.value == ["kept"]


async def test_a_saga_takes_back_what_it_added_and_no_more(bus: Bus) -> None:
    a = Knowledge(bus, "a")
    await step(a, "s1").set("facts").add("mine", "both")
    await step(a, "s2").set("facts").add("both", "yours")
    assert step(a, "s1").set("facts").mine() == ["both", "mine"]
    await step(a, "s1").set("facts").retract()
    assert step(a, "s2").set("facts").values() == ["both", "yours"]


async def test_a_step_that_runs_again_counts_once(bus: Bus) -> None:
    async with member(bus, "a") as a, member(bus, "b") as b:
        first, again = step(a), step(b)
        await first.counter("pages").increment(2)
        await first.counter("pages").increment(5)
        await eventually(lambda: step(b).counter("pages").value == 7)
        for amount in (2, 5):
            await again.counter("pages").increment(amount)
        await b.flush()
        await a.flush()
        assert (await read_all(bus.log))["pages"].value == 7


async def test_many_flushes_leave_few_records(bus: Bus) -> None:
    async with member(bus, "a") as a:
        for number in range(RECORDS_MAX * 2 + 5):
            await step(a).set("facts").add(number)
            await a.flush()
        while len(await _living(bus)) > RECORDS_MAX + 2:
            await asyncio.sleep(0.01)
    document = await read_document(bus.log, "facts")
    assert isinstance(document, ORSet)
    assert len(document) == RECORDS_MAX * 2 + 5


async def _living(bus: Bus) -> list[bytes | None]:
    """Keys that are not deleted; compaction may not have taken the others yet."""
    tail = await bus.log.tail(KNOWLEDGE, 0, 0)
    last = {record.key: record.value for record in await tail.read(10_000, 100)}
    await tail.close()
    return [key for key, value in last.items() if value is not None]


async def test_gossip_that_is_none_is_counted_and_ignored(bus: Bus) -> None:
    async with member(bus, "a") as a, member(bus, "b") as b:
        await step(a).set("facts").add("before")
        await eventually(lambda: "before" in step(b).set("facts"))
        for data in (b"{", b"[]", b'{"document": "facts", "delta": {"kind": "orset"}}'):
            await bus.gossip.publish("folkmoot.gossip.z.facts", data)
        await eventually(lambda: b.problems.get("malformed") == 3)
        await step(a).set("facts").add("after")
        await eventually(lambda: "after" in step(b).set("facts"))


async def test_what_could_not_be_kept_is_kept_by_the_next_flush(bus: Bus) -> None:
    class Broken:
        async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
            raise AppendUncertain("lost")

        async def close(self) -> None:
            return

    a = Knowledge(bus, "a")
    await step(a).set("facts").add("x")
    a._keeper._appender = Broken()
    with pytest.raises(AppendUncertain):
        await a.flush()
    assert await read_document(bus.log, "facts") is None
    await a.flush()
    document = await read_document(bus.log, "facts")
    assert document is not None
    assert document.value == ["x"]
