"""The embedded log: the common behaviour, compaction, and what it keeps in memory."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from folkmoot.bus.ports import (
    AppendUncertain,
    Log,
    Record,
    Topic,
)
from folkmoot.bus.sqlite import SqliteLog, shard, store, writer
from folkmoot.bus.sqlite.handover import Handover
from tests.contract.bus.log_behaviour import (
    Connect,
    LogBehaviour,
    numbered,
    read_all,
    read_count,
    values,
)

COMPACT = {"cleanup.policy": "compact"}


class TestSqliteLog(LogBehaviour):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        async def connect() -> Log:
            return await SqliteLog.open(tmp_path / "log.db")

        return connect


# -- compaction -----------------------------------------------------------------------------


async def test_compaction_leaves_holes_and_reading_passes_over_them(log: SqliteLog) -> None:
    appender = await log.appender()
    for number in range(3):
        await appender.append("c", 0, [Record(b"%d" % number, key) for key in (b"a", b"b")])
    stored = await read_all(log, "c")
    assert [(r.offset, r.key, r.value) for r in stored] == [(4, b"a", b"2"), (5, b"b", b"2")]
    tail = await log.tail("c", 0, 1)
    assert [record.offset for record in await tail.read(10, 0)] == [4, 5]
    assert tail.position == 6


async def test_a_key_twice_in_one_append_keeps_the_last(log: SqliteLog) -> None:
    appender = await log.appender()
    await appender.append("c", 0, [Record(b"1", b"a"), Record(b"2", b"a"), Record(b"3", b"a")])
    assert values(await read_all(log, "c")) == [b"3"]


async def test_old_tombstones_go_when_the_file_is_opened(path: Path) -> None:
    now = 1_000_000_000
    log = await SqliteLog.open(path, now=lambda: now)
    await log.create_topics([Topic("c", 1, COMPACT), Topic("t", 1)])
    appender = await log.appender()
    for sent in (Record(b"1", b"a"), Record(None, b"a"), Record(b"1", b"b"), Record(None, b"c")):
        await appender.append("c", 0, [sent])
    await appender.append("t", 0, [Record(None, b"a")])
    await log.close()
    now += store.TOMBSTONES_KEPT_MS + 1
    log = await SqliteLog.open(path, now=lambda: now)
    assert [(r.offset, r.key) for r in await read_all(log, "c")] == [(2, b"b"), (3, b"c")]
    assert len(await read_all(log, "t")) == 1
    assert await log.end_offset("c", 0) == 4
    await (await log.appender()).append("c", 0, [Record(b"2", b"a")])
    assert [(r.offset, r.value) for r in await read_all(log, "c")][-1] == (4, b"2")
    await log.close()


# -- memory and grouping --------------------------------------------------------------------


async def test_a_tail_that_keeps_up_reads_no_file(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    appender, tail = await log.appender(), await log.tail("t", 0, 0)

    def fail(*_: object) -> None:
        raise AssertionError("read from the file")

    monkeypatch.setattr(log._store, "read", fail)
    for number in range(500):
        await appender.append("t", 0, numbered(1))
        assert [record.offset for record in await tail.read(10, 1_000)] == [number]


async def test_what_is_kept_in_memory_is_bounded(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "RING_RECORDS", 10)
    monkeypatch.setattr(shard, "RING_BYTES", 5_000)
    appender, tail = await log.appender(), await log.tail("t", 0, 0)
    small, large = numbered(45), [Record(b"x" * 2_000) for _ in range(8)]
    for sent in (small[:15], small[15:18], *([r] for r in small[18:]), *([r] for r in large)):
        await appender.append("t", 0, list(sent))
        kept = log._store.shard("t", 0)._ring
        assert len(kept) <= 20
        assert sum(len(record.value or b"") for record in kept) <= 5_000
    assert values(await read_count(tail, 53)) == [r.value for r in (*small, *large)]


async def test_many_appends_share_a_commit(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    write = log._store._writer._write

    def counting(group: list[writer.Append]) -> writer.Written:
        groups.append(len(group))
        time.sleep(0.001)  # as a slow disk would, so that more can gather
        return write(group)

    monkeypatch.setattr(log._store._writer, "_write", counting)
    appenders = [await log.appender() for _ in range(4)]
    await asyncio.gather(
        *(appenders[n % 4].append("t", n % 2, numbered(1 + n % 3)) for n in range(400))
    )
    assert sum(groups) == 400
    assert len(groups) < 40


@pytest.mark.parametrize("rows", [127, 128, 129, 5_000])
async def test_groups_of_every_size_are_written_whole(log: SqliteLog, rows: int) -> None:
    appender = await log.appender()
    firsts = await asyncio.gather(
        appender.append("t", 0, numbered(rows)), appender.append("t", 0, numbered(2, "b"))
    )
    assert list(firsts) == [0, rows]
    assert values(await read_all(log, "t"))[-3:] == [b"%d" % (rows - 1), b"b0", b"b1"]


async def test_an_append_needs_no_poll_to_wake_a_tail(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "POLL_S", 60.0)
    log = await SqliteLog.open(path)
    await log.create_topics([Topic("t", 1)])
    appender, tail = await log.appender(), await log.tail("t", 0, 0)
    reading = asyncio.create_task(tail.read(10, 50_000))
    await asyncio.sleep(0)
    await appender.append("t", 0, numbered(1))
    async with asyncio.timeout(5):
        assert len(await reading) == 1
    async with asyncio.timeout(5):
        await log.close()


async def test_a_file_is_opened_once_in_a_loop(path: Path, log: SqliteLog) -> None:
    other = await SqliteLog.open(path)
    assert other._store is log._store
    tail = await log.tail("t", 0, 0)
    await other.close()
    await (await log.appender()).append("t", 0, numbered(1))
    assert len(await tail.read(10, 5_000)) == 1


async def test_closing_an_appender_leaves_what_is_not_acknowledged_open(log: SqliteLog) -> None:
    appender = await log.appender()
    append = asyncio.create_task(appender.append("t", 0, numbered(1)))
    await asyncio.sleep(0)
    await appender.close()
    with pytest.raises(AppendUncertain, match="before this append was acknowledged"):
        await append


# -- a busy loop ----------------------------------------------------------------------------


async def test_the_loop_gives_way_to_an_overdue_append(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    gave_way = threading.Event()
    write_group, give_way = log._store._writer._write, Handover._give_way

    def starved(group: list[writer.Append]) -> writer.Written:
        assert gave_way.wait(10)
        return write_group(group)

    def giving_way(self: Handover) -> None:
        gave_way.set()
        give_way(self)

    monkeypatch.setattr(log._store._writer, "_write", starved)
    monkeypatch.setattr(Handover, "_give_way", giving_way)
    assert await (await log.appender()).append("t", 0, numbered(1)) == 0


async def test_the_loop_goes_on_while_the_disk_is_slow(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticked = threading.Semaphore(0)
    write_group = log._store._writer._write

    def slow(group: list[writer.Append]) -> writer.Written:
        assert all(ticked.acquire(timeout=10) for _ in range(20))
        return write_group(group)

    monkeypatch.setattr(log._store._writer, "_write", slow)
    appending = asyncio.create_task((await log.appender()).append("t", 0, numbered(1)))
    async with asyncio.timeout(10):
        while not appending.done():
            ticked.release()
            await asyncio.sleep(0.001)


async def test_only_the_loop_closes_what_only_the_loop_reads(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.create_topics([Topic("t", 1)])
    await log.tail("t", 0, 0)
    kept, reader = log._store, log._store._reader
    closed_by: list[int] = []

    class Watched:
        """The reader, and who closes it."""

        def close(self) -> None:
            closed_by.append(threading.get_ident())
            reader.close()

    kept._reader = cast("sqlite3.Connection", Watched())
    await log.close()
    assert closed_by == [threading.get_ident()]
    kept._deliver(writer.FOREIGN)  # a late word of the writer's: nothing is read any more
